"""Regions of an image in other sizes, as :mod:`xdet.models.decoder.regions` does it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def resize_regions(region: Mask, size: tuple[int, ...]) -> Mask:
    """A region in another size: the nearest pixels, or every pixel that it touches where these miss it."""
    places = []
    for length, new in zip(region.shape, size, strict=True):
        places.append(np.minimum((np.arange(new) * np.float32(length / new)).astype(np.int64), length - 1))
    sampled: Mask = region[np.ix_(*places)]
    return sampled if sampled.any() else _touched(region, size)


def region_pixels(region: Mask, size: tuple[int, ...]) -> Mask:
    """Pixels ``[h * w]`` of a feature level that a region sees; an empty region means the whole image."""
    seen = resize_regions(region, size).ravel()
    return seen if seen.any() else np.ones_like(seen)


def _touched(region: Mask, size: tuple[int, ...]) -> Mask:
    sums = np.pad(region.astype(np.int64).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    (top, bottom), (left, right) = (
        (np.arange(new) * length // new, -(-(np.arange(new) + 1) * length // new))
        for length, new in zip(region.shape, size, strict=True)
    )
    inside = (
        sums[np.ix_(bottom, right)] - sums[np.ix_(top, right)] - sums[np.ix_(bottom, left)] + sums[np.ix_(top, left)]
    )
    return np.asarray(inside > 0)
