"""Which of the instances that were found are drawn, written and returned."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
import torch
from mmengine.structures import InstanceData
from pycocotools import mask as coco_mask

from xdet.io.schema import number


@dataclass(frozen=True)
class Selection:
    """What users ask of instances; a sample keeps those that fulfil all of it, best first.

    Attributes:
        nms_iou (float, optional): Of instances of one class whose masks overlap by more than this (intersection over
            union), the one with the best score stays.
        min_area (int, optional): Least number of pixels.
        max_per_image (int, optional): Most instances.

    Raises:
        ValueError: A number is impossible.
    """

    nms_iou: float | None = None
    min_area: int | None = None
    max_per_image: int | None = None

    def __post_init__(self) -> None:
        for name, kind, least, most in (
            ('nms_iou', float, 0, 1),
            ('min_area', int, 0, math.inf),
            ('max_per_image', int, 1, math.inf),
        ):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, number(name, getattr(self, name), kind, least, most))

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) is not None for field in fields(self))

    def apply(self, instances: InstanceData) -> InstanceData:
        """The instances (``masks`` bool ``[n, H, W]``, ``labels``, ``scores``) that stay, best first."""
        instances = instances[instances.scores.argsort(descending=True, stable=True)]
        if self.min_area:
            instances = instances[instances.masks.flatten(1).sum(1) >= self.min_area]
        if self.nms_iou is not None and len(instances):
            instances = instances[_without_duplicates(instances, self.nms_iou)]
        return instances if self.max_per_image is None else instances[: self.max_per_image]


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
