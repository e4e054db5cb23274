"""Masks as plain data, as :mod:`xdet.structures.masks.codes` makes them with pycocotools."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdet.structures.masks.boxes import mask_box

Mask = NDArray[np.bool_]


def mask_results(mask: Mask) -> dict[str, Any]:
    """What is reported of a bool mask ``[H, W]``: area, boxes and COCO's run-length encoding."""
    x1, y1, x2, y2 = box = list(mask_box(mask) or (0, 0, 0, 0))
    return dict(
        area=int(mask.sum()),
        bbox=[x1, y1, x2 - x1, y2 - y1],
        box=box,
        segmentation=dict(size=[*mask.shape], counts=_counts(mask)),
    )


def _counts(mask: Mask) -> str:
    """COCO's compressed runs: column by column, beginning with one of zeros, which may be empty."""
    flat = mask.ravel(order='F')
    ends = np.append(np.flatnonzero(flat[1:] != flat[:-1]) + 1, len(flat))
    runs = np.diff(ends, prepend=0)
    if flat[0]:
        runs = np.append(0, runs)
    # From the fourth on, a run is told by its difference from the last but one.
    values = runs.copy()
    values[3:] -= runs[1:-2]
    # Digits of five bits, the lowest first; bit 6 says that another follows, bit 5 of the last is the sign.
    digits, going = [], np.ones(len(values), dtype=bool)
    while going.any():
        low = values & 31
        values = values >> 5
        more = np.where(low & 16, values != -1, values != 0)
        digits.append(np.where(going, low + 32 * more + 48, 0))
        going &= more
    letters = np.stack(digits, axis=1).ravel()
    return letters[letters > 0].astype(np.uint8).tobytes().decode('ascii')


def overlaps(masks: Mask) -> NDArray[np.float64]:
    """Intersection over union of masks ``[n, H, W]`` with each other: ``[n, n]``."""
    flat = masks.reshape(len(masks), -1).astype(np.float32)
    common = (flat @ flat.T).astype(np.float64)
    areas = common.diagonal()
    union = areas[:, None] + areas[None] - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)
