"""Several looks at the same images: the mean of what the image encoder makes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch.nn.functional as F
from torch import Tensor

from xdet.structures import ImageFeatures
from xdet.structures.views import View, Views

_LARGEST_STRIDE = 32


def encode_views(encode: Callable[[Tensor], ImageFeatures], images: Tensor, views: Views) -> ImageFeatures:
    """Mean of the maps of all views, on the grids of the images as they are; the decoder then runs once.

    Maps are what can be averaged: their cells know their place in the image, so those of a mirrored or enlarged image
    are brought back exactly. Queries do not: the same one may show another object in another view.

    Args:
        encode (Callable): The image encoder, from ``[B, 3, H, W]``.
        images (Tensor): ``[B, 3, H, W]`` normalised and padded to multiples of 32, with their padding.
        views (Views): The single plain view is ``encode(images)`` itself.

    Returns:
        ImageFeatures: With the images as they are.
    """
    total, *others = (_seen(encode, images, view) for view in views)
    if not others:
        return replace(total, image=images)
    share = 1 / len(views)

    def mean(*maps: Tensor) -> Tensor:
        return sum(maps[1:], start=maps[0]) * share

    return ImageFeatures(
        backbone=tuple(map(mean, total.backbone, *(one.backbone for one in others))),
        mask_features=mean(total.mask_features, *(one.mask_features for one in others)),
        memory=tuple(map(mean, total.memory, *(one.memory for one in others))),
        image=images,
    )


def _seen(encode: Callable[[Tensor], ImageFeatures], images: Tensor, view: View) -> ImageFeatures:
    """Features of one view, on the grids of the images as they are."""
    size = images.shape[-2:]
    own = tuple(max(round(side * view.scale / _LARGEST_STRIDE), 1) * _LARGEST_STRIDE for side in size)
    looked_at = _resized(images, own)
    features = encode(looked_at.flip(-1) if view.flip else looked_at)

    def back(level: Tensor) -> Tensor:
        level = level.flip(-1) if view.flip else level
        grid = tuple(there * cells // side for there, cells, side in zip(size, level.shape[-2:], own, strict=True))
        return _resized(level, grid)

    return ImageFeatures(
        backbone=tuple(map(back, features.backbone)),
        mask_features=back(features.mask_features),
        memory=tuple(map(back, features.memory)),
    )


def _resized(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """Bilinear resizing without aliases; in single precision, as torch has no other kernel of it on CPUs."""
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    return F.interpolate(maps.float(), size=size, mode='bilinear', align_corners=False, antialias=True).to(maps.dtype)
