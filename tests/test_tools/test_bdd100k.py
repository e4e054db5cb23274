"""BDD100K from the layout in which it is published to the values of both benchmarks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny.benchmarks import benchmark_dataset, score_ground_truth
from tiny.tools import run_tool

# Classes: road 7 in two parts, sky 30, person 31, two cars 35 and an ignored one, void 0.
CLASSES = np.repeat([[7, 30, 7, 31, 35, 35, 35, 0]], 6, axis=0)
OBJECTS = np.repeat([[1, 2, 3, 4, 300, 301, 302, 5]], 6, axis=0)
ATTRIBUTES = np.repeat([[0, 0, 0, 0, 8, 0, 1, 0]], 6, axis=0)  # 8: truncated, 1: ignored
NAMES = ('7d06fefd-f7be05a6', '7d128593-0ccfea4c')


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two pictures with both kinds of labels."""
    for folder in ('images/10k/val', 'labels/pan_seg/bitmasks/val', 'labels/sem_seg/masks/val'):
        (tmp_path / folder).mkdir(parents=True)
    bitmask = np.stack([CLASSES, ATTRIBUTES, OBJECTS // 256, OBJECTS % 256], axis=-1).astype(np.uint8)
    semantic = np.repeat(np.array([[0, 10, 0, 11, 13, 13, 13, 255]], dtype=np.uint8), 6, axis=0)
    for name in NAMES:
        Image.new('RGB', (8, 6)).save(tmp_path / 'images/10k/val' / f'{name}.jpg')
        Image.fromarray(bitmask).save(tmp_path / 'labels/pan_seg/bitmasks/val' / f'{name}.png')
        Image.fromarray(semantic).save(tmp_path / 'labels/sem_seg/masks/val' / f'{name}.png')
    return tmp_path


def convert(root: Path, *options: str) -> None:
    run_tool('dataset_converters/bdd100k', root, *options)


def test_annotations(root: Path) -> None:
    convert(root)
    content = json.loads((root / 'labels/pan_seg/panoptic_val.json').read_text())
    assert [c['id'] for c in content['categories']] == list(range(1, 41))
    found = [(s['category_id'], s['area'], s['iscrowd']) for s in content['annotations'][0]['segments_info']]
    assert found == [(7, 12, 0), (30, 6, 0), (31, 6, 0), (35, 6, 0), (35, 6, 0), (35, 6, 1)]


@pytest.mark.parametrize('protocol', ['official', 'recommended'])
def test_ground_truth_scores_100(root: Path, protocol: str) -> None:
    convert(root)
    values = score_ground_truth('bdd100k-panoptic', root, protocol)
    assert values['panoptic/PQ'] == values['semantic_40/mIoU'] == 100
    assert score_ground_truth('bdd100k-panoptic', root, protocol, shift=1)['panoptic/PQ'] == 0
    assert score_ground_truth('bdd100k-semantic', root, protocol)['semantic/mIoU'] == 100
    assert score_ground_truth('bdd100k-semantic', root, protocol, shift=1)['semantic/mIoU'] == 0


def test_labels_and_size(root: Path) -> None:
    convert(root)
    sample = benchmark_dataset('bdd100k-panoptic', root)[0]
    assert sample['data_samples'].gt_sem_seg.sem_seg[0, 0].tolist() == [6, 29, 6, 30, 34, 34, 34, -1]
    assert sample['inputs'].shape == (3, 800, 1066)


def test_wrong_data_are_named(root: Path) -> None:
    path = root / 'labels/pan_seg/bitmasks/val' / f'{NAMES[1]}.png'
    Image.new('RGB', (8, 6)).save(path)
    with pytest.raises(SystemExit, match='7d128593-0ccfea4c.png: not a bitmask'):
        convert(root)
    mixed = np.zeros((6, 8, 4), dtype=np.uint8)
    mixed[..., 3], mixed[:3, :, 0] = 1, 7
    Image.fromarray(mixed).save(path)
    with pytest.raises(SystemExit, match=r'object 1 has the classes \[0, 7\]; expected one'):
        convert(root)
    mixed[..., 0] = 41
    Image.fromarray(mixed).save(path)
    with pytest.raises(SystemExit, match='not a bitmask .four channels, red from 0 to 40'):
        convert(root)
    Image.fromarray(np.full((6, 8), 19, dtype=np.uint8)).save(root / 'labels/sem_seg/masks/val' / f'{NAMES[0]}.png')
    with pytest.raises(ValueError, match=r'label value 19 \(48 pixels\) is outside the class list'):
        benchmark_dataset('bdd100k-semantic', root)[0]
