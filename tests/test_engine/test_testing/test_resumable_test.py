"""A test that is killed and started again gives the same numbers as one that is not."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import multiprocessing
import os
import pickle
import signal
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.structures import PixelData
from PIL import Image
from tiny.ranks import needs_ranks, on_ranks, start_ranks
from torch.utils.data import Dataset

import xdet.engine  # noqa: F401  registers the loop
from xdet.datasets import ImageLabelFolderDataset
from xdet.engine.parallel.dist import prepare_distributed
from xdet.engine.testing.result_files import ResultWriter, read_indices, read_results
from xdet.engine.testing.resumable_test import _add_files, files_of
from xdet.evaluation import SemanticIoU
from xdet.structures import XDetDataSample

CLASSES = ('a', 'b', 'c')
SIZE = 11


class Maps(Dataset):
    metainfo = dict(classes=CLASSES)

    def __len__(self) -> int:
        return SIZE

    def __getitem__(self, index: int) -> dict:
        return dict(index=index)


class Painter(BaseModel):
    """Predicts something else for every image; ends its process with SIGKILL in the batch that has image ``killer``."""

    def __init__(self, killer: int | None = None) -> None:
        super().__init__()
        self.killer = killer
        self.weight = torch.nn.Parameter(torch.zeros(3))
        self.seen: list[int] = []

    def forward(self, index: torch.Tensor, mode: str = 'predict') -> list[XDetDataSample]:
        if self.killer in index:
            os.kill(os.getpid(), signal.SIGKILL)
        self.seen.extend(int(i) for i in index)
        samples = []
        for i in index:
            generator = torch.Generator().manual_seed(int(i))
            gt, pred = torch.randint(0, 3, (2, 1, 9, 9), generator=generator)
            sample = XDetDataSample(metainfo=dict(img_path=f'{int(i)}.jpg'))
            sample.gt_sem_seg, sample.pred_sem_seg = PixelData(sem_seg=gt), PixelData(sem_seg=pred)
            samples.append(sample)
        return samples


class FewResults(BaseMetric):
    default_prefix = 'few'

    def process(self, data_batch: dict, data_samples: list) -> None:
        self.results.append(len(data_samples))

    def compute_metrics(self, results: list) -> dict:
        return dict(sum=sum(results))


def make_runner(
    work_dir: Path, killer: int | None = None, loop: str = 'ResumableTestLoop', metrics: list | None = None, **options
) -> Runner:
    DefaultScope.get_instance(f'xdet-{os.getpid()}-{len(DefaultScope._instance_dict)}', scope_name='xdet')
    cfg = Config(dict(work_dir=str(work_dir), launcher='none', model_wrapper_cfg=None))
    if 'WORLD_SIZE' in os.environ:
        prepare_distributed(cfg, 'pytorch')
    return Runner(
        model=Painter(killer),
        work_dir=str(work_dir),
        test_dataloader=dict(
            dataset=Maps(), batch_size=2, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False)
        ),
        test_cfg=dict(type=loop, **options),
        test_evaluator=metrics or [SemanticIoU(), SemanticIoU(prefix='again')],
        launcher=cfg.launcher,
        experiment_name=f'{work_dir.name}-{os.getpid()}-{torch.randint(10**9, ()).item()}',
        default_scope='xdet',
        cfg=cfg,
    )


@pytest.fixture
def plain(tmp_path: Path) -> dict[str, float]:
    """What MMEngine's own loop gives."""
    return make_runner(tmp_path / 'plain', loop='TestLoop').test()


def seen_by(runner: Runner) -> list[int]:
    model = runner.model.module if hasattr(runner.model, 'module') else runner.model
    return model.seen


def test_uninterrupted(tmp_path: Path, plain: dict[str, float]) -> None:
    runner = make_runner(tmp_path / 'a')
    assert runner.test() == plain and 10 < plain['semantic/mIoU'] < 30
    assert seen_by(runner) == list(range(SIZE))
    assert not list((tmp_path / 'a' / 'unfinished_test').iterdir())


@needs_ranks
def test_killed_and_started_again(tmp_path: Path, plain: dict[str, float]) -> None:
    work_dir = tmp_path / 'b'
    for killer in (6, 7, 10):  # the second time before anything is done
        assert run_in_child(lambda killer=killer: make_runner(work_dir, killer).test()) == -signal.SIGKILL
    (file, *_) = sorted((work_dir / 'unfinished_test').rglob('*.results'))
    file.write_bytes(file.read_bytes()[:-3])  # as if the disk had been full
    runner = make_runner(work_dir)
    assert runner.test() == plain
    assert seen_by(runner) == [4, 5, 10]


def run_in_child(function: Callable[[], object]) -> int | None:
    """Exit code of a process that runs ``function``."""

    def child() -> None:
        torch.set_num_threads(1)
        function()

    process = multiprocessing.get_context('fork').Process(target=child)
    process.start()
    process.join(60)
    return process.exitcode


