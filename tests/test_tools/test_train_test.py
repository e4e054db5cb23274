"""tools/train.py and tools/test.py on a tiny run: what they write, how they resume, how they refuse."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from tiny.data import CLASSES, write_pictures
from tiny.tools import CONFIG, data_options, run_tool

from xdet.compat.checkpoint import read_checkpoint


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp('pictures') / 'data')


@pytest.fixture(scope='module')
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Work dir of a finished training."""
    work_dir = tmp_path_factory.mktemp('trained')
    run_tool('train', CONFIG, '--work-dir', work_dir, *data_options(data))
    return work_dir


def weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(checkpoint)['state_dict']


def scalars(work_dir: Path) -> list[dict]:
    [log] = sorted(work_dir.glob('*/vis_data/scalars.json'))[-1:]
    return [json.loads(line) for line in log.read_text().splitlines()]


def error_line(capsys: pytest.CaptureFixture, tool: str, *arguments: str | Path) -> str:
    """The one line that a tool ends with."""
    with pytest.raises(SystemExit) as info:
        run_tool(tool, *arguments)
    message = str(info.value)
    assert message.startswith('error: ') and '\n' not in message
    return message


def test_training_writes_checkpoints_logs_and_metrics(trained: Path) -> None:
    assert {path.name for path in trained.glob('*.pth')} == {'iter_3.pth', 'iter_6.pth'}
    steps = [line for line in scalars(trained) if 'loss' in line]
    assert [line['step'] for line in steps] == [1, 2, 3, 4, 5, 6]
    assert steps[-1]['loss'] < steps[0]['loss']
    assert 0 <= scalars(trained)[-1]['semantic/mIoU'] <= 100


def test_training_writes_down_its_words(trained: Path) -> None:
    known = read_checkpoint(trained / 'iter_3.pth')['meta']['known_words']
    assert sorted(known['names']) == sorted(CLASSES) and known['threshold'] is None


def test_resumed_training_equals_an_uninterrupted_one(data: Path, trained: Path, tmp_path: Path) -> None:
    run_tool('train', CONFIG, '--work-dir', tmp_path, *data_options(data, 'train_cfg.max_iters=3'))
    # Another interval, so that validation at another time is shown to change nothing.
    run_tool('train', CONFIG, '--work-dir', tmp_path, '--resume', *data_options(data, 'train_cfg.val_interval=2'))
    resumed, uninterrupted = weights(tmp_path / 'iter_6.pth'), weights(trained / 'iter_6.pth')
    assert resumed.keys() == uninterrupted.keys()
    assert all(torch.equal(resumed[key], uninterrupted[key]) for key in resumed)


def test_resume_from_a_named_checkpoint(data: Path, trained: Path, tmp_path: Path) -> None:
    run_tool('train', CONFIG, '--work-dir', tmp_path, '--resume', trained / 'iter_3.pth', *data_options(data))
    resumed, uninterrupted = weights(tmp_path / 'iter_6.pth'), weights(trained / 'iter_6.pth')
    assert all(torch.equal(resumed[key], uninterrupted[key]) for key in resumed)


def test_weights_are_the_start(data: Path, trained: Path, tmp_path: Path) -> None:
    options = data_options(data, 'train_cfg.max_iters=1', 'optim_wrapper.optimizer.lr=0.0', 'val_cfg.type=ValLoop')
    run_tool(
        'train', CONFIG, '--work-dir', tmp_path, '--weights', trained / 'iter_6.pth', '--resume', *options
    )  # nothing to resume from, so the weights count
    loaded, given = weights(tmp_path / 'iter_1.pth'), weights(trained / 'iter_6.pth')
    assert all(torch.equal(loaded[key], given[key]) for key in given)


def test_mixed_precision_and_scaled_learning_rate(data: Path, tmp_path: Path) -> None:
    options = data_options(data, 'train_cfg.max_iters=1', 'param_scheduler.start_factor=1.0')
    run_tool('train', CONFIG, '--work-dir', tmp_path, '--amp', 'bf16', '--auto-scale-lr', *options)
    [step] = [line for line in scalars(tmp_path) if 'loss' in line]
    # The logged rate is the backbone's, a tenth of 1e-3; the batch size is 2 and the rate meant for 4.
    assert step['lr'] == pytest.approx(1e-3 * 0.1 * 2 / 4)
    assert all(
        value.dtype == torch.float32 for value in weights(tmp_path / 'iter_1.pth').values() if value.is_floating_point()
    )


