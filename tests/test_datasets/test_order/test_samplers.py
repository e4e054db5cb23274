"""Samples and their augmentation are a function of the place in training only."""

from __future__ import annotations

import random
from itertools import islice

import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from xdet.datasets import Draw, ResumableSampler, SeededDataset, seeded_rng
from xdet.datasets.order import samplers


def noisy(results: dict) -> tuple:
    """A transform that uses every global generator."""
    return results['number'], random.random(), np.random.rand(), torch.rand(()).item()


class Numbers(BaseDataset):
    def load_data_list(self) -> list[dict]:
        return [dict(number=number) for number in range(10)]


def dataset() -> SeededDataset:
    return SeededDataset(Numbers(pipeline=[noisy], serialize_data=False))


def sequence(sampler: ResumableSampler, count: int) -> list[Draw]:
    return list(islice(sampler, count))


def test_every_epoch_is_another_permutation() -> None:
    draws = sequence(ResumableSampler(dataset(), seed=3), 30)
    epochs = [[draw.position for draw in draws[start : start + 10]] for start in (0, 10, 20)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] and epochs[0] != list(range(10))
    assert [draw.epoch for draw in draws] == [0] * 10 + [1] * 10 + [2] * 10


def test_seed_decides_the_order() -> None:
    first, same, other = (sequence(ResumableSampler(dataset(), seed=seed), 20) for seed in (1, 1, 2))
    assert first == same
    assert [draw.position for draw in first] != [draw.position for draw in other]


def test_seeds_share_no_epochs() -> None:
    orders = [
        ResumableSampler(dataset(), seed=seed).permutation(epoch).tolist() for seed in range(4) for epoch in range(4)
    ]
    assert len({tuple(order) for order in orders}) == 16


def test_without_shuffling_the_order_is_the_datasets() -> None:
    draws = sequence(ResumableSampler(dataset(), seed=1, shuffle=False), 12)
    assert [draw.position for draw in draws] == [*range(10), 0, 1]


@pytest.mark.parametrize('start', [0, 1, 9, 10, 57])
def test_starting_later_gives_the_tail_of_the_sequence(start: int) -> None:
    sampler = ResumableSampler(dataset(), seed=5)
    whole = sequence(sampler, start + 25)
    sampler.set_start(start)
    assert sequence(sampler, 25) == whole[start:]


@pytest.mark.parametrize('world_size', [2, 3])
def test_ranks_share_one_sequence(monkeypatch: pytest.MonkeyPatch, world_size: int) -> None:
    alone = sequence(ResumableSampler(dataset(), seed=5), 24)
    parts = []
    for rank in range(world_size):
        monkeypatch.setattr(samplers, 'get_dist_info', lambda rank=rank: (rank, world_size))
        sampler = ResumableSampler(dataset(), seed=5)
        parts.append(sequence(sampler, 24 // world_size))
        sampler.set_start(2)
        assert sequence(sampler, 4) == parts[-1][2:6]
    assert [draw for group in zip(*parts, strict=True) for draw in group] == alone


def test_augmentation_depends_on_the_draw_only() -> None:
    data = dataset()
    assert data[Draw(3, 0, 7)] == data[Draw(3, 0, 7)]
    assert len({data[draw] for draw in (Draw(3, 0, 7), Draw(3, 1, 7), Draw(3, 0, 8))}) == 3
    assert data[Draw(3, 0, 7)][1:] != data[Draw(4, 0, 7)][1:]


def test_a_plain_index_reads_without_seeding() -> None:
    assert dataset()[4] != dataset()[4]


def test_generators_of_the_caller_are_left_alone() -> None:
    def drawn() -> tuple:
        return random.random(), np.random.rand(), torch.rand(()).item()

    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = drawn()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    dataset()[Draw(0, 0, 0)]
    with pytest.raises(RuntimeError), seeded_rng(5):
        raise RuntimeError
    assert drawn() == expected


def test_number_of_workers_does_not_matter() -> None:
    def batches(workers: int, start: int = 0) -> list:
        sampler = ResumableSampler(dataset(), seed=2, start=start)
        loader = DataLoader(sampler.dataset, batch_size=4, num_workers=workers, sampler=sampler, collate_fn=list)
        return list(islice(loader, 5))

    alone = batches(0)
    assert batches(2) == alone
    assert batches(2, start=8)[:3] == alone[2:]


def test_runner_hands_over_its_seed() -> None:
    cfg = dict(batch_size=2, num_workers=0, sampler=dict(type='ResumableSampler'), dataset=dataset())
    assert Runner.build_dataloader(cfg, seed=99).sampler.seed == 99


def test_misuse_is_explained() -> None:
    with pytest.raises(ValueError, match="dict\\(type='SeededDataset'"):
        ResumableSampler(Numbers(lazy_init=True), seed=0)
    with pytest.raises(ValueError, match='-1'):
        ResumableSampler(dataset(), seed=0).set_start(-1)
