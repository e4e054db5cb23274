"""Captions and referring expressions joined to panoptic images."""

from __future__ import annotations

from pathlib import Path

import pytest

from xdet.datasets import CocoJointDataset, CocoPanopticSegDataset
from xdet.datasets.files.coco_json import load_captions, load_expressions

CAPTIONS = dict(
    images=[dict(id=11), dict(id=77)],
    annotations=[
        dict(image_id=11, caption=' A car under the \n sky. '),
        dict(image_id=77, caption='Another picture.'),
        dict(image_id=11, caption='A vehicle.'),
        dict(image_id=11, caption=' '),
    ],
)
SQUARE = [[0.0, 0.0, 4.0, 0.0, 4.0, 3.0, 0.0, 3.0]]
GROUNDING = dict(
    images=[dict(id=11)],
    annotations=[
        dict(image_id=11, segmentation=SQUARE, split='train', sentences=[dict(raw='Left car'), dict(sent='the car')]),
        dict(image_id=11, segmentation=SQUARE, split='val', sentences=[dict(raw='hidden')]),
        dict(image_id=11, segmentation=SQUARE, split='train', sentences=[]),
    ],
)


@pytest.fixture
def joint_cfg(tiny_coco) -> dict:
    tiny_coco.write('captions.json', CAPTIONS)
    tiny_coco.write('grounding.json', GROUNDING)
    return tiny_coco.panoptic_cfg(captions_file='captions.json', grounding_file='grounding.json')


def test_files_are_joined_by_image(joint_cfg: dict) -> None:
    dataset = CocoJointDataset(**joint_cfg)
    first, second = (dataset.get_data_info(index) for index in range(2))
    assert first['captions'] == ('A car under the sky.', 'A vehicle.')
    assert [expression['sentences'] for expression in first['expressions']] == [('Left car', 'the car'), ('hidden',)]
    assert first['expressions'][0]['mask'] == SQUARE
    assert second['captions'] == () and second['expressions'] == []
    assert len(first['segments_info']) == 3


def test_splits_of_plain_refcoco_files(joint_cfg: dict) -> None:
    info = CocoJointDataset(**joint_cfg, splits='train').get_data_info(0)
    assert [expression['sentences'] for expression in info['expressions']] == [('Left car', 'the car')]
    with pytest.raises(ValueError, match='no expressions of test; its splits are train, val'):
        CocoJointDataset(**joint_cfg, splits=['test'])


def test_several_files_add_up(joint_cfg: dict) -> None:
    joint_cfg.update(captions_file=['captions.json'] * 2, grounding_file=['grounding.json'] * 2)
    info = CocoJointDataset(**joint_cfg).get_data_info(0)
    assert len(info['captions']) == 4 and len(info['expressions']) == 4


def test_excluded_images_are_left_out(joint_cfg: dict, tiny_coco) -> None:
    tiny_coco.write('test_set.json', dict(images=[dict(id=11), dict(id=5)]))
    dataset = CocoJointDataset(**joint_cfg, exclude='test_set.json')
    assert [dataset.get_data_info(index)['img_id'] for index in range(len(dataset))] == [12]
    tiny_coco.write('test_set.json', dict(images=[dict(id=11), dict(id=12)]))
    with pytest.raises(ValueError, match='all images are in test_set.json'):
        CocoPanopticSegDataset(**tiny_coco.panoptic_cfg(exclude='test_set.json'))


def test_wrong_files_are_named(joint_cfg: dict, tiny_coco) -> None:
    tiny_coco.write('foreign.json', dict(annotations=[dict(image_id=1, caption='x')]))
    with pytest.raises(ValueError, match=r'foreign.json: has captions of none of the 2 images of .*panoptic.json'):
        CocoJointDataset(**{**joint_cfg, 'captions_file': 'foreign.json'})
    with pytest.raises(ValueError, match='grounding.json: not a captions file'):
        load_captions(str(tiny_coco.root / 'grounding.json'))
    with pytest.raises(ValueError, match=r"captions.json: not a file of referring .*'sentences' is missing"):
        load_expressions(str(tiny_coco.root / 'captions.json'))
    with pytest.raises(FileNotFoundError, match='nowhere.json'):
        CocoJointDataset(**{**joint_cfg, 'grounding_file': 'nowhere.json'})


def test_real_captions_and_expressions(shared_data: Path) -> None:
    dataset = CocoJointDataset(
        ann_file='annotations/panoptic_val2017.json',
        captions_file='annotations/captions_val2017.json',
        data_root=str(shared_data / 'coco_sample'),
        data_prefix=dict(img='val2017', seg='panoptic_val2017'),
    )
    assert all(len(dataset.get_data_info(index)['captions']) >= 5 for index in range(60))
    known = load_expressions(str(shared_data / 'refcoco_sample' / 'refcoco_unc.json'))
    assert sum(len(own) for own in known.values()) == 16
    assert sum(len(expression['sentences']) for own in known.values() for expression in own) == 49
