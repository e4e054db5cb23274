"""Separate parts and holes of masks."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .boxes import mask_box


def without_specks(mask: NDArray[np.bool_], share: float) -> NDArray[np.bool_]:
    """A mask without small separate parts, and with its small holes filled.

    Pixels that touch at a corner belong to one part, and do not join holes.

    Args:
        mask (np.ndarray): Bool ``[H, W]``.
        share (float): Parts and holes of fewer pixels than this share of the mask go; its largest part stays.

    Returns:
        np.ndarray: Bool ``[H, W]``, a new one.
    """
    box = mask_box(mask)
    if box is None:
        return mask.copy()
    x1, y1, x2, y2 = box
    own = np.pad(mask[y1:y2, x1:x2], 1)  # so that what surrounds the mask is one part
    least = share * np.count_nonzero(own)
    parts, areas = _parts(own, 8)
    stays = areas >= min(least, areas[1:].max())
    stays[0] = False
    own = stays[parts]
    holes, areas = _parts(~own, 4)
    fills = areas < least
    fills[[0, holes[0, 0]]] = False
    tidy = np.zeros_like(mask)
    tidy[y1:y2, x1:x2] = (own | fills[holes])[1:-1, 1:-1]
    return tidy


def _parts(mask: NDArray[Any], connectivity: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Numbers of the parts of a mask, 0 beside it, and the pixels of each number."""
    _, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=connectivity)
    return parts, stats[:, cv2.CC_STAT_AREA]
