"""Duplicates, specks and surplus instances are left out."""

from __future__ import annotations

import pytest
import torch
from mmengine.structures import InstanceData

from xdet.inference.outputs.selection import Selection


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
    kept = Selection(**options).apply(instances)
    assert kept.scores.tolist() == pytest.approx(scores) and len(kept.masks) == len(scores)


@pytest.mark.parametrize('options', [dict(), dict(nms_iou=0), dict(min_area=0), dict(max_per_image=1)])
def test_is_true_when_something_is_asked(options: dict) -> None:
    assert bool(Selection(**options)) is bool(options)


@pytest.mark.parametrize(
    'options',
    [
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
