"""Images in tiles: the same as at once where one tile does, written as any other, and what cannot be tiled."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from xdet.apis import XDecoderInferencer, decode_mask
from xdet.scenes.render import render_scene
from xdet.scenes.sampling import sample_scene


@pytest.fixture(scope='module')
def model():
    return XDecoderInferencer('scenes', device='cpu')


@pytest.fixture(scope='module')
def scene():
    return render_scene(sample_scene('test', 0, 5), 128).image


@pytest.mark.parametrize('task', ['panoptic', 'instance', 'semantic'])
def test_one_tile_is_the_image(model, scene, task):
    alone, tiled = (model(scene, task=task, tiles=tiles)['predictions'][0] for tiles in (None, 500))

    def told(prediction):
        rows = [{**row, 'id': 0} for row in prediction['segments'] if row.get('score', 1) >= 0.3]
        return sorted(rows, key=lambda row: (row['label'], row['area']))

    assert told(tiled) == told(alone) and tiled['presence'] == alone['presence']
    assert tiled['provenance']['settings']['tiles'] == [500, 62]


def test_files_methods_and_drawings(model, scene, tmp_path):
    wide = np.tile(scene, (1, 2, 1))
    result = model(wide, task='panoptic', tiles=(128, 48), out_dir=tmp_path)['predictions'][0]
    rgb = np.asarray(Image.open(tmp_path / result['files']['panoptic']))
    ids = (rgb * [1, 256, 65536]).sum(-1)
    assert all((decode_mask(row['segmentation']) == (ids == row['id'])).all() for row in result['segments'])
    assert Image.open(tmp_path / result['files']['vis']).size == (512, 256)
    labels = model(wide, task='semantic', tiles=(128, 48), out_dir=tmp_path / 'b')['predictions'][0]
    semantic = np.asarray(Image.open(tmp_path / 'b' / labels['files']['semantic']))
    assert all((decode_mask(row['segmentation']) == (semantic == row['label'])).all() for row in labels['segments'])
    typed = model.results(wide, 'instance', tiles=(128, 48))
    assert len(typed) and typed.masks.shape[1:] == (128, 256) and typed.plot().shape[2] == 3


def test_requests_that_cannot_be_tiled(model, scene):
    for task, options, message in (
        ('caption', dict(tiles=64), "task 'caption' does not take tiles"),
        ('panoptic', dict(tiles=64, return_datasamples=True), 'return_datasamples goes without tiles'),
        ('panoptic', dict(tiles=(64, 70)), 'overlap by 70'),
    ):
        with pytest.raises(ValueError, match=message):
            model(scene, task=task, **options)
    model.set_image(scene)
    with pytest.raises(ValueError, match='not encoded yet'):
        model.predict('panoptic', tiles=64)
    with pytest.raises(ValueError, match='films do not take tiles'):
        model.video([scene], tiles=64)


def test_views_of_tiles_are_those_of_images(model, scene):
    """Where one tile does, both are the same."""
    alone, tiled, plain = (
        [
            row['score']
            for row in model(scene, task='panoptic', **asked)['predictions'][0]['segments']
            if row['is_thing']
        ]
        for asked in (dict(views='1, flip'), dict(views='1, flip', tiles=500), dict(tiles=500))
    )
    assert sorted(tiled) == pytest.approx(sorted(alone), abs=1e-5) and sorted(tiled) != pytest.approx(
        sorted(plain), abs=1e-5
    )
