"""Cityscapes from the layout in which it is published to the values of the benchmark."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny.benchmarks import benchmark_dataset, score_ground_truth, score_model
from tiny.tools import run_tool

# Ids of labels.py: ego vehicle 1, road 7, sky 23, person 24, car 26 (two of them and a group), caravan 29.
IDS = np.repeat([[1, 7, 23, 24000, 26000, 26001, 26, 29]], 6, axis=0)
NAMES = ('frankfurt_000000_000294', 'munster_000001_000019')


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A picture of each of two cities."""
    for name in NAMES:
        city = name.split('_')[0]
        for folder in ('leftImg8bit', 'gtFine'):
            (tmp_path / folder / 'val' / city).mkdir(parents=True)
        Image.new('RGB', (8, 6)).save(tmp_path / 'leftImg8bit/val' / city / f'{name}_leftImg8bit.png')
        Image.fromarray(IDS.astype(np.uint16)).save(tmp_path / 'gtFine/val' / city / f'{name}_gtFine_instanceIds.png')
    return tmp_path


def convert(root: Path, *options: str) -> None:
    run_tool('dataset_converters/cityscapes', root, *options)


def test_annotations_are_those_of_cityscapes_scripts(root: Path) -> None:
    convert(root)
    panoptic = json.loads((root / 'gtFine/cityscapes_panoptic_val.json').read_text())
    assert [(c['id'], c['isthing']) for c in panoptic['categories']][-2:] == [(32, 1), (33, 1)]
    assert panoptic['images'][0] == dict(id=NAMES[0], file_name=f'{NAMES[0]}_gtFine_leftImg8bit.png', height=6, width=8)
    annotation = panoptic['annotations'][0]
    assert annotation['file_name'] == f'{NAMES[0]}_gtFine_panoptic.png'
    found = [(s['id'], s['category_id'], s['iscrowd']) for s in annotation['segments_info']]
    assert found == [(7, 7, 0), (23, 23, 0), (26, 26, 1), (24000, 24, 0), (26000, 26, 0), (26001, 26, 0)]
    assert annotation['segments_info'][0] | dict(area=6, bbox=[1, 0, 1, 6]) == annotation['segments_info'][0]
    with Image.open(root / 'gtFine/cityscapes_panoptic_val' / annotation['file_name']) as image:
        assert np.array(image)[0, 4].tolist() == [26000 % 256, 26000 // 256, 0]
    instances = json.loads((root / 'gtFine/cityscapes_instance_val.json').read_text())
    assert [(a['category_id'], a['iscrowd']) for a in instances['annotations']][:4] == [
        (26, 1), (24, 0), (26, 0), (26, 0),
    ]  # fmt: skip
    assert [c['name'] for c in instances['categories']][:3] == ['person', 'rider', 'car']


@pytest.mark.parametrize('protocol', ['official', 'recommended'])
def test_ground_truth_scores_100(root: Path, protocol: str) -> None:
    convert(root)
    values = score_ground_truth('cityscapes', root, protocol)
    assert values['panoptic/PQ'] == values['semantic/mIoU'] == 100
    assert values['instance/AP'] == pytest.approx(100)
    wrong = score_ground_truth('cityscapes', root, protocol, shift=1)
    assert wrong['panoptic/PQ'] == 0 and wrong['instance/AP'] == 0 and wrong['semantic/mIoU'] == 0


def test_labels_are_train_ids(root: Path) -> None:
    convert(root)
    sample = benchmark_dataset('cityscapes', root)[1]
    assert sample['data_samples'].gt_sem_seg.sem_seg[0, 0].tolist() == [-1, 0, 10, 11, 13, 13, 13, -1]
    assert sample['data_samples'].img_path.endswith('leftImg8bit/val/munster/munster_000001_000019_leftImg8bit.png')
    assert sample['inputs'].shape == (3, 1024, 1365)


def test_incomplete_data_are_named(root: Path) -> None:
    with pytest.raises(SystemExit, match='gtFine/train: no such folder'):
        convert(root, '--splits', 'train')
    convert(root)
    (root / f'leftImg8bit/val/munster/{NAMES[1]}_leftImg8bit.png').unlink()
    with pytest.raises(FileNotFoundError, match='1 listed file.* the first is .*munster_000001_000019_leftImg8bit.png'):
        benchmark_dataset('cityscapes', root)[0]
    (root / f'gtFine/val/munster/{NAMES[1]}_gtFine_instanceIds.png').write_bytes(b'no image')
    with pytest.raises(SystemExit, match='munster_000001_000019_gtFine_instanceIds.png: label image is damaged'):
        convert(root, '--overwrite')


def test_tiny_model_runs(root: Path, tmp_path: Path) -> None:
    """Everything that is reported is there, from one pass over the pictures."""
    shutil.rmtree(root / 'gtFine/val/munster')
    convert(root)
    values = score_model('cityscapes', root, tmp_path / 'work')
    assert {'panoptic/PQ', 'instance/AP', 'semantic/mIoU'} <= set(values)
    assert 0 <= values['semantic/mIoU'] < 100
