"""Tight boxes of masks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def mask_box(mask: NDArray[Any]) -> tuple[int, int, int, int] | None:
    """Tight box ``(x1, y1, x2, y2)`` of a bool mask ``[H, W]``, ends exclusive; None when the mask is empty."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not len(columns):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def mask_xywh(mask: NDArray[Any]) -> list[int]:
    """Tight box ``[x, y, width, height]`` of a bool mask ``[H, W]``, as in files of COCO; zeros when it is empty."""
    x1, y1, x2, y2 = mask_box(mask) or (0, 0, 0, 0)
    return [x1, y1, x2 - x1, y2 - y1]
