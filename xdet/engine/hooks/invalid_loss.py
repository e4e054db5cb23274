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
        samples = data_batch.get('data_samples', ()) if isinstance(data_batch, dict) else ()
        images = [str(sample.metainfo.get('img_path', 'unknown')) for sample in samples]
        raise ValueError(
            f'iteration {runner.iter + 1}: {", ".join(terms)} not finite for the images {", ".join(images)}; lower the '
            'learning rate, clip gradients or use bfloat16 instead of float16, then resume from the last checkpoint'
        )
