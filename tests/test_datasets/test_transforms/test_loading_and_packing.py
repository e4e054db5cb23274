"""From files to tensors: training targets, ground truth, and the library transforms in between."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks
from mmengine.dataset import Compose
from PIL import Image

from xdet.datasets.transforms import LoadSegments, LoadXDetImage, PackXDetInputs
from xdet.structures import Vocabulary, XDetDataSample, expand_masks

VOCABULARY = Vocabulary(('car', 'sky', 'train'), (True, False, True))
INDICES = np.array([[1, 1, 2, 2], [1, 0, 3, 3]], dtype=np.uint8)
SEGMENTS = [
    dict(id=9, label=1, is_thing=False, iscrowd=False),
    dict(id=8, label=0, is_thing=True, iscrowd=False),
    dict(id=7, label=2, is_thing=True, iscrowd=True),
]


def loaded(**changes) -> dict:
    image = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3)
    results = dict(img=image, img_shape=(2, 4), ori_shape=(2, 4), img_path='a.jpg', img_id=5, vocabulary=VOCABULARY)
    return {**results, 'gt_seg_map': INDICES.copy(), 'segments_info': SEGMENTS, 'seg_fields': ['gt_seg_map'], **changes}


def test_training_targets() -> None:
    packed = PackXDetInputs()(loaded(flip=True))
    assert packed['inputs'].shape == (3, 2, 4) and packed['inputs'].dtype == torch.uint8
    assert packed['inputs'][:, 1, 2].tolist() == [18, 19, 20]
    sample = packed['data_samples']
    assert isinstance(sample, XDetDataSample)
    assert sample.gt_segments.labels.tolist() == [1, 0] and sample.gt_segments.labels.dtype == torch.int64
    assert sample.gt_segments.masks.expand().dtype == torch.bool
    np.testing.assert_array_equal(sample.gt_segments.masks.expand(), [INDICES == 1, INDICES == 2])
    assert sample.vocabulary == VOCABULARY and sample.img_id == 5 and sample.flip is True
    assert sample.ori_shape == sample.img_shape == (2, 4) and 'tasks' not in sample


def test_segments_cropped_away_are_dropped_unless_asked_for() -> None:
    cropped = loaded(gt_seg_map=np.full((2, 4), 2, dtype=np.uint8))
    assert PackXDetInputs()(dict(cropped))['data_samples'].gt_segments.labels.tolist() == [0]
    kept = PackXDetInputs(keep_empty=True)(dict(cropped))['data_samples'].gt_segments
    assert kept.labels.tolist() == [1, 0] and kept.masks.expand().flatten(1).sum(1).tolist() == [0, 8]


def test_an_image_that_is_all_void_has_no_segments() -> None:
    segments = PackXDetInputs()(loaded(gt_seg_map=np.zeros((2, 4), np.uint8)))['data_samples'].gt_segments
    assert segments.masks.shape == (0, 2, 4) and segments.labels.shape == (0,)


def test_ground_truth_for_metrics_keeps_crowds() -> None:
    sample = PackXDetInputs(test_mode=True, tasks=['semantic'])(loaded(img_shape=(4, 8)))['data_samples']
    assert sample.tasks == ('semantic',)
    assert sample.gt_sem_seg.sem_seg.tolist() == [[[1, 1, 0, 0], [1, -1, 2, 2]]]
    panoptic = sample.gt_panoptic_seg
    assert panoptic.sem_seg.dtype == torch.int32 and panoptic.sem_seg.tolist() == [INDICES.tolist()]
    assert [(s['id'], s['label'], s['iscrowd']) for s in panoptic.segments_info] == [(1, 1, 0), (2, 0, 0), (3, 2, 1)]


PHRASES = [
    dict(text='the sky', segments=(0,), kind='plain'),
    dict(text='the car and the train', segments=(1, 2), kind='relation'),
    dict(text='the boat', segments=(), kind='plain'),
]


def instances(size: tuple[int, int], masks: bool = True) -> dict:
    """What LoadSegments makes of a crowd and an object."""
    found = dict(
        gt_bboxes=HorizontalBoxes([[0.0, 0.0, 4.0, 2.0], [1.0, 0.0, 3.0, 1.0]]),
        gt_bboxes_labels=np.array([2, 0]),
        gt_ignore_flags=np.array([True, False]),
    )
    return dict(found, gt_masks=BitmapMasks(np.ones((2, *size), np.uint8), *size)) if masks else found


@pytest.mark.parametrize('masks', [True, False])
def test_instances_to_compare_with_are_those_that_are_no_crowd(masks: bool) -> None:
    results = dict(loaded(), **instances((2, 4), masks))
    del results['gt_seg_map']
    found = PackXDetInputs(test_mode=True)(results)['data_samples'].gt_instances
    assert found.bboxes.tolist() == [[1, 0, 3, 1]] and found.labels.tolist() == [0]
    assert ('masks' in found) == masks and (not masks or found.masks.shape == (1, 2, 4))


def test_phrases_are_unions_of_segments() -> None:
    phrases = PackXDetInputs()(loaded(phrases=PHRASES))['data_samples'].gt_phrases
    assert phrases.texts == ['the sky', 'the car and the train', 'the boat']
    assert phrases.masks.expand().dtype == torch.bool
    np.testing.assert_array_equal(phrases.masks.expand(), [INDICES == 1, INDICES >= 2, INDICES > 9])
    assert 'phrases' not in PackXDetInputs()(loaded(phrases=PHRASES))['data_samples']
    assert 'gt_phrases' not in PackXDetInputs()(loaded())['data_samples']
    assert PackXDetInputs()(loaded(phrases=[]))['data_samples'].gt_phrases.masks.shape == (0, 2, 4)
    # What was cropped away is not to be found; that nothing is to be found for 'the boat' is still known.
    cropped = loaded(phrases=PHRASES, gt_seg_map=np.full((2, 4), 3, dtype=np.uint8))
    assert PackXDetInputs()(dict(cropped))['data_samples'].gt_phrases.texts == ['the car and the train', 'the boat']
    assert len(PackXDetInputs(keep_empty=True)(cropped)['data_samples'].gt_phrases) == 3


def test_phrases_to_evaluate() -> None:
    pack = PackXDetInputs(test_mode=True)
    sample = pack(loaded(phrases=PHRASES))['data_samples']
    assert sample.phrases == ('the sky', 'the car and the train', 'the boat') == tuple(sample.gt_phrases.texts)
    assert sample.phrase_kinds == ('plain', 'relation', 'plain')
    masks = BitmapMasks(np.stack([INDICES == 1, INDICES == 3]).astype(np.uint8), 2, 4)
    results = {key: value for key, value in loaded().items() if key not in ('gt_seg_map', 'segments_info')}
    results.update(gt_masks=masks, phrases=[dict(text='both', instances=(0, 1)), dict(text='second', instances=[1])])
    sample = pack(dict(results))['data_samples']
    np.testing.assert_array_equal(sample.gt_phrases.masks.numpy(), [(INDICES == 1) | (INDICES == 3), INDICES == 3])
    assert 'phrase_kinds' not in sample
    with pytest.raises(
        ValueError, match=r'a\.jpg: masks of phrases are \(2, 4\) but metrics need the original \(4, 8\)'
    ):
        pack({**results, 'ori_shape': (4, 8)})
    with pytest.raises(ValueError, match="phrase 'x' does not say what it refers to"):
        pack({**results, 'phrases': [dict(text='x')]})


def test_texts_are_carried_along() -> None:
    texts = dict(caption='a car', nouns=('car',), questions=('what?',), answers=({'car': 0.9},))
    sample = PackXDetInputs()(loaded(**texts))['data_samples']
    assert {key: sample.get(key) for key in texts} == texts


def test_wrong_order_of_transforms_is_explained() -> None:
    results = loaded()
    for key in ('gt_seg_map', 'segments_info'):
        del results[key]
    with pytest.raises(ValueError, match='put LoadSegments before PackXDetInputs'):
        PackXDetInputs()(results)
    assert 'gt_sem_seg' not in PackXDetInputs(test_mode=True)(dict(results))['data_samples']
    with pytest.raises(ValueError, match='put LoadSegments after resizing'):
        PackXDetInputs(test_mode=True)(loaded(gt_seg_map=np.zeros((3, 3), np.uint8)))
    with pytest.raises(ValueError, match='put LoadSegments after resizing'):
        PackXDetInputs(test_mode=True)(dict(results, **instances((3, 3))))
    with pytest.raises(ValueError, match=r'a\.jpg: no annotations'):
        LoadSegments()(results)


def test_image_from_file_or_array(tmp_path: Path) -> None:
    Image.new('RGB', (4, 2), (1, 2, 3)).save(tmp_path / 'a.png')
    results = LoadXDetImage()(dict(img_path=str(tmp_path / 'a.png')))
    assert results['img'][0, 0].tolist() == [3, 2, 1] and results['ori_shape'] == results['img_shape'] == (2, 4)
    assert LoadXDetImage()(dict(img=np.zeros((3, 5), np.uint8)))['img'].shape == (3, 5, 3)


@pytest.mark.parametrize(
    'transform',
    [
        dict(type='mmdet.RandomFlip', prob=1.0),
        dict(type='RandomFlip', prob=1.0),
        dict(type='mmdet.RandomCrop', crop_size=(60, 48)),
        dict(type='mmseg.RandomCrop', crop_size=(48, 60), cat_max_ratio=0.9, ignore_index=0),
        dict(type='RandomResize', scale=(160, 120), ratio_range=(0.5, 2.0), keep_ratio=True),
        dict(type='mmdet.Resize', scale=(150, 90), keep_ratio=False, backend='pillow'),
        dict(type='ResizeShortestEdge', scale=60, max_size=120),
        dict(type='LargeScaleJitter', size=(96, 96)),
    ],
    ids=lambda transform: transform['type'],
)
@pytest.mark.parametrize('kind', ['map', 'instances'])
def test_library_transforms_move_image_and_annotation_alike(transform: dict, kind: str) -> None:
    """The picture is black, its one segment white: after any transform the mask must still cover the white part."""
    if kind == 'instances' and transform['type'] in ('RandomFlip', 'RandomResize', 'mmseg.RandomCrop'):
        pytest.skip('knows no instance masks')
    np.random.seed(0)
    mask = np.zeros((90, 120), dtype=np.uint8)
    mask[15:75, 24:60] = 1
    results = dict(img=np.repeat(mask[..., None] * 255, 3, axis=-1), img_shape=(90, 120), ori_shape=(90, 120))
    if kind == 'map':
        results.update(gt_seg_map=mask, segments_info=SEGMENTS[:1], seg_fields=['gt_seg_map'])
    else:
        polygon = [24, 15, 60, 15, 60, 75, 24, 75]
        instance = dict(bbox=[24, 15, 60, 75], bbox_label=1, ignore_flag=0, mask=[[float(value) for value in polygon]])
        results = LoadSegments()({**results, 'height': 90, 'width': 120, 'instances': [instance]})
    packed = Compose([transform, PackXDetInputs()])(results)
    white = packed['inputs'].float().mean(0) > 130
    expand_masks(packed['data_samples'])
    masks = packed['data_samples'].gt_segments.masks
    assert masks.shape == (1, *packed['inputs'].shape[1:])
    assert (white & masks[0]).sum() / (white | masks[0]).sum() > 0.85
    assert white.any()


def test_colour_jitter_leaves_bytes() -> None:
    packed = Compose([dict(type='mmseg.PhotoMetricDistortion'), PackXDetInputs()])(loaded())
    assert packed['inputs'].dtype == torch.uint8
