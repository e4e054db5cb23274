"""Referring expressions in training, testing and scoring."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.structures import InstanceData

from xdet.datasets import RefCocoDataset
from xdet.evaluation import ReferringIoU


def box(x: float, y: float, width: float, height: float) -> list[list[float]]:
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


@pytest.fixture
def refcoco(tiny_coco) -> dict:
    annotations = [
        dict(image_id=11, segmentation=box(0, 0, 4, 3), split='val', sentences=[dict(raw='Left one'), dict(raw='it')]),
        dict(image_id=11, segmentation=box(4, 0, 4, 6), split='val', sentences=[dict(raw='right one')]),
        dict(image_id=12, segmentation=box(0, 0, 8, 6), split='train', sentences=[dict(raw='everything')]),
    ]
    tiny_coco.write('refs.json', dict(images=tiny_coco.images, annotations=annotations))
    return dict(ann_file='refs.json', data_root=str(tiny_coco.root), data_prefix=dict(img='img'), serialize_data=False)


TEST = [
    dict(type='LoadXDetImage'),
    dict(type='ResizeShortestEdge', scale=12),
    dict(type='ChoosePhrases', test_mode=True, sentences='all'),
    dict(type='PackXDetInputs', test_mode=True, tasks=('refseg',)),
]
TRAIN = [
    dict(type='LoadXDetImage'),
    dict(type='ChoosePhrases'),
    dict(type='RandomFlipWithTexts'),
    dict(type='LargeScaleJitter', size=(12, 16), scale_range=(0.5, 1.0)),
    dict(type='PackXDetInputs', segments=False),
]


def test_testing_and_its_metric(refcoco: dict) -> None:
    dataset = RefCocoDataset(**refcoco, splits='val', pipeline=TEST, test_mode=True)
    assert len(dataset) == 1
    item = dataset[0]
    sample = item['data_samples']
    assert tuple(item['inputs'].shape) == (3, 12, 16) and sample.tasks == ('refseg',)
    assert sample.phrases == ('left one', 'it', 'right one')
    assert sample.gt_phrases.masks.shape == (3, 6, 8) and sample.gt_phrases.masks.sum((1, 2)).tolist() == [12, 12, 24]
    masks = sample.gt_phrases.masks.clone()
    masks[2, :, 4:6] = False
    sample.pred_phrases = InstanceData(masks=masks)
    metric = ReferringIoU()
    metric.process({}, [sample.to_dict()])
    summary = metric.evaluate(size=1)
    assert summary['referring/cIoU'] == pytest.approx(100 * 36 / 48)
    assert summary['referring/mIoU'] == pytest.approx(100 * (1 + 1 + 0.5) / 3)


def test_training(refcoco: dict) -> None:
    torch.manual_seed(0)
    dataset = RefCocoDataset(**refcoco, pipeline=TRAIN)
    assert len(dataset) == 2
    for index in range(2):
        sample = dataset[index]['data_samples']
        assert 'gt_segments' not in sample and sample.phrase_mode == 'text'
        assert sample.gt_phrases.masks.shape[1:] == (12, 16) and len(sample.gt_phrases.texts) >= 1


def test_names_of_other_years(refcoco: dict, tiny_coco) -> None:
    (tiny_coco.root / 'img' / 'a.png').rename(tiny_coco.root / 'img' / '000011.png')
    dataset = RefCocoDataset(**refcoco, splits=['val'], img_name='{id:06d}.png')
    assert Path(dataset.get_data_info(0)['img_path']).is_file()
    with pytest.raises(FileNotFoundError, match='a.png'):
        RefCocoDataset(**refcoco, splits=['val'])


def test_expressions_of_unlisted_images(refcoco: dict, tiny_coco) -> None:
    annotation = dict(image_id=3, segmentation=box(0, 0, 1, 1), sentences=[dict(raw='x')])
    tiny_coco.write('refs.json', dict(images=tiny_coco.images, annotations=[annotation]))
    with pytest.raises(ValueError, match='refs.json: an expression is of image 3'):
        RefCocoDataset(**refcoco)


@pytest.mark.parametrize(('name', 'first', 'every'), [('refcoco_unc', 16, 49), ('refcocog_umd', 10, 19)])
def test_real_expressions(shared_data: Path, name: str, first: int, every: int) -> None:
    for sentences, expected in (('first', first), ('all', every)):
        pipeline = [TEST[0], dict(TEST[2], sentences=sentences), TEST[3]]
        dataset = RefCocoDataset(
            ann_file=str(shared_data / 'refcoco_sample' / f'{name}.json'),
            data_prefix=dict(img=str(shared_data / 'coco_sample' / 'train2017')),
            pipeline=pipeline,
            test_mode=True,
            serialize_data=False,
        )
        samples = [dataset[index]['data_samples'] for index in range(len(dataset))]
        assert sum(len(sample.phrases) for sample in samples) == expected
        assert all(sample.gt_phrases.masks.flatten(1).any(1).all() for sample in samples)