@needs_ranks
def test_a_rank_is_killed(tmp_path: Path, plain: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two ranks are interrupted, three go on, one ends: nothing is lost, nothing counts twice."""
    monkeypatch.chdir(tmp_path)
    work_dir = tmp_path / 'c'
    codes = start_ranks(lambda: make_runner(work_dir, killer=5).test(), tmp_path / 'two', 2)
    assert codes[1] == -signal.SIGKILL and codes[0] != 0
    codes = start_ranks(lambda: make_runner(work_dir, killer=10).test(), tmp_path / 'three', 3)
    assert -signal.SIGKILL in codes
    runner = make_runner(work_dir)
    assert runner.test() == plain
    assert 0 < len(seen_by(runner)) < SIZE


@needs_ranks
def test_ranks_do_not_matter(tmp_path: Path, plain: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for count in (2, 3):
        for result in on_ranks(lambda: make_runner(tmp_path / f'd{count}').test(), tmp_path / f'store{count}', count):  # noqa: B023
            assert result == plain


def test_other_weights_begin_anew(tmp_path: Path, plain: dict[str, float]) -> None:
    kept = make_runner(tmp_path / 'e', keep=True)
    assert kept.test() == plain
    again = make_runner(tmp_path / 'e')
    assert again.test_loop.fingerprint() == kept.test_loop.fingerprint()
    with torch.no_grad():
        again.model.weight[0] = 1
    assert again.test_loop.fingerprint() != kept.test_loop.fingerprint()
    assert again.test() == plain and seen_by(again) == list(range(SIZE))
    same = make_runner(tmp_path / 'e')
    assert same.test() == plain and seen_by(same) == []


def test_one_result_per_sample(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='FewResults keeps 1 results for 2 samples; .*one per sample'):
        make_runner(tmp_path / 'f', metrics=[FewResults()]).test()


def test_files(tmp_path: Path) -> None:
    for rank, batches in enumerate(([[2, 0]], [[1], [2]])):
        with ResultWriter(tmp_path, rank) as writer:
            for batch in batches:
                writer.write(batch, [[f'x{i}' for i in batch], [i * i for i in batch]])
    assert read_indices(tmp_path) == {0, 1, 2}
    assert read_results(tmp_path, 3) == [['x0', 'x1', 'x2'], [0, 1, 4]]
    with pytest.raises(OSError, match='no results of 1 of 4 samples, such as sample 3'):
        read_results(tmp_path, 4)
    # Neither a header without content nor a changed byte is taken for a record.
    for path, rest in zip(sorted(tmp_path.iterdir()), (struct.pack('<QI', 10**6, 0), b'\x01'), strict=True):
        path.write_bytes(path.read_bytes() + rest)
    assert read_indices(tmp_path) == {0, 1, 2}


class _Attack:
    def __reduce__(self) -> tuple:
        return os.system, ('touch ran',)


def _as_torch(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@dataclasses.dataclass
class Count:
    """Result of a class of its own."""

    value: int


@pytest.mark.parametrize('pack', [pickle.dumps, _as_torch])
def test_tampered_results_run_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Callable) -> None:
    monkeypatch.chdir(tmp_path)
    content = struct.pack('<q', 0) + pack([[_Attack()]])
    header = struct.pack('<QIQ', len(content), zlib.crc32(content), 1)
    (tmp_path / 'x.results').write_bytes(header + content)
    assert read_indices(tmp_path) == {0}
    with pytest.raises(OSError, match=r'x.results: holds no results of a test'):
        read_results(tmp_path, 1)
    assert not (tmp_path / 'ran').exists()


@pytest.mark.parametrize('length, count', [(7 * 10**18, 1), (16, 2**60), (3, 1), (0, 0)])
def test_header_that_cannot_be_meant(tmp_path: Path, length: int, count: int) -> None:
    (tmp_path / 'x.results').write_bytes(struct.pack('<QIQ', length, 0, count) + bytes(16))
    assert read_indices(tmp_path) == set()


def test_classes_of_results_must_be_named(tmp_path: Path) -> None:
    with ResultWriter(tmp_path / 'a', 0, [Count]) as writer:
        writer.write([1, 0], [[Count(5), Count(7)]])
    assert read_results(tmp_path / 'a', 2, [Count]) == [[Count(7), Count(5)]]
    with ResultWriter(tmp_path / 'b', 0) as writer, pytest.raises(ValueError, match='result_types'):
        writer.write([1], [[Count(5)]])


@pytest.mark.parametrize('changed', ['seg/a.png', 'img/a.png', 'classes.txt'])
def test_fingerprint_follows_the_files_of_the_data(tmp_path: Path, changed: str) -> None:
    for name in ('img/a.png', 'seg/a.png'):
        (tmp_path / name).parent.mkdir()
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / name)
    (tmp_path / 'classes.txt').write_text('x\ny\n')
    data = dict(data_root=str(tmp_path), classes='classes.txt', data_prefix=dict(img='img', seg='seg'), test_mode=True)
    dataset = ImageLabelFolderDataset(**data)
    before = _file_stamp(dataset, data)
    assert _file_stamp(dataset, data) == before
    os.utime(tmp_path / changed, (5, 5))
    assert _file_stamp(dataset, data) != before


def _file_stamp(dataset: Dataset, data: dict) -> str:
    digest = hashlib.sha256()
    _add_files(digest, files_of(dataset, dict(data=dict(dataset=data))))
    return digest.hexdigest()
