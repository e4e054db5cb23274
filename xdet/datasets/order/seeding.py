"""Randomness of one sample as a function of the sample's place in training, and of nothing else.

An augmentation draws from global generators, so what it draws would depend on the worker process that runs it, on what
that worker did before and on whether training was interrupted. Seeding the generators for every sample removes all
three: a resumed run sees the same augmented samples as an uninterrupted one, with any number of workers.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.dataset import BaseDataset

from xdet.registry import DATASETS


class Draw(NamedTuple):
    """What :class:`~xdet.datasets.ResumableSampler` asks of a :class:`SeededDataset`.

    Attributes:
        position (int): Which sample of the dataset.
        epoch (int): How often every sample had been drawn before. ``(epoch, position)`` is unique in a training.
        seed (int): Seed of the training.
    """

    position: int
    epoch: int
    seed: int


@contextmanager
def seeded_rng(*entropy: int) -> Iterator[None]:
    """Seed Python's, NumPy's and PyTorch's CPU generators, and put their states back at the end.

    Args:
        entropy (int): Non-negative numbers that name the stream of random numbers.
    """
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    words = np.random.SeedSequence(entropy).generate_state(12)
    random.seed(words[:4].tobytes())
    np.random.seed(words[4:8])
    # torch.manual_seed would reset the generators of accelerators as well, which belong to the training loop.
    torch.default_generator.manual_seed(int(words[8]) << 31 | int(words[9]) >> 1)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


@DATASETS.register_module()
class SeededDataset:
    """Runs the pipeline of a dataset with randomness seeded by the :class:`Draw` it is asked for.

    Asked for a plain index it passes it on, so it can be used like the dataset it wraps.

    Args:
        dataset (dict | BaseDataset): Dataset or its configuration.
        lazy_init (bool): Leave reading the annotations to the first use.
    """

    def __init__(self, dataset: dict | BaseDataset, lazy_init: bool = False) -> None:
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        if not lazy_init:
            self.full_init()

    def full_init(self) -> None:
        """Read the annotations of the wrapped dataset."""
        self.dataset.full_init()

    @property
    def metainfo(self) -> dict:
        """Meta information of the wrapped dataset."""
        return self.dataset.metainfo

    def get_data_info(self, idx: int) -> dict:
        """Annotation of sample ``idx`` of the wrapped dataset."""
        return self.dataset.get_data_info(idx)

    def get_cat_ids(self, idx: int) -> list[int]:
        """Labels in sample ``idx`` of the wrapped dataset."""
        return self.dataset.get_cat_ids(idx)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, draw: Draw | int) -> Any:
        if not isinstance(draw, Draw):
            return self.dataset[draw]
        with seeded_rng(draw.seed, draw.epoch, draw.position):
            return self.dataset[draw.position]
