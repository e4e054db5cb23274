"""The programs of tools/analysis_tools on the tiny run and the generated world: what they write, how they refuse."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import pytest
import torch
from mmengine.config import Config
from tiny.data import write_pictures
from tiny.photos import write_photos
from tiny.tools import CONFIG, ROOT, run_tool

from xdet.compat.checkpoint import save_weights
from xdet.registry import MODELS

JOINT = ROOT / 'tests' / 'tiny' / 'joint_run.py'
PROGRAMS = sorted(path.stem for path in (ROOT / 'tools' / 'analysis_tools').glob('*.py'))
PREDICTING = ('browse_predictions', 'confusion_matrix', 'failure_cases', 'test_robustness')


def run(name: str, *arguments: str | Path) -> None:
    run_tool(f'analysis_tools/{name}', *arguments)


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp('pictures') / 'data', number=3)


@pytest.fixture(scope='module')
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('weights') / 'tiny.safetensors'
    save_weights(MODELS.build(Config.fromfile(str(CONFIG)).model), path, dtype=None)
    return path


@pytest.fixture
def subject(data: Path, weights: Path) -> list[str | Path]:
    return [CONFIG, weights, '--device', 'cpu', '--cfg-options', f'test_dataloader.dataset.data_root={data}']


@pytest.mark.parametrize('name', PROGRAMS)
def test_help(name: str, capsys: pytest.CaptureFixture) -> None:
    run(name, '--help')
    assert f'usage: {name}.py' in capsys.readouterr().out


def test_flops(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run('get_flops', CONFIG, '--shape', '64', '64', '--vocabulary', 'camvid', '--out', tmp_path / 'flops')
    printed = capsys.readouterr().out
    assert 'input 64x64' in printed and '| pixel decoder' in printed
    rows = list(csv.reader((tmp_path / 'flops.csv').open()))
    assert rows[-1][0] == 'all parameters' and float(rows[1][2]) == pytest.approx(2 * float(rows[1][3]))


def test_browsing_training_data(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run('browse_dataset', JOINT, '--num-images', '2', '--out-dir', tmp_path)
    described = json.loads((tmp_path / 'samples.json').read_text())
    assert [entry['picture'] for entry in described] == [
        'segments_0.png', 'segments_1.png', 'captions_0.png', 'captions_1.png'
    ]  # fmt: skip
    assert 'caption' in described[2] and 'caption' not in described[0]
    assert all(cv2.imread(str(tmp_path / entry['picture'])).shape[1] >= 480 for entry in described)
    with pytest.raises(SystemExit, match="--source 'pairs': its train_dataloader has segments, captions"):
        run('browse_dataset', JOINT, '--source', 'pairs', '--out-dir', tmp_path)
    with pytest.raises(SystemExit, match='it has no val_dataloader'):
        run('browse_dataset', JOINT, '--split', 'val', '--out-dir', tmp_path)


def test_browsing_predictions(subject: list, tmp_path: Path) -> None:
    run('browse_predictions', *subject, '--num-images', '2', '--shuffle', '0', '--out-dir', tmp_path)
    described = json.loads((tmp_path / 'predictions.json').read_text())
    assert len(described) == 2 and {path.name for path in tmp_path.glob('*.png')} == {
        entry['picture'] for entry in described
    }


def test_confusion(subject: list, tmp_path: Path) -> None:
    run('confusion_matrix', *subject, '--out-dir', tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {'classes.csv', 'classes.md', 'pixels.csv', 'pixels.png'}
    matrix = list(csv.reader((tmp_path / 'pixels.csv').open()))
    assert matrix[0] == ['true \\ predicted', 'sky', 'grass', 'ball', '(nothing)']
    assert sum(int(cell) for row in matrix[1:] for cell in row[1:]) == 3 * 48 * 64


def test_failures(subject: list, tmp_path: Path) -> None:
    run('failure_cases', *subject, '--worst', '2', '--out-dir', tmp_path)
    found = json.loads((tmp_path / 'scores.json').read_text())
    scores = [image['semantic/mIoU'] for image in found['images']]
    assert found['by'] == 'semantic/mIoU' and len(scores) == 3 and scores == sorted(scores)
    assert (tmp_path / 'worst_1.png').is_file() and len(list((tmp_path / 'pictures').iterdir())) == 2
    with pytest.raises(SystemExit, match="error: scoring: cannot sort by 'mIoU'; .* semantic/mIoU"):
        run('failure_cases', *subject, '--by', 'mIoU', '--out-dir', tmp_path)


def test_photo_report(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_photos(tmp_path / 'photos')
    config = tmp_path / 'tiny_photos.py'
    config.write_text(
        f"_base_ = '{ROOT}/tests/tiny/photo_run.py'\n"
        f"test_sets = dict(again=dict(dataset=dict(data_root='{tmp_path}/photos/')))\n"
    )
    torch.manual_seed(0)
    save_weights(MODELS.build(Config.fromfile(str(config)).model), tmp_path / 'tiny.safetensors', dtype=None)
    subject = [config, tmp_path / 'tiny.safetensors', '--data-root', tmp_path / 'photos', '--device', 'cpu']
    out = ['--out-dir', tmp_path / 'out']
    options = ['--scenes', '2', '--sets', 'again', '--synonyms', 'dog=puppy, hound']
    run('photo_report', *subject, *out, *options, '--pictures', '--draw-every', '2', '--worst', '2')
    found = json.loads((tmp_path / 'out' / 'report.json').read_text())
    assert (
        found['photographs']['images'] == 3 and found['scenes']['images'] == 2 and found['sets']['again']['images'] == 3
    )
    assert [row['synonym'] for row in found['synonyms']['words']] == ['puppy', 'hound']
    assert found['sets']['again']['panoptic/PQ'] == pytest.approx(found['photographs']['panoptic/PQ'], rel=1e-4)
    assert '## Aims' in capsys.readouterr().out and '## Aims' in (tmp_path / 'out' / 'report.md').read_text()
    assert [path.name for path in sorted((tmp_path / 'out' / 'examples').iterdir())] == ['0000_0.png', '0002_2.png']
    assert {path.name for path in (tmp_path / 'out').glob('worst_*.png')} == {
        f'worst_{name}_1.png' for name in ('panoptic-PQ', 'referring-mIoU', 'vqa-accuracy')
    }
    scores = json.loads((tmp_path / 'out' / 'scores.json').read_text())
    assert scores['by'] == 'panoptic/PQ' and len(scores['images']) == 3
    for wrong, message in (
        (['--synonyms', 'dog'], "--synonyms 'dog' is not CLASS=WORD"),
        (['--sets', 'camvid'], '--sets camvid: the test_sets of the config are again'),
        (['--split', 'test'], 'has no panoptic_test.json'),
    ):
        with pytest.raises(SystemExit, match=message):
            run('photo_report', *subject, *out, *wrong)


def test_robustness(subject: list, tmp_path: Path) -> None:
    arguments = ['--factors', '1', '2', '--values', 'semantic/mIoU', '--out-dir', tmp_path]
    run('test_robustness', *subject, *arguments)
    found = json.loads((tmp_path / 'resizing.json').read_text())
    assert list(found) == ['1.0', '2.0'] and {'semantic/mIoU', 'semantic/aAcc'} <= set(found['1.0'])
    assert list(csv.reader((tmp_path / 'resizing.csv').open()))[0] == ['value', 'x 1', 'x 2', 'largest loss']
    with pytest.raises(SystemExit, match='--values PQ: the metrics give semantic/mIoU'):
        run('test_robustness', *subject, '--factors', '1', '--values', 'PQ')
    with pytest.raises(SystemExit, match='factor 0.0 must be greater than 0'):
        run('test_robustness', *subject, '--factors', '0')


def test_logs(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    log = tmp_path / 'scalars.json'
    lines = [dict(step=10 * n, loss=1 / n, time=0.5, data_time=0.1) for n in (1, 2, 3)]
    log.write_text('\n'.join(map(json.dumps, lines)))
    run('analyze_logs', 'plot', log, '--keys', 'lo*', '--out', tmp_path / 'curves.png')
    assert (tmp_path / 'curves.png').is_file()
    run('analyze_logs', 'time', log)
    assert '20.000' in capsys.readouterr().out
    with pytest.raises(SystemExit, match="error: reading logs: no logged value matches 'PQ'"):
        run('analyze_logs', 'plot', log, '--keys', 'PQ')


@pytest.mark.parametrize('name', PREDICTING)
def test_mistakes_end_in_one_line(name: str, subject: list) -> None:
    with pytest.raises(SystemExit, match="'nowhere' is neither a config file nor a shipped model"):
        run(name, 'nowhere')
    with pytest.raises(SystemExit, match='no weights for'):
        run(name, *subject[:1], *subject[2:])
    with pytest.raises(SystemExit, match='--num-images is 0'):
        run(name, *subject, '--num-images', '0')
