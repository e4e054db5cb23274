"""What users keep of the masks that were found, before these are drawn, written and returned."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
import torch
from mmengine.structures import InstanceData
from pycocotools import mask as coco_mask
from torch import Tensor

from xdet.io.schema import number
from xdet.structures import XDetDataSample
from xdet.structures.masks.boxes import mask_box
from xdet.structures.masks.parts import without_specks

INSTANCES, PHRASES, PANOPTIC = 'pred_instances', 'pred_phrases', 'pred_panoptic_seg'


@dataclass(frozen=True)
class Selection:
    """What users ask of results; the first holds for all masks, the others for instances, of which the best stay.

    Attributes:
        min_part (float, optional): Separate parts and holes of a mask below this share of it go.
        nms_iou (float, optional): Of instances of one class whose masks overlap by more than this (intersection over
            union), the one with the best score stays.
        min_area (int, optional): Least number of pixels.
        max_per_image (int, optional): Most instances.

    Raises:
        ValueError: A number is impossible.
    """

    min_part: float | None = None
    nms_iou: float | None = None
    min_area: int | None = None
    max_per_image: int | None = None

    def __post_init__(self) -> None:
        for name, kind, least, most in (
            ('min_part', float, 0, 1),
            ('nms_iou', float, 0, 1),
            ('min_area', int, 0, math.inf),
            ('max_per_image', int, 1, math.inf),
        ):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, number(name, getattr(self, name), kind, least, most))

    @property
    def given(self) -> list[str]:
        """Names of what is asked."""
        return [field.name for field in fields(self) if getattr(self, field.name) is not None]

    def apply(self, sample: XDetDataSample, field: str) -> None:
        """Leave out of a result what is not wanted.

        Args:
            sample (XDetDataSample): On the CPU.
            field (str): Where the result of the task is; those without masks stay as they are.
        """
        if self.min_part and field == PANOPTIC:
            tidy_segments(sample, self.min_part)
        elif self.min_part and field in (INSTANCES, PHRASES):
            found = sample.get(field)
            found.masks, found.bboxes = tidy_masks(found.masks, self.min_part)
        if field == INSTANCES and set(self.given) - {'min_part'}:
            sample.pred_instances = self.instances(sample.pred_instances)

    def instances(self, instances: InstanceData) -> InstanceData:
        """The instances (``masks`` bool ``[n, H, W]``, ``labels``, ``scores``) that stay, best first."""
        instances = instances[instances.scores.argsort(descending=True, stable=True)]
        if self.min_area:
            instances = instances[instances.masks.flatten(1).sum(1) >= self.min_area]
        if self.nms_iou is not None and len(instances):
            instances = instances[_without_duplicates(instances, self.nms_iou)]
        return instances if self.max_per_image is None else instances[: self.max_per_image]


def tidy_masks(masks: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Masks bool ``[n, H, W]`` without specks, and their boxes float ``[n, 4]``; see :func:`without_specks`."""
    made = [without_specks(mask, share) for mask in masks.numpy()]
    boxes = torch.tensor([mask_box(mask) or (0, 0, 0, 0) for mask in made], dtype=torch.float32)
    return torch.from_numpy(np.stack(made)) if made else masks, boxes.reshape(-1, 4)


def tidy_segments(sample: XDetDataSample, share: float) -> None:
    """The same for a panoptic map: specks become void, and holes are filled where they were void."""
    ids = sample.pred_panoptic_seg.sem_seg[0].numpy()
    tidy = ids.copy()
    for segment in sample.pred_panoptic_seg.segments_info:
        own = ids == segment['id']
        kept = without_specks(own, share)
        tidy[own & ~kept] = 0
        tidy[kept & ~own & (ids == 0)] = segment['id']
    sample.pred_panoptic_seg.sem_seg = torch.from_numpy(tidy)[None]


def _without_duplicates(instances: InstanceData, iou: float) -> torch.Tensor:
    """Which instances, sorted by score, overlap too little with better ones of their class: bool ``[n]``."""
    masks = np.asfortranarray(instances.masks.numpy().transpose(1, 2, 0).astype(np.uint8))
    codes = coco_mask.encode(masks)
    overlaps = coco_mask.iou(codes, codes, [0] * len(codes)) > iou
    overlaps &= instances.labels.numpy()[:, None] == instances.labels.numpy()[None]
    kept: list[int] = []
    for index in range(len(codes)):
        if not overlaps[index, kept].any():
            kept.append(index)
    stays = torch.zeros(len(codes), dtype=torch.bool)
    stays[kept] = True
    return stays
