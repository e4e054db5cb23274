"""Oriented boxes and polygons of reported masks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from xdet.datasets.exchange.polygons import Polygon, mask_polygons
from xdet.structures import EncodedMask


def oriented_box(mask: EncodedMask) -> list[float]:
    """The smallest rectangle, however turned, around the pixels of a mask.

    Returns:
        list[float]: x and y of the centre, width, height, angle. Width is the longer side; the angle is that of this
        side, in degrees from the x-axis, clockwise in the image (y points down), from -90 to below 90, and of a square
        from -45 to below 45. Pixels are areas, as in ``box``: a single one is 1 by 1. All zeros for an empty mask.
    """
    import cv2

    polygons = mask_polygons(mask, 1)
    if not polygons:
        return [0.0] * 5
    corners = np.concatenate([polygon.outer for polygon in polygons])
    low = corners.min(axis=0)  # OpenCV reckons in single precision, so near the origin
    (x, y), (width, height), angle = cv2.minAreaRect((corners - low).astype(np.float32))
    if width < height:
        width, height, angle = height, width, angle + 90
    # Versions of OpenCV differ in the range of the angle and in which side they call the width; this one has no choice.
    turn, least = (90, -45) if width - height < 1e-3 else (180, -90)
    angle = (round(angle, 4) - least) % turn + least
    return [round(float(value), 4) for value in (x + low[0], y + low[1], width, height, angle)]


def plain_polygons(polygons: Sequence[Polygon]) -> list[list[list[list[float]]]]:
    """Polygons for JSON: of every part its rings, the outer one first, then holes; a ring is a list of x and y."""
    return [[ring.tolist() for ring in polygon.rings] for polygon in polygons]


def add_shapes(rows: Iterable[dict[str, Any]], oriented_boxes: bool, polygons: bool) -> None:
    """Give reported masks ``oriented_box`` and ``polygons``, whichever are wanted."""
    for row in rows:
        if oriented_boxes:
            row['oriented_box'] = oriented_box(row['segmentation'])
        if polygons:
            row['polygons'] = plain_polygons(mask_polygons(row['segmentation']))
