"""COCO's panoptic coding: maps of segment ids as the colours of a PNG."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def panoptic_pixels(ids: NDArray[Any]) -> NDArray[np.uint8]:
    """Colours of ids from 0 to 2^24 - 1, integer ``[H, W]``: uint8 ``[H, W, 3]``, ``id = R + 256 G + 65536 B``."""
    return np.stack([ids & 255, ids >> 8 & 255, ids >> 16 & 255], axis=-1).astype(np.uint8)


def panoptic_ids(pixels: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Inverse of :func:`panoptic_pixels`: ``[H, W]``."""
    red, green, blue = np.moveaxis(pixels, -1, 0)
    ids: NDArray[np.uint32] = red + (green.astype(np.uint32) << 8) + (blue.astype(np.uint32) << 16)
    return ids
