"""Order of training samples that can be entered anywhere."""

from __future__ import annotations

from collections.abc import Iterator

import torch
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

    def permutation(self, epoch: int) -> list[int]:
        """Sample indices in the order of ``epoch``."""
        if not self.shuffle:
            return list(range(len(self.dataset)))
        generator = torch.Generator()
        generator.manual_seed(self.seed + epoch)
        return torch.randperm(len(self.dataset), generator=generator).tolist()

    def __iter__(self) -> Iterator[Draw]:
        position = self.rank + self.start * self.world_size
        epoch, order = -1, []
        while True:
            if position // len(self.dataset) != epoch:
                epoch = position // len(self.dataset)
                order = self.permutation(epoch)
            yield Draw(order[position % len(self.dataset)], epoch, self.seed)
            position += self.world_size

    def __len__(self) -> int:
        """Size of the dataset: the sequence itself has no end."""
        return len(self.dataset)

    def set_epoch(self, epoch: int) -> None:
        """Epochs follow from the position; nothing to set."""
