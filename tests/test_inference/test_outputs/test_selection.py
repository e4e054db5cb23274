"""Duplicates, specks and surplus instances are left out."""

from __future__ import annotations

import pytest
import torch
from mmengine.structures import InstanceData

from xdet.inference.outputs.selection import Selection
from xdet.structures import XDetDataSample, segment_map


@pytest.fixture
def instances() -> InstanceData:
    """Scores fall from 0.9; the first two are nearly equal, the third is their twin of another class, then a speck."""
    masks = torch.zeros(5, 20, 20, dtype=torch.bool)
    masks[0, :10, :10] = masks[1, :10, :9] = masks[2, :10, :10] = masks[3, 19, 19] = masks[4, 10:, 10:] = True
    order = torch.tensor([4, 1, 0, 3, 2])  # not sorted when they arrive
    scores, labels = torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5]), torch.tensor([0, 0, 1, 0, 0])
    return InstanceData(masks=masks, scores=scores, labels=labels)[order]


@pytest.mark.parametrize(
    ('options', 'scores'),
    [
        (dict(nms_iou=0.5), [0.9, 0.7, 0.6, 0.5]),
        (dict(nms_iou=0.95), [0.9, 0.8, 0.7, 0.6, 0.5]),
        (dict(nms_iou=0), [0.9, 0.7, 0.6]),
        (dict(min_area=2), [0.9, 0.8, 0.7, 0.5]),
        (dict(max_per_image=2), [0.9, 0.8]),
        (dict(nms_iou=0.5, min_area=2, max_per_image=3), [0.9, 0.7, 0.5]),
        (dict(min_area=1000, nms_iou=0.5), []),
    ],
)
def test_what_stays(instances: InstanceData, options: dict, scores: list[float]) -> None:
    kept = Selection(**options).instances(instances)
    assert kept.scores.tolist() == pytest.approx(scores) and len(kept.masks) == len(scores)


@pytest.mark.parametrize(
    'options', [dict(), dict(min_part=0), dict(nms_iou=0), dict(min_area=0), dict(max_per_image=1)]
)
def test_says_what_is_asked(options: dict) -> None:
    assert Selection(**options).given == list(options)


@pytest.mark.parametrize(
    'options',
    [
        dict(min_part=-0.1),
        dict(min_part='x'),
        dict(nms_iou=1.5),
        dict(nms_iou=float('nan')),
        dict(nms_iou='x'),
        dict(nms_iou=True),
        dict(min_area=-1),
        dict(min_area=2.5),
        dict(min_area=[1] * 100_000),
        dict(max_per_image=0),
        dict(max_per_image=10**400 * 0),
    ],
)
def test_impossible_numbers_are_refused(options: dict) -> None:
    with pytest.raises(ValueError, match=f'^{next(iter(options))} is .*; accepted are') as caught:
        Selection(**options)
    assert len(str(caught.value)) < 300


def spotted() -> torch.Tensor:
    """A square of 100 pixels with a hole of one, and a speck."""
    mask = torch.zeros(20, 20, dtype=torch.bool)
    mask[:10, :10] = mask[15, 15] = True
    mask[5, 5] = False
    return mask


@pytest.mark.parametrize('field', ['pred_instances', 'pred_phrases'])
def test_specks_go_before_areas_are_compared(field: str) -> None:
    masks = torch.stack([spotted(), torch.zeros(20, 20, dtype=torch.bool)])
    scores, boxes = torch.tensor([0.9, 0.8]), torch.tensor([[0.0, 0, 16, 16], [0, 0, 0, 0]])
    sample = XDetDataSample()
    found = InstanceData(masks=masks, scores=scores, labels=torch.tensor([0, 0]), bboxes=boxes)
    sample.set_field(found, field)
    Selection(min_part=0.02).apply(sample, field)
    kept = sample.get(field)
    assert kept.masks.flatten(1).sum(1).tolist() == [100, 0] and kept.masks[0, 5, 5]
    assert kept.bboxes.tolist() == [[0, 0, 10, 10], [0, 0, 0, 0]]
    if field == 'pred_instances':
        Selection(min_part=0.02, min_area=1).apply(sample, field)
        assert len(sample.pred_instances) == 1


def test_specks_of_segments_become_void_and_holes_keep_what_lies_in_them() -> None:
    ids = spotted().int() * 7
    ids[2, 2], ids[3:5, 3] = 0, 8
    sample = XDetDataSample(pred_panoptic_seg=segment_map(ids, [dict(id=7), dict(id=8)]))
    Selection(min_part=0.05).apply(sample, 'pred_panoptic_seg')
    tidy = sample.pred_panoptic_seg.sem_seg[0]
    assert (tidy == 7).sum() == 98 and (tidy[3:5, 3] == 8).all() and tidy[15, 15] == 0


def test_no_masks() -> None:
    none = InstanceData(masks=torch.zeros(0, 4, 4, dtype=torch.bool), scores=torch.zeros(0), bboxes=torch.zeros(0, 4))
    sample = XDetDataSample(pred_phrases=none)
    Selection(min_part=0.1).apply(sample, 'pred_phrases')
    assert sample.pred_phrases.masks.shape == (0, 4, 4) and sample.pred_phrases.bboxes.shape == (0, 4)
    Selection(min_part=0.1).apply(sample, 'pred_captions')
