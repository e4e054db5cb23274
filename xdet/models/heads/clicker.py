"""Where a person would click next: the same clicker in training and in evaluation."""

from __future__ import annotations

from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Mask: TypeAlias = NDArray[np.bool_]
Click: TypeAlias = tuple[int, int, int]
"""Column, row, and whether the pixel is on the object (1) or not (0)."""


def next_click(found: Mask, target: Mask) -> Click | None:
    """Where a person would click next: the middle of the widest part of what is wrong.

    That is the pixel that is farthest from all pixels that are not wrong in the same way; outside of the image nothing
    is. Of equal ones it is the first in reading order, and rather one that is missing.

    Args:
        found (Mask): Bool ``[H, W]``.
        target (Mask): Bool ``[H, W]``.

    Returns:
        Click | None: None where nothing is wrong.
    """
    best: tuple[float, Click] | None = None
    for wrong, positive in ((target & ~found, 1), (found & ~target, 0)):
        if not wrong.any():
            continue
        padded = np.pad(wrong.astype(np.uint8), 1)
        distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
        row, column = divmod(int(distance.argmax()), distance.shape[1])
        if best is None or distance[row, column] > best[0]:
            best = float(distance[row, column]), (column, row, positive)
    return None if best is None else best[1]
