"""Masks to polygons and back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xdet.datasets.exchange.polygons import Polygon, iou, join, mask_polygons, polygons_mask
from xdet.structures import encode_mask


@st.composite
def any_mask(draw: st.DrawFn) -> np.ndarray:
    """Noise and blobs, of any share of the image."""
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    noise = generator.random((height, width)).astype(np.float32)
    if draw(st.booleans()):
        noise = cv2.GaussianBlur(noise, (0, 0), 2)
    return noise >= np.quantile(noise, draw(st.floats(0, 0.99)))


@settings(max_examples=150, deadline=None)
@given(mask=any_mask())
def test_polygons_give_the_mask_again(mask: np.ndarray) -> None:
    rle = encode_mask(mask)
    exact = mask_polygons(rle, least_iou=1)
    assert polygons_mask(exact, mask.shape) == rle
    assert polygons_mask([Polygon(join(exact))], mask.shape) == rle  # parts and holes on lines without width
    simple = mask_polygons(rle)
    assert iou(polygons_mask(simple, mask.shape), rle) >= 0.98
    assert iou(polygons_mask([Polygon(join(simple))], mask.shape), rle) >= 0.97
    assert sum(len(ring) for p in simple for ring in p.rings) <= sum(len(ring) for p in exact for ring in p.rings)


def test_parts_and_holes() -> None:
    mask = np.zeros((30, 40), bool)
    mask[2:20, 3:30] = True
    mask[5:10, 6:12] = mask[12:15, 20:22] = False
    mask[25:28, 1:39] = True
    mask[7, 8] = True  # an island in a hole
    polygons = mask_polygons(encode_mask(mask))
    assert sorted(len(polygon.holes) for polygon in polygons) == [0, 0, 2]
    largest = max(polygons, key=lambda polygon: len(polygon.holes))
    assert sorted(map(tuple, largest.outer)) == [(3, 2), (3, 20), (30, 2), (30, 20)]


def test_nothing() -> None:
    empty = encode_mask(np.zeros((4, 5), bool))
    assert mask_polygons(empty) == () and polygons_mask((), (4, 5)) == empty and iou(empty, empty) == 1


def test_circles_have_few_corners() -> None:
    y, x = np.mgrid[:400, :400]
    rle = encode_mask((y - 200) ** 2 + (x - 200) ** 2 < 150**2)
    (polygon,) = mask_polygons(rle)
    assert len(polygon.outer) < 120 and iou(polygons_mask([polygon], (400, 400)), rle) == pytest.approx(1, abs=0.02)
