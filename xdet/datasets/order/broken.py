"""Large collections from the web have broken images; training goes on without them and says so."""

from __future__ import annotations

import logging
from typing import Any

import torch
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log
from torch.utils.data import get_worker_info

from xdet.datasets.files.image_io import ImageReadError

_MAX_WORKERS = 255
_NAMED_FIRST = 10


class BrokenSampleError(ValueError):
    """A sample cannot be read for another reason than its image."""


class TolerantDataset(BaseDataset):
    """Base, before that of images, of datasets that may replace samples that cannot be read by the next that can.

    Which sample that is depends on the data alone, so runs stay reproducible. Replacements are counted
    (:attr:`num_broken`) and logged with the name of the file and what is wrong: the first ten of every worker process,
    then every ``report_every``-th.

    Args:
        broken_images (str): ``'replace'`` or, to stop at the first one, ``'error'``. In test mode always an error.
        report_every (int): See above.
        max_in_a_row (int): After so many broken samples in a row it is an error: something else is wrong.
        kwargs: Arguments of the base of the images beside it.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(
        self, *, broken_images: str = 'replace', report_every: int = 100, max_in_a_row: int = 100, **kwargs: Any
    ) -> None:
        if broken_images not in ('replace', 'error'):
            raise ValueError(f"broken_images is {broken_images!r}; accepted are 'replace' and 'error'")
        if report_every < 1 or max_in_a_row < 1:
            raise ValueError(f'report_every is {report_every} and max_in_a_row {max_in_a_row}; both must be 1 or more')
        self.broken_images = broken_images
        self.report_every = report_every
        self.max_in_a_row = max_in_a_row
        # One counter per worker process, and the first for the process itself: nothing to lock.
        self._broken = torch.zeros(_MAX_WORKERS + 1, dtype=torch.int64).share_memory_()
        super().__init__(**kwargs)

    @property
    def num_broken(self) -> int:
        """Replacements in this process and its data loader workers so far."""
        return int(self._broken.sum())

    def __getitem__(self, idx: int) -> Any:
        if self.test_mode or self.broken_images == 'error':
            return super().__getitem__(idx)
        first = range(len(self))[idx]  # an IndexError beyond the end, which ends loops over the dataset
        positions = [(first + step) % len(self) for step in range(min(self.max_in_a_row, len(self)))]
        for position in positions:
            try:
                return super().__getitem__(position)
            except (ImageReadError, BrokenSampleError) as error:
                last = error
                self._count(error)
        raise BrokenSampleError(f'{len(positions)} broken samples in a row, the last: {last}')

    def _count(self, error: Exception) -> None:
        worker = get_worker_info()
        slot = 0 if worker is None else worker.id % _MAX_WORKERS + 1
        self._broken[slot] += 1
        count = int(self._broken[slot])
        if count <= _NAMED_FIRST or count % self.report_every == 0:
            who = '' if worker is None else f' by worker {worker.id}'
            message = f'{error}; replaced by the next sample ({count} replaced{who}, {self.num_broken} in all)'
            print_log(message, logger='current', level=logging.WARNING)
