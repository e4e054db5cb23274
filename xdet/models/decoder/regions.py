"""Regions of an image in the sizes of its feature levels."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def resize_regions(regions: Tensor, size: tuple[int, ...]) -> Tensor:
    """Regions in another size, of which none gets lost.

    Nearest-neighbour sampling, as in the official model. Where it misses a region altogether, every pixel that the
    region touches counts.

    Args:
        regions (Tensor): Bool ``[B, n, H, W]``.
        size (tuple[int, ...]): Height and width of the result.

    Returns:
        Tensor: Bool ``[B, n, h, w]``; empty regions stay empty.
    """
    regions = regions.float()
    sampled = F.interpolate(regions, size=size, mode='nearest') > 0
    missed = ~sampled.flatten(2).any(dim=-1)[..., None, None]
    return sampled | (missed & (F.adaptive_max_pool2d(regions, size) > 0))


def visible_pixels(regions: Tensor, size: tuple[int, ...]) -> Tensor:
    """Pixels of a feature level that belong to regions.

    An empty region means the whole image: attending nothing would give NaN, as it does officially.

    Args:
        regions (Tensor): Bool ``[B, n, H, W]``.
        size (tuple[int, ...]): Height and width of the level.

    Returns:
        Tensor: Bool ``[B, n, h * w]`` with at least one True per row, see :func:`resize_regions`.
    """
    visible = resize_regions(regions, size).flatten(2)
    return visible | ~visible.any(dim=-1, keepdim=True)