def test_testing_repeats_the_metrics_and_writes_results(data: Path, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / 'predictions.pkl'
    run_tool(
        'test', CONFIG, trained / 'iter_6.pth', '--work-dir', tmp_path, '--out', out, '--show-dir', 'pictures',
        *data_options(data),
    )  # fmt: skip
    [metrics] = [json.loads(path.read_text()) for path in tmp_path.glob('*/*.json')]
    assert metrics['semantic/mIoU'] == pytest.approx(scalars(trained)[-1]['semantic/mIoU'])
    predictions = pickle.loads(out.read_bytes())
    assert len(predictions) == 6
    assert predictions[0]['pred_sem_seg']['sem_seg'].shape == (1, 48, 64)
    assert len(list(tmp_path.glob('*/pictures/*.png'))) == 6


@pytest.mark.parametrize('tool', ['train', 'test'])
def test_help(tool: str, capsys: pytest.CaptureFixture) -> None:
    run_tool(tool, '--help')
    # mim adds `--gpus 1` to the command when the help mentions it, which the program would refuse.
    printed = capsys.readouterr().out
    assert f'usage: {tool}.py' in printed and '--gpus' not in printed


@pytest.mark.parametrize(
    ('arguments', 'parts'),
    [
        (['nowhere.py'], ["'nowhere.py' is neither a config file nor a shipped model"]),
        (['xdecoder_focal-tt'], ['did you mean', 'xdecoder_focal-t']),
        ([CONFIG, '--cfg-options', 'modle.x=1'], ["the config has no 'modle'", "did you mean 'model'"]),
        ([CONFIG, '--cfg-options', 'model.decodr.num_queries=1'], ["model has no 'decodr'", 'decoder']),
        ([CONFIG, '--cfg-options', 'model.decodr=1'], ['XDecoder has no such argument', "did you mean 'decoder'"]),
        ([CONFIG, '--cfg-options', 'model.backbone.type=FocalNett'], ['FocalNett is not in the', 'registry']),
        ([CONFIG], ['data of config', 'classes.txt']),
        ([CONFIG, '--auto-scale-lr', '--cfg-options', 'auto_scale_lr=None'], ['no auto_scale_lr.base_batch_size']),
        ([CONFIG, '--cfg-options', 'nothing'], ["'nothing' is no KEY=VALUE"]),
        ([CONFIG, '--cfg-options', 'lora=dict(r=8)'], ['is a dict', 'lora.NAME=VALUE']),
        ([CONFIG, '--cfg-options', 'max_iters=1'], ["'max_iters' is a variable", 'set train_cfg.max_iters']),
        ([CONFIG, '--cfg-options', 'train_cfg.max_iters=-1'], ["'train_cfg.max_iters' is -1"]),
        ([CONFIG, '--cfg-options', 'model=None'], ["'model' is null"]),
        ([CONFIG, '--resume', 'a.pth', '--load-from', 'b.pth'], ['do not go together']),
        ([CONFIG, '--show-interval', '3'], ['--show-dir']),
        ([CONFIG, '--launcher', 'pytorch'], ["launcher 'pytorch' sets RANK", 'dist_train.sh']),
    ],
    ids=lambda value: ' '.join(map(str, value[-1:])) if isinstance(value, list) else None,
)
def test_mistakes_in_training_end_in_one_line(
    arguments: list, parts: list[str], tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv('RANK', raising=False)
    message = error_line(capsys, 'train', arguments[0], '--work-dir', tmp_path, *arguments[1:])
    assert all(part in message for part in parts), message


@pytest.mark.parametrize(
    ('options', 'parts'),
    [
        (['optim_wrapper.optimizer.type=Nothing'], ["config key 'optim_wrapper'", 'Nothing']),
        (['optim_wrapper.optimizer.nothing=1'], ["config key 'optim_wrapper.optimizer.nothing'", 'AdamW']),
        (['param_scheduler.type=Nothing'], ["config key 'param_scheduler'", 'Nothing']),
        (['param_scheduler.end=-1'], ["config key 'param_scheduler.end' is -1", 'above 0']),
        (['train_dataloader.dataset.dataset.pipeline=[]'], ['training: ']),
    ],
)
def test_mistakes_that_show_when_training_begins(
    options: list[str], parts: list[str], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    message = error_line(capsys, 'train', CONFIG, '--work-dir', tmp_path, *data_options(data, *options))
    assert all(part in message for part in parts), message


def test_settings_that_a_resumed_training_keeps_are_told(
    data: Path, trained: Path, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    resume = ('train', CONFIG, '--work-dir', tmp_path, '--resume', trained / 'iter_6.pth')
    changes = ('optim_wrapper.optimizer.lr=1e-6', 'train_cfg.max_iters=7', 'param_scheduler.end=9')
    run_tool(*resume, *data_options(data, *changes))
    output = capfd.readouterr()
    assert 'lr, param_scheduler of the config have no effect' in output.out + output.err
    run_tool(*resume, *data_options(data))
    output = capfd.readouterr()
    assert 'nothing is left to train' in output.out + output.err
    assert 'no effect' not in output.out + output.err


def test_resuming_beyond_the_end(data: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    arguments = ('--work-dir', tmp_path, '--resume', trained / 'iter_6.pth')
    message = error_line(capsys, 'train', CONFIG, *arguments, *data_options(data, 'train_cfg.max_iters=4'))
    assert 'it has trained 6 iters, more than train_cfg.max_iters=4' in message


@pytest.mark.parametrize(
    'change',
    [
        lambda state: state['meta'].update(iter='6'),
        lambda state: state.update(message_hub=5),
        lambda state: state.update(optimizer=dict(a=1)),
        lambda state: state.update(optimizer=5),
        lambda state: state['optimizer'].update(param_groups=[]),
        lambda state: state.update(param_schedulers=5),
        lambda state: state.update(state_dict=5),
        lambda state: state.update(meta=None),
    ],
)
def test_training_state_of_another_kind(
    data: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture, change
) -> None:
    state = read_checkpoint(trained / 'iter_3.pth')
    change(state)
    torch.save(state, tmp_path / 'x.pth')
    arguments = ('--work-dir', tmp_path, '--resume', tmp_path / 'x.pth')
    assert 'x.pth' in error_line(capsys, 'train', CONFIG, *arguments, *data_options(data))


def test_trackers_are_added(data: Path, tmp_path: Path) -> None:
    pytest.importorskip('tensorboard')
    options = data_options(data, 'train_cfg.max_iters=1')
    run_tool('train', CONFIG, '--work-dir', tmp_path, '--track', 'tensorboard', *options)
    assert scalars(tmp_path) and list(tmp_path.rglob('events.out.*'))


def test_broken_config_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / 'broken.py'
    path.write_text('model = dict(\n')
    assert 'broken.py' in error_line(capsys, 'train', path, '--work-dir', tmp_path)


def test_misspelt_key_in_a_config_file(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / 'mine.py'
    path.write_text(f"_base_ = '{CONFIG}'\noptim_wraper = dict(clip_grad=None)\n")
    message = error_line(capsys, 'train', path, '--work-dir', tmp_path)
    assert "'optim_wraper' is read by nothing; did you mean 'optim_wrapper'?" in message


def test_resuming_from_bare_weights(data: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    bare = tmp_path / 'bare.pth'
    torch.save(weights(trained / 'iter_6.pth'), bare)
    message = error_line(capsys, 'train', CONFIG, '--work-dir', tmp_path, '--resume', bare, *data_options(data))
    assert 'bare.pth' in message and 'no training state' in message and '--load-from' in message


def test_weights_that_do_not_fit(data: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    options = data_options(data, 'model.decoder.num_queries=11')
    arguments = (CONFIG, trained / 'iter_6.pth', '--work-dir', tmp_path)
    message = error_line(capsys, 'test', *arguments, *options)
    assert 'iter_6.pth' in message and '9 queries' in message and '11' in message
    # Allowed by name, they keep the values of the new model.
    run_tool('test', *arguments, '--allow-missing', 'decoder.query_*', *options)


@pytest.mark.parametrize('content', [b'', b'not a checkpoint'])
def test_damaged_checkpoint(content: bytes, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / 'broken.pth'
    path.write_bytes(content)
    assert 'broken.pth' in error_line(capsys, 'test', CONFIG, path, '--work-dir', tmp_path, *data_options(data))


@pytest.mark.parametrize(
    ('arguments', 'part'),
    [
        ([CONFIG, 'nowhere.pth'], "'nowhere.pth' does not exist"),
        ([CONFIG, 'x.pth', '--out', 'x.json'], "--out 'x.json' must end in .pkl"),
        ([CONFIG, 'x.pth', '--out', 'FOLDER/file/x.pkl'], "'FOLDER/file' is no folder"),
        ([CONFIG, 'x.pth', '--out', 'FOLDER/x.pkl'], "argument --out: 'FOLDER/x.pkl' is a folder; give a file"),
        (
            [CONFIG, 'x.pth', '--format', 'coco', '--out', 'FOLDER/file'],
            "argument --out: 'FOLDER/file' is a file; give a folder",
        ),
        ([CONFIG, 'x.pth', '--show-dir', 'FOLDER/file'], "--show-dir: 'FOLDER/file' is a file; give a folder"),
        (['xdecoder_focal-nano', 'x.pth'], 'no test_dataloader'),
    ],
)
def test_mistakes_in_testing_end_in_one_line(
    arguments: list, part: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    options = data_options(data) if arguments[0] == CONFIG else []
    (tmp_path / 'x.pkl').mkdir()
    (tmp_path / 'file').touch()
    arguments = [str(word).replace('FOLDER', str(tmp_path)) for word in arguments]
    part = part.replace('FOLDER', str(tmp_path))
    assert part in error_line(capsys, 'test', *arguments, '--work-dir', tmp_path, *options)


@pytest.mark.parametrize('arguments', [[CONFIG], [CONFIG, 'a.pth', '--weights', 'b.pth']])
def test_weights_must_be_given_once(arguments: list, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        run_tool('test', *arguments)
    assert 'give the weights once' in capsys.readouterr().err


def test_protocol_is_for_benchmarks(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        run_tool('test', CONFIG, 'weights.pth', '--protocol', 'official')
    assert 'name them by --benchmark' in capsys.readouterr().err
