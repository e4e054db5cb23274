"""How many clicks an object needs: a clicker that always does the same, and what is counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from xdet.models.heads.clicker import Click, Mask, next_click

__all__ = ['click_curve', 'next_click', 'number_of_clicks']


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
