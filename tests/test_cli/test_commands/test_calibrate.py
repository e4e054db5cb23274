"""``xdet calibrate``: what it learns is obeyed, and mistakes are one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from xdet.apis import XDecoderInferencer
from xdet.cli.main import main
from xdet.inference.names.calibration import Calibration
from xdet.scenes.description import VOCABULARY
from xdet.scenes.render import render_scene
from xdet.scenes.sampling import sample_scene


@pytest.fixture(scope='module')
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A labelled set of the generated world: all its names, whether they are there or not."""
    import cv2

    folder = tmp_path_factory.mktemp('scenes')
    cases = []
    for index in range(24):
        scene = render_scene(sample_scene('test', 0, index), 96)
        cv2.imwrite(str(folder / f'{index}.png'), scene.image)
        there = {VOCABULARY.names[info['label']] for info in scene.segments_info}
        absent = [name for name in VOCABULARY.names if name not in there][:12]
        cases.append(dict(image=f'{index}.png', present=sorted(there), absent=absent))
    (folder / 'labels.json').write_text(json.dumps(cases))
    return folder


def test_command_learns_and_predictions_obey(scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / 'c.json'
    labels = str(scenes / 'labels.json')
    assert main(['calibrate', labels, '--model', 'scenes', '--device', 'cpu', '--alpha', '0.1', '--out', str(out)]) == 0
    printed = capsys.readouterr().out
    assert '24 images with 288 absent names' in printed and 'equal recall' in printed
    learned = Calibration.load(out).thresholds['names']
    assert 0 <= learned.presence < 1 and learned.alpha == 0.1
    model = XDecoderInferencer('scenes', device='cpu', calibration=out)
    (case,) = json.loads((scenes / 'labels.json').read_text())[:1]
    found = model.segment(scenes / case['image'], [*case['present'], *case['absent']])
    assert found.prediction['provenance']['prompts']['thresholds'] == dict(presence=learned.presence)
    assert all(
        (found.presence[name] <= learned.presence) == (name in found.prediction['absent']) for name in found.presence
    )
    assert not {name for name in found.names if found.presence[name] <= learned.presence}
    # What is said in a call counts.
    assert model.segment(scenes / case['image'], case['present'], presence=0.0).prediction['absent'] == []


@pytest.mark.parametrize(
    'words, told',
    [
        (['missing.json'], 'missing.json'),
        (['LABELS', '--images', 'nowhere'], 'say where they are by --images'),
        (['LABELS', '--alpha', '0.01'], 'needs 99'),
        (['LABELS', '--alpha', '2'], 'alpha is 2'),
        (['LABELS', '--task', 'refseg'], 'accepted are semantic, instance, panoptic'),
        (['LABELS', '--holdout', '1'], 'holdout is 1'),
        (['LABELS', '--alpha', '0.2'], 'by --out FILE'),
    ],
)
def test_mistakes_of_the_command(
    scenes: Path, words: list[str], told: str, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them end before the model looks at an image."""
    monkeypatch.setattr('xdet.inference.names.calibration.look', None)
    words = [str(scenes / 'labels.json') if word == 'LABELS' else word for word in words]
    assert main(['calibrate', *words, '--model', 'scenes', '--device', 'cpu']) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith('error: ') and told in line
