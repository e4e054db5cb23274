"""Says how many samples of the data could not be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner

from xdet.engine.joint import JointDataLoader, train_loaders
from xdet.registry import HOOKS


@HOOKS.register_module()
class BrokenSamplesHook(Hook):
    """Reports what :class:`~xdet.datasets.order.broken.TolerantDataset` had to replace, over all processes and sources.

    Once per epoch (of the first source, where there are several) and at the end of the training, if there was any.
    Counts begin with the process: a resumed training starts from zero. Data loaders read ahead, so the number may
    include samples of the next few batches. Trainings whose data cannot be broken are left alone.
    """

    priority = 'LOW'

    def before_train(self, runner: Runner) -> None:
        """Find the datasets that count."""
        loaders = [loader for loader, _ in train_loaders(runner)]
        if isinstance(runner.train_dataloader, JointDataLoader):
            names = list(runner.train_dataloader.loaders)
        else:
            names = ['training data']
        self._counting = {
            name: list(counting_datasets(loader.dataset)) for name, loader in zip(names, loaders, strict=True)
        }
        self._batch_sizes = {name: loader.batch_size or 1 for name, loader in zip(names, loaders, strict=True)}
        self._iterations = self._reported = 0

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | Sequence | None = None, outputs: dict | None = None
    ) -> None:
        """Report after every pass through the (first) source."""
        self._iterations += 1
        # Samplers of endless sequences have the length of the dataset, of which every process takes its share.
        if (runner.iter + 1) % max(1, len(runner.train_dataloader) // get_world_size()) == 0:
            self._report(runner)

    def after_train(self, runner: Runner) -> None:
        """Report at the end."""
        self._report(runner)

    def _report(self, runner: Runner) -> None:
        if not any(self._counting.values()):
            return
        counts = torch.tensor([sum(data.num_broken for data in datasets) for datasets in self._counting.values()])
        all_reduce(counts)
        total = int(counts.sum())
        if total == self._reported:
            return
        self._reported = total
        read = {name: self._iterations * size * get_world_size() for name, size in self._batch_sizes.items()}
        parts = [
            f'{name}: {count} ({100 * count / max(read[name], 1):.3g} % of {read[name]})'
            for name, count in zip(self._counting, counts.tolist(), strict=True)
            if count
        ]
        runner.logger.warning(f'broken samples replaced so far, in all processes: {"; ".join(parts)}')


def counting_datasets(dataset: Any) -> Iterator[Any]:
    """Datasets that count broken samples, within wrappers and concatenations."""
    if hasattr(dataset, 'num_broken'):
        yield dataset
        return
    inner = getattr(dataset, 'datasets', None)
    if inner is None:
        inner = [dataset.dataset] if hasattr(dataset, 'dataset') else []
    for part in inner:
        yield from counting_datasets(part)
