"""Results written for annotation tools."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from xdet.apis import XDecoderInferencer
from xdet.cli.main import main
from xdet.datasets.exchange import read_annotations
from xdet.datasets.exchange.kinds import KINDS, WRITTEN
from xdet.datasets.exchange.source import Source
from xdet.inference.asking import check_request
from xdet.inference.outputs.annotations import annotated_set
from xdet.structures import encode_mask

DEMO = Path(__file__).resolve().parents[3] / 'demo' / 'demo_scene.png'
NAMES = ['red cross', 'green heart', 'purple star']


@pytest.fixture(scope='module')
def found():
    model = XDecoderInferencer('scenes', device='cpu')
    return model.segment(model.set_image(DEMO), NAMES, stuff=['sky', 'sand'])


@pytest.mark.parametrize('kind', sorted(set(WRITTEN) - {'coco-results'}))
def test_every_format(found, kind, tmp_path):
    out = found.save(tmp_path / kind, format=kind)
    data = read_annotations(Source(out, images=None if KINDS[kind].beside else DEMO.parent), kind)
    (image,) = data.images
    assert [segment.name for segment in image.segments] == found.names
    for mask, segment in zip(found.masks, image.segments, strict=True):
        both = (mask & segment.array()).sum() / (mask | segment.array()).sum()
        assert both == 1 if KINDS[kind].exact else both > 0.97


def test_files_and_annotations(found, tmp_path):
    assert len(json.loads(found.save(tmp_path / 'a.json', format='labelme').read_text())['shapes']) >= len(found)
    image = found.to_annotations()
    assert image.file == DEMO.name and image.path and [s.score for s in image.segments] == found.scores.tolist()
    with pytest.raises(ValueError, match="format 'paint' is unknown"):
        found.save(tmp_path / 'b', format='paint')


def test_scores_and_names():
    mask = dict(size=[4, 4], counts='0@0')
    rows = [dict(phrase=phrase, score=0.1, area=area, segmentation=mask) for phrase, area in (('a', 16), ('b', 0))]
    prediction = dict(image='image_1', height=4, width=4, segments=rows)
    data = annotated_set([prediction, prediction])
    assert data.names == ('a', 'b') and [image.file for image in data.images] == ['image_1.png', 'image_1_2.png']
    assert [segment.name for segment in data.images[0].segments] == ['a']


def test_command(tmp_path, capsys):
    words = ['predict', str(DEMO), '--model', 'scenes', '--classes', *NAMES, '--no-save-vis', '--no-save-pred']
    assert main([*words, '--format', 'yolo-seg,coco-results', '--out-dir', str(tmp_path)]) == 0
    assert f'yolo-seg in {tmp_path}' in capsys.readouterr().out
    (image,) = read_annotations(Source(tmp_path / 'yolo-seg')).images
    assert {segment.name for segment in image.segments} == {'red cross', 'green heart'}
    rows = json.loads((tmp_path / 'coco-results' / 'results.json').read_text())
    assert len(rows) >= 2 and all(np.isfinite(row['score']) for row in rows)
    assert main([*words, '--format', 'yolo-seg', '--out-dir', str(tmp_path)]) == 2
    assert 'is not empty' in capsys.readouterr().err


@pytest.mark.parametrize(
    'options, told',
    [
        (dict(task='panoptic', formats='paint'), "format 'paint' is unknown"),
        (dict(task='caption', formats='coco', out_dir='x'), 'for tasks that find masks'),
        (dict(task='panoptic', formats='coco'), 'out_dir, which is not given'),
    ],
)
def test_mistakes(options, told):
    with pytest.raises(ValueError, match=told):
        check_request(str(DEMO), **options)


def test_names_of_predictions_are_on_one_line() -> None:
    covered = np.ones((4, 4), bool)
    row = dict(name='traffic\n light', segmentation=encode_mask(covered), area=16, score=0.5, is_thing=False)
    data = annotated_set([dict(image='x', height=4, width=4, classes=['traffic\n light', 'b'], segments=[row])])
    assert data.names == ('traffic light', 'b') and data.stuff == {'traffic light'}
    assert data.images[0].segments[0].name == 'traffic light'
