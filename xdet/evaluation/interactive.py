"""How many clicks an object needs: a clicker that always does the same, and what is counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


def click_curve(segment: Callable[[Sequence[Click]], Mask], target: Mask, clicks: int = 20) -> list[float]:
    """IoU after one, two, ... clicks; after a mask without an error all that follow are 1.

    Args:
        segment (Callable): Makes a mask ``[H, W]`` of all clicks so far.
        target (Mask): Bool ``[H, W]``, not empty.
        clicks (int): How many.

    Raises:
        ValueError: There is nothing to click on.
    """
    if not target.any():
        raise ValueError('the mask of the object is empty: there is nothing to click on')
    found = np.zeros_like(target)
    given: list[Click] = []
    curve: list[float] = []
    for _ in range(clicks):
        click = next_click(found, target)
        if click is None:
            return curve + [1.0] * (clicks - len(curve))
        given.append(click)
        found = segment(given)
        curve.append(float((found & target).sum() / (found | target).sum()))
    return curve


def number_of_clicks(curves: Sequence[Sequence[float]], iou: float) -> tuple[float, float]:
    """NoC: the mean number of clicks until the IoU is reached, and the share of objects that never reach it.

    As usual an object that never does counts with the number of clicks that it was given.

    Args:
        curves (Sequence[Sequence[float]]): Those of :func:`click_curve`.
        iou (float): Such as 0.85.
    """
    table = np.asarray(curves, np.float64)
    reached = table >= iou
    counts = np.where(reached.any(1), reached.argmax(1) + 1, table.shape[1])
    return float(counts.mean()), float((~reached.any(1)).mean())
