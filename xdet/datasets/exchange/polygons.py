"""Masks and polygons, each made of the other.

Coordinates are those of COCO: the pixel in column i covers i to i + 1, and a pixel belongs to a polygon by its centre.
So the polygon of a mask runs along the edges of its pixels, and drawing it gives the mask again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as mask_util

from xdet.structures.masks.codes import EncodedMask, as_plain, decode_mask, encode_mask

Ring = NDArray[np.float64]
"""``[n, 2]``: x and y of the corners; the last is joined to the first."""

LEAST_IOU = 0.98
"""Polygons are made simpler only while each covers the same as before, by this intersection over union."""

_TOLERANCES = (2.0, 1.5, 1.0, 0.7, 0.5)  # pixels; staircases along the pixels, which are exact, if none will do


@dataclass(frozen=True, eq=False)
class Polygon:
    """One part of a segment: what is inside of ``outer`` and outside of all ``holes``."""

    outer: Ring
    holes: tuple[Ring, ...] = ()

    @property
    def rings(self) -> tuple[Ring, ...]:
        """All of them, the outer one first."""
        return (self.outer, *self.holes)


def mask_polygons(mask: EncodedMask, least_iou: float = LEAST_IOU) -> tuple[Polygon, ...]:
    """Polygons of a mask, one for every part, with its holes.

    Args:
        mask (EncodedMask): See :func:`~xdet.structures.masks.codes.encode_mask`.
        least_iou (float): How well simpler polygons must cover it; 1 for polygons along the edges of pixels.
    """
    x, y, width, height = (int(value) for value in mask_util.toBbox(mask))
    if not width or not height:
        return ()
    # Decoding costs the whole image, tracing the part that is not empty.
    exact = _trace(decode_mask(mask)[y : y + height, x : x + width], (x, y))
    return exact if least_iou >= 1 else tuple(_simplified(polygon, least_iou) for polygon in exact)


def polygons_mask(polygons: Sequence[Polygon], size: tuple[int, int]) -> EncodedMask:
    """The mask of polygons, as COCO draws it; ``size`` is height and width."""
    parts = []
    for polygon in polygons:
        outer = _draw([polygon.outer], size)
        if polygon.holes:
            holes = _draw(polygon.holes, size)
            outer = mask_util.merge([outer, _inverse(holes)], intersect=True)
        parts.append(outer)
    return as_plain(mask_util.merge(parts)) if parts else encode_mask(np.zeros(size, bool))


def join(polygons: Sequence[Polygon]) -> Ring:
    """One ring that covers the same as all polygons: parts and holes hang together by lines without width.

    Formats with one ring for an object have no other way; programs draw such rings by the rule of even and odd.
    """
    rings = [ring for polygon in polygons for ring in polygon.rings]
    chain = rings[0]
    for ring in rings[1:]:
        # The nearest corners; chunks of the chain keep the table of distances small.
        best = min(
            (
                (float(table.min()), start + int(table.argmin()) // len(ring), int(table.argmin()) % len(ring))
                for start, table in _distances(chain, ring)
            )
        )
        _, here, there = best
        chain = np.concatenate([chain[: here + 1], ring[there:], ring[: there + 1], chain[here:]])
    return chain


def ellipse(centre: tuple[float, float], radii: tuple[float, float]) -> Ring:
    """72 corners on an ellipse; centre and radii are x and y in pixels."""
    angles = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    return np.stack([np.cos(angles), np.sin(angles)], axis=-1) * radii + centre


def turned(points: Ring, degrees: float) -> Ring:
    """Points turned clockwise about (0, 0), as they are seen."""
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return points @ np.array([[cos, sin], [-sin, cos]])


def iou(first: EncodedMask, second: EncodedMask) -> float:
    """Intersection over union of two masks of one size; 1 if both are empty."""
    union = int(mask_util.area(mask_util.merge([first, second])))
    common = int(mask_util.area(mask_util.merge([first, second], intersect=True)))
    return common / union if union else 1.0


def _distances(chain: Ring, ring: Ring) -> Iterator[tuple[int, NDArray[np.float64]]]:
    step = max(1, (1 << 20) // len(ring))
    for start in range(0, len(chain), step):
        yield start, np.square(chain[start : start + step, None] - ring[None]).sum(axis=-1)


def _draw(rings: Sequence[Ring], size: tuple[int, int]) -> dict:
    return mask_util.merge(mask_util.frPyObjects([ring.reshape(-1).tolist() for ring in rings], *size))


def _inverse(rle: dict) -> dict:
    """What a mask does not cover."""
    return mask_util.encode(np.asfortranarray(1 - mask_util.decode(rle)))


def _trace(mask: NDArray[np.bool_], offset: tuple[int, int]) -> tuple[Polygon, ...]:
    """Polygons along the edges of pixels.

    OpenCV's contours run through the centres of pixels. With every pixel doubled, the centres at both sides of an edge
    are at 2 e - 1 and 2 e, and where the border turns inwards it passes both: half of it, rounded up, is the edge.
    """
    import cv2

    doubled = np.repeat(np.repeat(mask.astype(np.uint8), 2, axis=0), 2, axis=1)
    contours, hierarchy = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    rings = [_corners((contour[:, 0] + 1) // 2 + np.array(offset)) for contour in contours]
    parents = hierarchy[0, :, 3]
    return tuple(
        Polygon(ring, tuple(rings[child] for child in np.flatnonzero(parents == place)))
        for place, ring in enumerate(rings)
        if parents[place] < 0
    )


def _corners(points: NDArray[np.int32]) -> Ring:
    """Without points that repeat the one before or lie on the line between their neighbours."""
    points = points[(points != np.roll(points, 1, axis=0)).any(axis=1)]
    before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    return points[before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]].astype(np.float64)


def _simplified(polygon: Polygon, least_iou: float) -> Polygon:
    """With as few corners as the overlap allows."""
    import cv2

    low, high = polygon.outer.min(axis=0), polygon.outer.max(axis=0)
    size = (int(high[1] - low[1]), int(high[0] - low[0]))
    rings = [ring - low for ring in polygon.rings]
    whole = polygons_mask([Polygon(rings[0], tuple(rings[1:]))], size)
    for tolerance in _TOLERANCES:
        simple = []
        for ring in rings:
            corners = cv2.approxPolyDP(ring.astype(np.float32)[:, None], tolerance, True)[:, 0].astype(np.float64)
            simple.append(corners if len(corners) > 2 else ring)
        if iou(polygons_mask([Polygon(simple[0], tuple(simple[1:]))], size), whole) >= least_iou:
            return Polygon(simple[0] + low, tuple(ring + low for ring in simple[1:]))
    return polygon
