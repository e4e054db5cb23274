"""The tour shows every task of both models of the package on the committed images, and leaves images and results."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

from xdet.model_zoo import EMBEDDED

TOUR = Path(__file__).resolve().parents[2] / 'demo' / 'tour.py'
TASKS = {
    'photos': {'panoptic', 'instance', 'semantic', 'refseg', 'caption', 'vqa', 'retrieval'},
}
TASKS['scenes'] = TASKS['photos'] | {'refcaption', 'classification'}


@pytest.fixture(scope='module')
def main() -> Callable[[list[str]], int]:
    return runpy.run_path(str(TOUR))['main']


@pytest.fixture(scope='module')
def folder(main: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp('tour')
    assert main(['--out-dir', str(out), '--device', 'cpu']) == 0
    return out


@pytest.mark.parametrize('model', EMBEDDED)
def test_every_task_leaves_results(folder: Path, model: str) -> None:
    names = {'photos': {'chelsea', 'astronaut', 'coffee'}, 'scenes': {'demo_scene'}}[model]
    assert {path.name for path in (folder / model).iterdir()} == TASKS[model] | {'sheet.png'}
    for task in TASKS[model]:
        assert names <= {path.stem for path in (folder / model / task / 'vis').glob('*.png')}, task
        note = json.loads((folder / model / task / 'preds' / f'{min(names)}.json').read_text())['provenance']['note']
        assert note == EMBEDDED[model].knows


def test_photograph_of_a_cat(folder: Path) -> None:
    """By whichever weights of this config: a cat that fills most of the image."""
    result = json.loads((folder / 'photos' / 'panoptic' / 'preds' / 'chelsea.json').read_text())
    cats = [segment for segment in result['segments'] if segment['name'] == 'cat' and segment['score'] > 0.5]
    assert any(cat['area'] > 0.2 * result['height'] * result['width'] for cat in cats)
    assert result['classes'] == list(EMBEDDED['photos'].vocabulary.names)


def test_scene(folder: Path) -> None:
    found = json.loads((folder / 'scenes' / 'refseg' / 'preds' / 'demo_scene.json').read_text())
    assert [segment['phrase'] for segment in found['segments']] == ['the red cross', 'the lowest cross']


def test_image_of_a_user(main: Callable, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    scene = str(TOUR.parent / 'demo_scene.png')
    arguments = ['--phrases', 'the red cross', '--questions', 'is there a ring?', '--out-dir', str(tmp_path)]
    assert main([scene, '--model', 'scenes', *arguments, '--device', 'cpu']) == 0
    printed = capsys.readouterr().out
    assert EMBEDDED['scenes'].knows in printed and all(f'\n{task}\n' in printed for task in TASKS['scenes'])
    assert 'is there a ring?' in printed and [path.name for path in tmp_path.iterdir()] == ['scenes']


def test_a_missing_image_is_one_line(main: Callable, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([str(tmp_path / 'nothing.png'), '--out-dir', str(tmp_path), '--device', 'cpu']) == 2
    assert 'nothing.png' in capsys.readouterr().err
