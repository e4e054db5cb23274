"""Broken samples are counted over workers, sources and processes, and reported."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.dist import get_rank
from PIL import Image
from tiny.ranks import needs_ranks, on_two_ranks
from torch.utils.data import DataLoader

from xdet.datasets import ImageTextDataset, ResumableSampler, SeededDataset
from xdet.datasets.order import broken
from xdet.engine.hooks import BrokenSamplesHook
from xdet.engine.joint import JointDataLoader

MESSAGE = 'broken samples replaced so far, in all processes: '


class Runner(SimpleNamespace):
    """What the hook uses of a runner."""

    def __init__(self, loader: object, cfg: dict | None = None) -> None:
        self.logged: list[str] = []
        super().__init__(
            train_dataloader=loader,
            cfg=SimpleNamespace(train_dataloader=cfg or {}),
            logger=SimpleNamespace(warning=self.logged.append),
            iter=0,
        )


def train(hook: BrokenSamplesHook, runner: Runner, epochs: int = 1) -> list[str]:
    hook.before_train(runner)
    for _ in range(epochs):
        for _, _batch in zip(range(len(runner.train_dataloader)), runner.train_dataloader, strict=False):
            hook.after_train_iter(runner, runner.iter)
            runner.iter += 1
    hook.after_train(runner)
    return runner.logged


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broken, 'print_log', lambda *_, **__: None)


def pairs(root: Path, name: str, num_broken: int, workers: int = 0) -> DataLoader:
    """Four samples, the first ones broken."""
    folder = root / name
    folder.mkdir()
    for number in range(4):
        path = folder / f'{number}.png'
        Image.fromarray(np.full((4, 5, 3), number, dtype=np.uint8)).save(path)
        if number < num_broken:
            path.write_bytes(b'GIF89a')
    rows = [dict(image=f'{number}.png', caption='A ball.') for number in range(4)]
    (folder / 'pairs.json').write_text(json.dumps(rows))
    dataset = ImageTextDataset(
        ann_file='pairs.json',
        data_root=str(folder),
        pipeline=[dict(type='LoadXDetImage'), dict(type='PackXDetInputs', segments=False)],
    )
    return DataLoader(SeededDataset(dataset), batch_size=2, num_workers=workers, collate_fn=list)


@pytest.mark.parametrize('workers', [0, 2])
def test_reports_every_epoch_in_which_there_was_one(tmp_path: Path, workers: int) -> None:
    loader = pairs(tmp_path, 'pairs', 1, workers)
    lines = train(BrokenSamplesHook(), Runner(loader), epochs=2)
    assert lines == [f'{MESSAGE}training data: 1 (25 % of 4)', f'{MESSAGE}training data: 2 (25 % of 8)']


def test_joint_sources_are_named(tmp_path: Path) -> None:
    loaders = dict(coco=pairs(tmp_path, 'a', 0), web=pairs(tmp_path, 'b', 1))
    runner = Runner(JointDataLoader(loaders), cfg=dict(coco={}, web={}))
    assert train(BrokenSamplesHook(), runner) == [f'{MESSAGE}web: 1 (25 % of 4)']


def test_silent_when_nothing_is_broken_or_can_be(tmp_path: Path) -> None:
    assert train(BrokenSamplesHook(), Runner(pairs(tmp_path, 'pairs', 0))) == []
    assert train(BrokenSamplesHook(), Runner(DataLoader([1, 2]))) == []


def test_sources_smaller_than_a_batch(tmp_path: Path) -> None:
    """With an endless sampler they fill batches all the same, but the length of the loader is 0."""
    data = pairs(tmp_path, 'pairs', 1).dataset
    sampler = ResumableSampler(data, seed=0)
    loader = DataLoader(data, batch_size=8, sampler=sampler, drop_last=True, collate_fn=list)
    hook, runner = BrokenSamplesHook(), Runner(loader)
    hook.before_train(runner)
    next(iter(loader))
    hook.after_train_iter(runner, 0)
    assert len(loader) == 0 and runner.logged == [f'{MESSAGE}training data: 2 (25 % of 8)']


@needs_ranks
def test_sum_over_processes(tmp_path: Path) -> None:
    """One rank meets a broken sample once and the other, on its way past two of them, three times; both know it.

    An epoch of two ranks is half as many iterations.
    """

    def run() -> list[str]:
        return train(BrokenSamplesHook(), Runner(pairs(tmp_path, f'rank{get_rank()}', 1 + get_rank())))

    assert on_two_ranks(run, tmp_path) == 2 * [[f'{MESSAGE}training data: 4 (100 % of 4)']]
