"""Options of training, each on the tiny joint run through ``tools/train.py``, as users give them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tiny.tools import ROOT, run_tool

from xdet.cli.commands.train import alone_in
from xdet.compat.checkpoint import read_checkpoint
from xdet.io.locking import locked

CONFIG = ROOT / 'tests' / 'tiny' / 'joint_run.py'
SHORT = ('train_cfg.max_iters=2', 'default_hooks.checkpoint.interval=1')


def train(work_dir: Path, *arguments: str, options: tuple[str, ...] = SHORT) -> list[dict]:
    """Train; returns the logged losses of every iteration."""
    run_tool('train', CONFIG, '--work-dir', work_dir, *arguments, '--cfg-options', *options)
    [log] = work_dir.glob('*/vis_data/scalars.json')
    return [json.loads(line) for line in log.read_text().splitlines()]


def weights(checkpoint: Path, part: str = 'state_dict') -> dict[str, torch.Tensor]:
    return read_checkpoint(checkpoint)[part]


@pytest.fixture(scope='module')
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict]]:
    work_dir = tmp_path_factory.mktemp('plain')
    return work_dir, train(work_dir)


def test_losses_are_logged_by_source(plain: tuple[Path, list[dict]]) -> None:
    for step in plain[1]:
        assert step['loss'] == pytest.approx(step['segments.loss'] + step['captions.loss'], rel=1e-4)
        assert {'segments.loss_mask', 'segments.d0.loss_cls', 'captions.loss_retrieval'} <= step.keys()


def test_averaged_weights(plain: tuple[Path, list[dict]], tmp_path: Path) -> None:
    """MMEngine saves the average where the weights were, and these beside it; the training itself is unchanged."""
    train(tmp_path, '--ema', '0.25')
    first, second = (weights(plain[0] / f'iter_{i}.pth') for i in (1, 2))
    average = weights(tmp_path / 'iter_2.pth')
    for key, value in weights(tmp_path / 'iter_2.pth', 'ema_state_dict').items():
        if key.startswith('module.'):
            name = key.removeprefix('module.')
            assert torch.equal(value, second[name])
            torch.testing.assert_close(average[name], 0.75 * first[name] + 0.25 * second[name])


@pytest.mark.parametrize('dtype', ['fp16', 'bf16'])
def test_mixed_precision(plain: tuple[Path, list[dict]], tmp_path: Path, dtype: str) -> None:
    # float16's scale starts so high that the first steps of a real training overflow and are skipped, by design.
    scale = ('optim_wrapper.loss_scale=128.0',) if dtype == 'fp16' else ()
    steps = train(tmp_path, '--amp', dtype, options=(*SHORT, *scale))
    for step, exact in zip(steps, plain[1], strict=True):
        assert step['loss'] == pytest.approx(exact['loss'], rel=0.02)
        assert step['grad_norm'] == pytest.approx(exact['grad_norm'], rel=0.2)
    assert steps[0]['loss'] != plain[1][0]['loss']
    trained = weights(tmp_path / 'iter_2.pth')
    assert all(value.dtype == torch.float32 for value in trained.values() if value.is_floating_point())
    assert any(not torch.equal(trained[key], value) for key, value in weights(plain[0] / 'iter_1.pth').items())


@pytest.mark.parametrize('dtype', ['fp16', 'bf16'])
def test_all_that_one_process_can_combine(plain: tuple[Path, list[dict]], tmp_path: Path, dtype: str) -> None:
    """Adapters, averages, half precision, accumulation, checkpointing, compilation and given weights."""
    start = plain[0] / 'iter_1.pth'
    options = (
        *SHORT, 'lora.r=2', 'optim_wrapper.accumulative_counts=2', 'model.backbone.with_cp=True',
        'model.decoder.with_cp=True', 'compile.backend=eager', 'compile.modules=[pixel_decoder]',
    )  # fmt: skip
    scale = ('optim_wrapper.loss_scale=128.0',) if dtype == 'fp16' else ()
    train(tmp_path, '--ema', '0.25', '--amp', dtype, '--weights', str(start), options=(*options, *scale))
    before, saved = weights(start), read_checkpoint(tmp_path / 'iter_2.pth')
    trained = {key.removeprefix('module.'): value for key, value in saved['ema_state_dict'].items()}
    assert all(torch.equal(trained[key], value) for key, value in before.items())
    adapters = [key for key in trained if 'lora_B' in key]
    assert adapters and any(trained[key].any() for key in adapters)
    for key in adapters:  # after two iterations, in the second of which there was an update
        torch.testing.assert_close(saved['state_dict'][key], 0.25 * trained[key])


def test_accumulation_updates_once(tmp_path: Path) -> None:
    """Both sources count as one iteration."""
    train(tmp_path, options=(*SHORT, 'optim_wrapper.accumulative_counts=2'))
    [first, second] = (read_checkpoint(tmp_path / f'iter_{i}.pth') for i in (1, 2))
    assert not first['optimizer']['state']
    steps = {int(state['step']) for state in second['optimizer']['state'].values()}
    assert steps == {1}


@pytest.mark.parametrize(
    'options',
    [
        ('model.backbone.with_cp=True', 'model.decoder.with_cp=True', 'model.text_encoder.with_cp=True'),
        ('compile.backend=eager', 'compile.modules=[pixel_decoder]'),
        pytest.param(('compile.backend=eager',), marks=pytest.mark.slow),
        pytest.param(('compile=True',), marks=pytest.mark.slow),  # generates and compiles C++: minutes
    ],
    ids=['checkpointing', 'traced part', 'traced', 'compiled'],
)
def test_the_same_training_in_another_way(
    plain: tuple[Path, list[dict]], tmp_path: Path, options: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('TORCHINDUCTOR_CACHE_DIR', str(tmp_path / 'compiled'))
    steps = train(tmp_path, options=(*SHORT, *options))
    for step, exact in zip(steps, plain[1], strict=True):
        assert step['loss'] == pytest.approx(exact['loss'], rel=1e-4)
        assert step['grad_norm'] == pytest.approx(exact['grad_norm'], rel=1e-3)
    assert weights(tmp_path / 'iter_2.pth').keys() == weights(plain[0] / 'iter_2.pth').keys()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--ema', '1.5'], '--ema: the momentum is 1.5'),
        (['--cfg-options', 'compile.modules=[backbon]'], "compile.modules names 'backbon'; the model has"),
        (['--cfg-options', 'train_cfg.weights.captoins=1.0'], 'captoins; sources are segments, captions'),
    ],
)
def test_mistakes_end_in_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(SystemExit) as info:
        run_tool('train', CONFIG, '--work-dir', tmp_path, *arguments)
    assert message in str(info.value) and '\n' not in str(info.value)


def test_a_work_dir_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / 'file').touch()
    with pytest.raises(SystemExit, match='argument --work-dir: .*file. is a file; give a folder'):
        run_tool('train', CONFIG, '--work-dir', tmp_path / 'file')


def test_a_second_training_in_a_work_dir_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('xdet.cli.commands.train.time.sleep', lambda seconds: None)
    with (
        locked(tmp_path / '.lock', wait=False),
        pytest.raises(ValueError, match='another process trains in'),
        alone_in(str(tmp_path)),
    ):
        pass
    with alone_in(str(tmp_path)), pytest.raises(BlockingIOError), locked(tmp_path / '.lock', wait=False):
        pass
