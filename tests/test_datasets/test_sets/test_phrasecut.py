"""PhraseCut's files, from disk to the metric."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmengine.structures import InstanceData
from PIL import Image
from pycocotools import mask as coco_mask
from tiny.mutation import mutated

from xdet.datasets import PhraseCutDataset
from xdet.datasets.sets.phrasecut import draw
from xdet.evaluation import ReferringIoU

PIPELINE = [
    dict(type='LoadXDetImage'),
    dict(type='ResizeShortestEdge', scale=12),
    dict(type='ChoosePhrases', test_mode=True),
    dict(type='PackXDetInputs', test_mode=True, tasks=('refseg',)),
]


def square(left: float, top: float, side: float) -> list[list[float]]:
    return [[left, top], [left + side, top], [left + side, top + side], [left, top + side]]


class TinyPhraseCut:
    """Two images and three phrases in the published layout."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / 'images').mkdir()
        self.images = [
            dict(image_id=5, width=8, height=6, split='test', coco_id=None, flickr_id=None, url=''),
            dict(image_id=9, width=8, height=6, split='test', coco_id=None, flickr_id=None, url=''),
            dict(image_id=10, width=8, height=6, split='train', coco_id=None, flickr_id=None, url=''),
        ]
        for number in (5, 9):
            Image.fromarray(np.zeros((6, 8, 3), dtype=np.uint8)).save(root / 'images' / f'{number}.jpg')
        self.tasks = [
            self.task('9__1', 9, 'Two  windows', [[square(0, 0, 1)], [square(4.7, 2, 2), square(4, 5, 0)]]),
            self.task('5__2', 5, 'wooden table', [[square(1, 1, 3)]]),
            self.task('9__3', 9, 'door', [[square(3, 0, 1)]]),
        ]

    @staticmethod
    def task(number: str, image: int, phrase: str, polygons: list) -> dict:
        boxes = [[0, 0, 1, 1] for _ in polygons]
        structure = dict(name='x', attributes=[], relation_ids=[], relation_descriptions=[], type='name')
        return dict(
            task_id=number,
            image_id=image,
            phrase=phrase,
            ann_ids=[1],
            instance_boxes=boxes,
            Polygons=polygons,
            phrase_structure=structure,
        )

    def build(self, **kwargs: Any) -> PhraseCutDataset:
        (self.root / 'refer_test.json').write_text(json.dumps(self.tasks))
        (self.root / 'image_data_split3000.json').write_text(json.dumps(self.images))
        given: dict = dict(
            data_root=str(self.root),
            ann_file='refer_test.json',
            data_prefix=dict(img='images'),
            serialize_data=False,
            pipeline=PIPELINE,
            test_mode=True,
        )
        return PhraseCutDataset(**{**given, **kwargs})


@pytest.fixture
def tiny(tmp_path: Path) -> TinyPhraseCut:
    return TinyPhraseCut(tmp_path)


def test_phrases_of_an_image_are_one_sample(tiny: TinyPhraseCut) -> None:
    dataset = tiny.build()
    assert len(dataset) == 2
    item = dataset[0]
    sample = item['data_samples']
    assert tuple(item['inputs'].shape) == (3, 12, 16)
    assert sample.img_id == 9 and sample.phrases == ('two windows', 'door')
    # Outlines count: a square from 0 to 1 has four pixels. 4.7 is cut to 4, so the second window begins there.
    windows = torch.zeros(6, 8, dtype=torch.bool)
    windows[:2, :2] = windows[2:5, 4:7] = True
    windows[5, 4] = True
    assert torch.equal(sample.gt_phrases.masks[0], windows)
    assert sample.gt_phrases.masks[1].sum() == 4
    assert dataset[1]['data_samples'].gt_phrases.masks.sum() == 16


def test_truth_scores_100_and_shuffled_truth_does_not(tiny: TinyPhraseCut) -> None:
    for order, expected in (([0, 1], 100.0), ([1, 0], 0.0)):
        metric = ReferringIoU(thresholds=(0.5, 0.7, 0.9))
        sample = tiny.build()[0]['data_samples']
        sample.pred_phrases = InstanceData(masks=sample.gt_phrases.masks[order])
        metric.process(None, [sample.to_dict()])
        result = metric.evaluate(size=1)
        assert len(result) == 5 and set(result.values()) == {expected}


def test_training(tiny: TinyPhraseCut) -> None:
    pipeline = [
        dict(type='LoadXDetImage'),
        dict(type='ChoosePhrases'),
        dict(type='RandomFlipWithTexts'),
        dict(type='PackXDetInputs', segments=False),
    ]
    sample = tiny.build(pipeline=pipeline, test_mode=False)[0]['data_samples']
    assert set(sample.gt_phrases.texts) <= {'two windows', 'door'} and sample.gt_phrases.masks.any()


def test_degenerate_polygons() -> None:
    rle = draw([[[3, 3]], [], [[1, 1], [2, 1]], [[7, 5], [20, 5], [20, 30]]], 6, 8)
    mask = coco_mask.decode(rle).astype(bool)
    assert sorted(map(tuple, np.argwhere(mask).tolist())) == [(1, 1), (1, 2), (5, 7)]


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda tiny: tiny.images.pop(0), r'phrase 5__2 is of image 5, which image_data_split3000\.json does not list'),
        (lambda tiny: tiny.tasks[1].update(phrase=' '), r'refer_test\.json: phrase 5__2 is empty'),
        (lambda tiny: tiny.tasks[1].pop('Polygons'), r'refer_test\.json: phrase 5__2: .Polygons. is missing'),
        (lambda tiny: tiny.images[0].pop('height'), r'split3000\.json: image 5: .height. is missing'),
        (
            lambda tiny: tiny.images.append(dict(tiny.images[0], height=1)),
            r'split3000\.json: image 5 is listed more than once, with different sizes',
        ),
        (lambda tiny: tiny.tasks.clear(), r'refer_test\.json: no samples; the split is empty'),
    ],
)
def test_unusable_files_are_named(tiny: TinyPhraseCut, change: Any, message: str) -> None:
    change(tiny)
    with pytest.raises(ValueError, match=message):
        tiny.build()


def test_missing_files_are_named(tiny: TinyPhraseCut) -> None:
    with pytest.raises(FileNotFoundError, match=r'images\.json: annotation file does not exist'):
        tiny.build(image_file='images.json')
    with pytest.raises(FileNotFoundError, match=r'refer_val\.json: annotation file does not exist'):
        tiny.build(ann_file='refer_val.json')
    (tiny.root / 'images' / '5.jpg').unlink()
    with pytest.raises(FileNotFoundError, match=r'1 listed file\(s\) do not exist, the first is .*images/5\.jpg'):
        tiny.build()
    assert len(tiny.build(missing_images='skip')) == 1


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), name=st.sampled_from(('images', 'tasks')))
def test_mutated_files_load_or_are_named(tiny: TinyPhraseCut, data: st.DataObject, name: str) -> None:
    valid = getattr(tiny, name)
    setattr(tiny, name, mutated(valid, data))
    try:
        tiny.build()
    except (ValueError, FileNotFoundError) as error:
        assert str(tiny.root) in str(error) and '\n' not in str(error)
    finally:
        setattr(tiny, name, valid)
