"""Images in tiles: the same as at once where one tile does, things across seams are one, any task, bad values."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData, PixelData
from PIL import Image

from xdet.apis import XDecoderInferencer, decode_mask
from xdet.inference.inputs.images import ImageSource
from xdet.inference.inputs.windows import open_windows
from xdet.inference.outputs.writer import png_of_strips
from xdet.inference.tiling import Tiles, run_tiles
from xdet.scenes.render import render_scene
from xdet.scenes.sampling import sample_scene
from xdet.structures import TextPrompts, Vocabulary, XDetDataSample, encode_mask, segment_map

VOCABULARY = Vocabulary(('disc', 'bar', 'ground'), (True, True, False))


@pytest.fixture(scope='module')
def model():
    return XDecoderInferencer('scenes', device='cpu')


@pytest.fixture(scope='module')
def scene():
    return render_scene(sample_scene('test', 0, 5), 128).image


@pytest.mark.parametrize('length, size, overlap', [(100, 40, 10), (41, 40, 39), (40, 40, 0), (7, 40, 5), (100, 40, 0)])
def test_cores_cover_every_pixel_once(length, size, overlap):
    spans = Tiles(size, overlap).spans(length)
    assert spans[0].start == spans[0].core == 0 and spans[-1].stop == length
    assert all(span.stop - span.start == min(size, length) for span in spans)
    for left, right in zip(spans, spans[1:], strict=False):
        assert right.before == left.stop and left.stop - right.start >= overlap
        assert right.start <= right.core <= left.stop and left.core < right.core


@pytest.mark.parametrize(
    'value, expected',
    [(64, (64, 8)), ((64, 0), (64, 0)), ('100', (100, 12)), ('100, 20', (100, 20)), ([64, 63], (64, 63))],
)
def test_tiles_in_any_form(value, expected):
    assert Tiles.of(value) == Tiles(*expected)


@pytest.mark.parametrize(
    'value, message',
    [
        ((64, 64), 'tiles of 64 pixels overlap by 64'),
        (0, 'size of tiles is 0'),
        ((64, -1), 'overlap of tiles is -1'),
        ('many', "tiles is 'many'"),
        ('64,', "tiles is '64,'"),
        ((1, 2, 3), 'tiles is'),
        (True, 'tiles is True'),
        (64.5, 'size of tiles is 64.5'),
    ],
)
def test_unusable_tiles(value, message):
    with pytest.raises(ValueError, match=message):
        Tiles.of(value)


def oracle(task, dents=0.0):
    """Reads a tile whose grey values are identities: below 100 discs, below 200 bars, else ground; 0 is void."""
    rng = np.random.default_rng(0)

    def predict(pixels):
        grey = pixels[..., 0].astype(np.int64)
        if dents:
            grey[rng.random(grey.shape) < dents] = 0
        sample = XDetDataSample(metainfo=dict(vocabulary=VOCABULARY, ori_shape=grey.shape))
        label = {int(value): 0 if value < 100 else 1 if value < 200 else 2 for value in np.unique(grey) if value}
        sample.pred_presence = torch.tensor([float(name in label.values()) for name in range(3)])
        if task == 'semantic':
            names = np.vectorize(lambda value: label.get(value, -1))(grey)
            sample.pred_sem_seg = PixelData(sem_seg=torch.from_numpy(names)[None])
        elif task == 'panoptic':
            infos, ids = [], np.zeros_like(grey)
            for value in rng.permutation(list(label)).tolist():
                infos.append(dict(id=len(infos) + 1, label=label[value], is_thing=label[value] < 2, score=0.9))
                ids[grey == value] = len(infos)
            sample.pred_panoptic_seg = segment_map(torch.from_numpy(ids).int(), infos)
        else:
            things = [value for value in rng.permutation(list(label)).tolist() if label[value] < 2]
            masks = np.stack([grey == value for value in things]) if things else np.zeros((0, *grey.shape), bool)
            sample.pred_instances = InstanceData(
                masks=torch.from_numpy(masks),
                labels=torch.tensor([label[value] for value in things], dtype=torch.int64),
                scores=torch.full((len(things),), 0.8),
            )
        return sample

    return predict


def world(size=(150, 190)):
    """Discs and bars of all sizes, some across several seams, on two grounds; neighbours of one class touch."""
    grey = np.full(size, 250, np.uint8)
    grey[90:, :] = 0
    y, x = np.mgrid[: size[0], : size[1]]
    for number, (row, column, radius) in enumerate(
        [(30, 30, 12), (30, 52, 12), (75, 95, 30), (120, 150, 9), (60, 20, 6)]
    ):
        grey[(y - row) ** 2 + (x - column) ** 2 < radius**2] = 1 + number
    grey[134:140, 5:185] = 150
    grey[5:145, 180:186] = 151
    return grey


def joined(task, grey, tiles, **options):
    image = np.repeat(grey[..., None], 3, axis=2)
    with open_windows(ImageSource('world', image)) as windows:
        return run_tiles(windows, Tiles(*tiles), task, TextPrompts(), oracle(task, **options), 0.3)


@pytest.mark.parametrize('tiles', [(64, 16), (50, 24), (400, 0), (90, 30)])
@pytest.mark.parametrize('task', ['panoptic', 'instance', 'semantic'])
def test_everything_is_joined_as_if_seen_at_once(task, tiles):
    grey = world()
    tiled = joined(task, grey, tiles)
    values = [value for value in np.unique(grey).tolist() if value]
    expected = {value: grey == value for value in values if task != 'instance' or value < 200}
    if task == 'semantic':
        label = np.where(grey == 0, -1, np.where(grey < 100, 0, np.where(grey < 200, 1, 2)))
        expected = {name: label == name for name in range(3)}
    codes = sorted(json.dumps(encode_mask(mask)) for mask in expected.values())
    assert sorted(json.dumps(row['segmentation']) for row in tiled.rows) == codes
    for row in tiled.rows:
        mask = decode_mask(row['segmentation'])
        rows, columns = np.nonzero(mask)
        assert row['area'] == mask.sum()
        assert row['box'] == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert row['name'] == VOCABULARY.names[row['label']]
    if task == 'panoptic':
        assert [row['id'] for row in tiled.rows] == list(range(1, len(tiled.rows) + 1))
        for row in tiled.rows:
            assert (decode_mask(row['segmentation']) == (tiled.map == row['id'])).all()
    assert tiled.presence.tolist() == [1, 1, 1]


@pytest.mark.parametrize('task', ['panoptic', 'instance'])
def test_noise_does_not_split_things(task):
    assert len(joined(task, world(), (64, 16), dents=0.1).rows) == (8 if task == 'panoptic' else 7)


def test_without_overlap_things_end_at_seams():
    rows = joined('panoptic', world(), (64, 0)).rows
    assert len([row for row in rows if row['name'] == 'ground']) == 1 and len(rows) > 8


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


@pytest.mark.parametrize('dtype, depth', [(np.uint8, 3), (np.uint8, 0), (np.uint16, 0)])
def test_png_in_strips(tmp_path, dtype, depth):
    array = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (37, 23, *[depth] * (depth > 0))).astype(dtype)
    (tmp_path / 'a.png').write_bytes(png_of_strips((array[top : top + 10] for top in range(0, 37, 10)), 37, 23))
    assert (np.asarray(Image.open(tmp_path / 'a.png')) == array).all()
