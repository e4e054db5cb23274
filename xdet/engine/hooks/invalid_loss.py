"""Stops a training that has diverged."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from xdet.registry import HOOKS


@HOOKS.register_module()
class InvalidLossHook(Hook):
    """Ends training when the loss is not finite, before the damaged weights are saved.

    Args:
        interval (int): Look every so many iterations.
    """

    def __init__(self, interval: int = 1) -> None:
        self.interval = interval

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | Sequence | None = None, outputs: dict | None = None
    ) -> None:
        """Check the losses that the model returned.

        Raises:
            ValueError: With the iteration, the terms that are not finite and the images of the batch.
        """
        if not self.every_n_train_iters(runner, self.interval) or torch.isfinite(torch.as_tensor(outputs['loss'])):
            return
        terms = [name for name, value in outputs.items() if not torch.isfinite(torch.as_tensor(value)).all()]
        images = [str(sample.metainfo.get('img_path', 'unknown')) for sample in _samples(data_batch, terms)]
        raise ValueError(
            f'iteration {runner.iter + 1}: {", ".join(terms)} not finite for the images {", ".join(images)}; lower the '
            'learning rate, clip gradients or use bfloat16 instead of float16, then resume from the last checkpoint'
        )


def _samples(data_batch: dict | Sequence | None, terms: Sequence[str]) -> Sequence:
    """Samples of a batch; of a joint batch those of the sources that the terms are from."""
    if not isinstance(data_batch, dict):
        return ()
    if 'data_samples' in data_batch:
        return data_batch['data_samples']
    sources = {term.split('.')[0] for term in terms}
    return [sample for name, batch in data_batch.items() if name in sources for sample in _samples(batch, terms)]
