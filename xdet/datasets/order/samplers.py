"""Order of training samples that can be entered anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from xdet.registry import DATA_SAMPLERS

from .seeding import Draw, SeededDataset


@DATA_SAMPLERS.register_module()
class ResumableSampler(Sampler):
    """Endless sequence of shuffled epochs, dealt out to the ranks like cards.

    The global sequence is one permutation of the dataset after another, each a function of ``(seed, epoch)``. Rank r of
    R takes the positions r, r + R, r + 2R, ... The sequence has no state: training goes on exactly where it stopped
    after :meth:`set_start`, and a sample's augmentation (see :class:`SeededDataset`) depends on its place only, not on
    the number of workers or ranks. It has no end, so it belongs to iteration-based training loops.

    Args:
        dataset (SeededDataset): Dataset to draw from.
        seed (int, optional): Seed, equal on all ranks. None: the training's seed, which MMEngine's runner hands over.
        shuffle (bool): Shuffle every epoch.
        start (int): Samples of this rank to skip, see :meth:`set_start`.

    Attributes:
        offset (int): Place in the global sequence from which ``start`` counts; not 0 where a training goes on with
            another number of ranks or another batch size (:class:`~xdet.engine.hooks.IterationSeedHook`).

    Raises:
        ValueError: The dataset is empty or not a :class:`SeededDataset`.
    """

    def __init__(self, dataset: SeededDataset, seed: int | None = None, shuffle: bool = True, start: int = 0) -> None:
        if not isinstance(dataset, SeededDataset):
            raise ValueError(
                f'ResumableSampler draws from {type(dataset).__name__}; '
                "wrap the dataset: dataset=dict(type='SeededDataset', dataset=dict(...))"
            )
        if len(dataset) == 0:
            raise ValueError('ResumableSampler has an empty dataset to draw from; it needs at least one sample')
        self.dataset = dataset
        self.seed = int(sync_random_seed() if seed is None else seed)
        self.shuffle = shuffle
        self.offset = 0
        self.rank, self.world_size = get_dist_info()
        self.set_start(start)

    def set_start(self, consumed_per_rank: int) -> None:
        """Make the next iterator begin after the samples that this rank has already trained on.

        Args:
            consumed_per_rank (int): Iterations done so far times batch size of one rank.
        """
        if consumed_per_rank < 0:
            raise ValueError(f'consumed_per_rank is {consumed_per_rank}; it must be 0 or more')
        self.start = consumed_per_rank

    def skip(self, num_samples: int) -> None:
        """Name under which MMEngine's ``IterBasedTrainLoop`` calls :meth:`set_start` when it resumes."""
        self.set_start(num_samples)

    def permutation(self, epoch: int) -> np.ndarray:
        """Sample indices in the order of ``epoch``, int64; a list would take several times the memory."""
        if not self.shuffle:
            return np.arange(len(self.dataset))
        return np.random.default_rng((self.seed, epoch)).permutation(len(self.dataset))

    def __iter__(self) -> Iterator[Draw]:
        position = self.offset + self.rank + self.start * self.world_size
        epoch = -1
        order = np.array([])
        while True:
            if position // len(self.dataset) != epoch:
                epoch = position // len(self.dataset)
                order = self.permutation(epoch)
            yield Draw(int(order[position % len(self.dataset)]), epoch, self.seed)
            position += self.world_size

    def __len__(self) -> int:
        """Size of the dataset: the sequence itself has no end."""
        return len(self.dataset)

    def set_epoch(self, epoch: int) -> None:
        """Epochs follow from the position; nothing to set."""


@DATA_SAMPLERS.register_module()
class ShardSampler(ResumableSampler):
    """:class:`ResumableSampler` that keeps samples of a shard together, for storage that is slow at random access.

    Every epoch visits the shards in random order, ``window`` of them at a time, and shuffles the samples of those:
    what reading shards one after the other into a shuffle buffer of ``window`` shards does.

    Args:
        dataset (SeededDataset): Of a dataset with ``shard_sizes``, such as :class:`WebShardsDataset`.
        window (int): Shards whose samples are mixed.
        kwargs: Arguments of :class:`ResumableSampler`.

    Raises:
        ValueError: The dataset has no shards, or only a part of their samples, or ``window`` is not positive.
    """

    def __init__(self, dataset: SeededDataset, window: int = 16, **kwargs: Any) -> None:
        super().__init__(dataset, **kwargs)
        if window < 1:
            raise ValueError(f'window is {window}; it must be 1 or more')
        self.window = window
        self.shard_sizes = getattr(dataset.dataset, 'shard_sizes', ())
        if sum(self.shard_sizes) != len(dataset):
            raise ValueError(
                f'ShardSampler needs a dataset of whole shards, but {type(dataset.dataset).__name__} has '
                f'{len(dataset)} samples of which {sum(self.shard_sizes)} are in shards; use ResumableSampler'
            )

    def permutation(self, epoch: int) -> np.ndarray:
        """Sample indices in the order of ``epoch``, int64."""
        ends = np.cumsum(self.shard_sizes)
        shards = [np.arange(end - size, end) for end, size in zip(ends, self.shard_sizes, strict=True)]
        if not self.shuffle:
            return np.concatenate(shards)
        generator = np.random.default_rng((self.seed, epoch))
        order = generator.permutation(len(shards))
        windows = (order[start : start + self.window] for start in range(0, len(order), self.window))
        return np.concatenate([generator.permutation(np.concatenate([shards[s] for s in part])) for part in windows])
