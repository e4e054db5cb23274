"""Thresholds of presence: the promised rate holds, and labelled sets are read as they are meant."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from xdet.apis import XDecoderInferencer
from xdet.cli.main import main
from xdet.inference.names.calibration import (
    Calibration,
    Case,
    Finding,
    Threshold,
    conformal_threshold,
    learn,
    load_beside,
    measure,
    presence_at_recall,
    read_cases,
)
from xdet.model_zoo import EMBEDDED
from xdet.scenes.description import VOCABULARY
from xdet.scenes.render import render_scene
from xdet.scenes.sampling import sample_scene


def simulated_images(rng: np.random.Generator, count: int) -> list[list[float]]:
    """Absent names of images whose difficulty differs: names of one image are far from independent."""
    difficulty = rng.normal(size=count)
    return [
        list(1 / (1 + np.exp(-(2 * difficulty[image] + rng.normal(size=rng.integers(1, 9)))))) for image in range(count)
    ]


@pytest.mark.parametrize('alpha', [0.05, 0.2])
@pytest.mark.parametrize('count', [30, 100])
def test_promised_rate_holds(alpha: float, count: int) -> None:
    """Over many calibrations, the mean share of absent names of new images that is reported is at most alpha, and not
    much less: a threshold that reports nothing would be of no use."""
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(400):
        threshold = conformal_threshold(simulated_images(rng, count), alpha)
        shares += [np.mean(np.array(row) > threshold) for row in simulated_images(rng, 20)]
    error = np.std(shares) / np.sqrt(400)  # images that share a threshold are not independent
    assert np.mean(shares) <= alpha + 2 * error
    assert np.mean(shares) >= alpha - 1.5 / count - 3 * error


def test_one_name_per_image_is_split_conformal() -> None:
    scores = np.random.default_rng(1).permutation(np.arange(1, 100) / 100)
    # The k-th smallest of 99 scores with k = ceil(0.9 * 100).
    assert conformal_threshold([[score] for score in scores], 0.1) == 0.9


def test_least_threshold_is_chosen() -> None:
    rows = [[0.1, 0.9], [0.5, 0.5], [0.2]]
    threshold = conformal_threshold(rows, 0.5)

    def risk(value: float) -> float:
        return (sum(np.mean(np.array(row) > value) for row in rows) + 1) / (len(rows) + 1)

    assert risk(threshold) <= 0.5 < risk(threshold - 1e-6)


def test_ties_are_not_reported() -> None:
    assert conformal_threshold([[0.5]] * 9, 0.1) == 0.5


@pytest.mark.parametrize(
    'rows, alpha, told',
    [
        ([[0.1]] * 18, 0.05, '18 images with absent names are too few for alpha 0.05, which needs 19'),
        ([[], [0.1]], 0.5, None),
        ([], 0.5, '0 images'),
        ([[0.1]], 0, 'alpha is 0'),
        ([[0.1]], 1.5, 'alpha is 1.5'),
        ([[0.1]], float('nan'), 'alpha is nan'),
    ],
)
def test_impossible_rates(rows: list, alpha: float, told: str | None) -> None:
    if told is None:
        assert conformal_threshold(rows, alpha) == 0.1
        return
    with pytest.raises(ValueError, match=told):
        conformal_threshold(rows, alpha)


def finding(present: list[float], absent: list[float], least: float = 0.5) -> Finding:
    present_scores, absent_scores = np.array(present), np.array(absent)
    return Finding(present_scores, absent_scores, present_scores > least, absent_scores > least)


def test_measures() -> None:
    findings = [finding([0.9, 0.4], [0.6, 0.1]), finding([0.8], [0.1, 0.2, 0.3, 0.7]), finding([0.7], [])]
    own = measure(findings)
    assert own == dict(recall=0.75, false=pytest.approx(2 / 6), false_per_image=pytest.approx(3 / 8))
    assert measure(findings, 0.65)['false'] == pytest.approx(1 / 6)
    equal = presence_at_recall(findings, 0.75)
    assert measure(findings, equal)['recall'] == 0.75 and 0.4 < equal < 0.7
    assert presence_at_recall(findings, 1.0) < 0.4
    threshold = learn('names', findings, 0.4)
    assert (threshold.images, threshold.absent, threshold.background) == (2, 6, [])


def test_file_goes_round_and_belongs_to_its_weights(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    weights = tmp_path / 'w.safetensors'
    weights.touch()
    beside = tmp_path / 'w.calibration.json'
    threshold = Threshold(0.3, 0.05, 40, 80, ['wall'])
    Calibration('abc').with_threshold('names', threshold).save(beside)
    loaded = load_beside(str(weights), lambda: 'abc')
    assert loaded is not None and loaded.thresholds == {'names': threshold}
    assert loaded.presence('instance') == 0.3 and loaded.presence('refseg') is None
    assert load_beside(str(weights), lambda: 'other') is None and 'belongs to other weights' in caplog.text
    assert load_beside(None, lambda: '') is None and load_beside('https://a/b.pth', lambda: '') is None


@pytest.mark.parametrize(
    'content, told',
    [
        ('{', 'not valid JSON'),
        ('{}', "'format' is missing"),
        ('{"format": 2, "thresholds": {}}', 'reads 1'),
        ('{"format": 1, "thresholds": {"masks": {}}}', 'accepted are names, phrases'),
        (
            '{"format": 1, "thresholds": {"names": {"presence": 7, "alpha": 0.1, "images": 1, "absent": 1, '
            '"background": []}}}',
            "'presence' is 7",
        ),
    ],
)
def test_damaged_files(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / 'c.json').write_text(content)
    with pytest.raises(ValueError, match=told):
        Calibration.load(tmp_path / 'c.json')


CATEGORIES = [dict(id=1, name='cat'), dict(id=7, name='dog'), dict(id=9, name='cow')]
IMAGES = [dict(id=1, file_name='a.png', width=4, height=4), dict(id=2, file_name='b.png', width=4, height=4)]


def labelled(tmp_path: Path, annotations: object) -> Path:
    path = tmp_path / 'labels.json'
    is_coco = isinstance(annotations, dict)
    path.write_text(json.dumps(dict(images=IMAGES, categories=CATEGORIES, **annotations) if is_coco else annotations))
    return path


@pytest.mark.parametrize('panoptic', [True, False])
def test_names_of_coco(tmp_path: Path, panoptic: bool) -> None:
    annotations = [dict(image_id=1, category_id=7), dict(image_id=1, category_id=1)]
    if panoptic:
        annotations = [dict(image_id=1, segments_info=[dict(category_id=7), dict(category_id=1)])]
    kind, cases = read_cases(labelled(tmp_path, dict(annotations=annotations)), tmp_path / 'photos')
    assert kind == 'names'
    assert cases[0] == Case(str(tmp_path / 'photos' / 'a.png'), ('cat', 'dog'), ('cow',))
    assert cases[1].present == () and cases[1].absent == ('cat', 'dog', 'cow')


def test_absent_phrases_are_of_categories_that_the_image_does_not_show(tmp_path: Path) -> None:
    annotations = [
        dict(image_id=1, category_id=1, sentences=[dict(raw='left cat')]),
        dict(image_id=1, category_id=7, sentences=[dict(raw='big dog'), dict(sent='the dog')]),
        dict(image_id=2, category_id=7, sentences=[dict(raw='a dog')]),
    ]
    kind, cases = read_cases(labelled(tmp_path, dict(annotations=annotations)))
    # The first image shows all categories of which there are phrases, so it has no absent ones.
    assert kind == 'phrases' and cases == [Case(str(tmp_path / 'b.png'), ('a dog',), ('left cat',))]


@pytest.mark.parametrize(
    'annotations, told',
    [
        ([], 'empty list'),
        ([dict(present=[])], "entry 0 .*'image' is missing"),
        ([dict(image='a.png', present=['cat', ''])], "'present' has ''"),
        ([dict(image='a.png', present=['Cat'], absent=['cat'])], "'cat' is both present and absent"),
        ([dict(image='a.png', kind='boxes')], "'kind' is 'boxes'"),
        (dict(annotations=[dict(image_id=3, category_id=1)]), 'annotation 0 .* is of image 3'),
        (dict(annotations=[dict(image_id=1, category_id=2)]), 'annotation 0'),
        (dict(annotations=[dict(image_id=1, category_id=1, segments_info='x')]), "'segments_info' is 'x'"),
        (dict(annotations=[dict(image_id=1, category_id=1, sentences=[3])]), 'one of its sentences: is 3'),
        (dict(annotations=[dict(image_id=1, category_id=1, sentences=dict(raw='x'))]), "'sentences' is an object"),
    ],
)
def test_damaged_labels(tmp_path: Path, annotations: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        read_cases(labelled(tmp_path, annotations))


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
def test_mistakes_of_the_command(scenes: Path, words: list[str], told: str, capsys: pytest.CaptureFixture) -> None:
    words = [str(scenes / 'labels.json') if word == 'LABELS' else word for word in words]
    assert main(['calibrate', *words, '--model', 'scenes', '--device', 'cpu']) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith('error: ') and told in line


def test_calibration_of_other_weights_is_refused(tmp_path: Path) -> None:
    Calibration('abc').save(tmp_path / 'c.json')
    with pytest.raises(ValueError, match='belongs to other weights'):
        XDecoderInferencer('scenes', device='cpu', calibration=tmp_path / 'c.json')
    assert not EMBEDDED['scenes'].weights.with_suffix('.calibration.json').exists()
