"""Things across seams are one, for every task."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData, PixelData

from xdet.apis import decode_mask
from xdet.inference.inputs.images import ImageSource
from xdet.inference.tiling.cutting import Tiles
from xdet.inference.tiling.running import run_tiles
from xdet.inference.tiling.windows import open_windows
from xdet.structures import TextPrompts, Vocabulary, XDetDataSample, encode_mask, segment_map

VOCABULARY = Vocabulary(('disc', 'bar', 'ground'), (True, True, False))


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
