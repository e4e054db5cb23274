"""Oriented boxes and polygons of masks, against formulas of their own."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from scipy.spatial import ConvexHull

from xdet.inference.outputs.shapes import add_shapes, oriented_box
from xdet.options import MASK_TASKS
from xdet.structures import FORMATS, encode_mask, mask_results


def box_of(mask: np.ndarray) -> list[float]:
    return oriented_box(encode_mask(mask))


def corners_of_pixels(mask: np.ndarray) -> np.ndarray:
    y, x = np.nonzero(mask)
    return np.concatenate([np.stack([x + dx, y + dy], 1) for dx in (0, 1) for dy in (0, 1)]).astype(float)


def least_area(mask: np.ndarray) -> float:
    """Area of the smallest rectangle: one of its sides lies on a side of the convex hull."""
    points = corners_of_pixels(mask)
    hull = points[ConvexHull(points).vertices]
    best = np.inf
    for x, y in np.roll(hull, -1, axis=0) - hull:
        turned = hull @ np.array([[x, -y], [y, x]]) / np.hypot(x, y)
        best = min(best, float(np.prod(np.ptp(turned, axis=0))))
    return best


def turned_rectangle(centre: tuple[float, float], size: tuple[float, float], angle: float) -> np.ndarray:
    y, x = np.mgrid[:120, :160] + 0.5
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    across = (x - centre[0]) * cosine + (y - centre[1]) * sine
    down = (y - centre[1]) * cosine - (x - centre[0]) * sine
    return (abs(across) <= size[0] / 2) & (abs(down) <= size[1] / 2)


@pytest.mark.parametrize('angle', [-90, -60, -45, -10, 0, 30, 45, 89])
def test_a_turned_rectangle_is_found_again(angle: float) -> None:
    x, y, width, height, found = box_of(turned_rectangle((80, 60), (70, 20), angle))
    assert abs(x - 80) < 1.5 and abs(y - 60) < 1.5 and abs(width - 70) < 3 and abs(height - 20) < 3
    assert -90 <= found < 90 and abs((found - angle + 90) % 180 - 90) < 2


def test_upright_rectangles_are_exact() -> None:
    wide = np.zeros((40, 50), bool)
    wide[3:8, 10:31] = True
    assert box_of(wide) == [20.5, 5.5, 21, 5, 0]
    assert box_of(wide.T.copy()) == [5.5, 20.5, 21, 5, -90]
    square = np.zeros((9, 9), bool)
    square[2:6, 3:7] = True
    assert box_of(square) == [5, 4, 4, 4, 0]


def test_a_box_covers_all_pixels_with_the_least_area() -> None:
    rng = np.random.RandomState(0)
    for _ in range(20):
        mask = np.zeros((60, 2000), bool)
        rows, columns = rng.randint(0, 60, 5), 1900 + rng.randint(0, 90, 5)
        mask[rows, columns] = True
        mask[rows[0] : rows[0] + 9, columns[0] : columns[0] + 20] = True
        box = box_of(mask)
        assert box[2] * box[3] == pytest.approx(least_area(mask), rel=1e-3)
        corners = np.float64(cv2.boxPoints((box[:2], box[2:4], box[4])))
        sides = np.roll(corners, -1, axis=0) - corners
        for corner, (x, y) in zip(corners, sides, strict=True):  # every pixel is on the inner side of every side
            away = corners_of_pixels(mask) - corner
            assert ((x * away[:, 1] - y * away[:, 0]) / np.hypot(x, y) > -0.02).all()


def test_empty_masks_single_pixels_and_several_parts() -> None:
    mask = np.zeros((20, 30), bool)
    rows = [mask_results(mask)]
    mask[4, 7] = True
    rows.append(mask_results(mask))
    mask[4, 17] = True
    mask[10:16, 20:26] = True
    mask[12, 22] = False  # a hole
    rows.append(mask_results(mask))
    add_shapes(rows, oriented_boxes=True, polygons=True)
    empty, single, parts = json.loads(json.dumps(rows))
    assert empty['oriented_box'] == [0] * 5 and empty['polygons'] == []
    assert single['oriented_box'] == [7.5, 4.5, 1, 1, 0]
    [[ring]] = single['polygons']
    assert sorted(map(tuple, ring)) == [(7, 4), (7, 5), (8, 4), (8, 5)]
    assert len(parts['polygons']) == 3 and sorted(map(len, parts['polygons'])) == [1, 1, 2]
    assert parts['oriented_box'][2] * parts['oriented_box'][3] == pytest.approx(least_area(mask), rel=1e-3)


def test_only_what_was_asked_for_is_added() -> None:
    row = mask_results(np.ones((3, 3), bool))
    add_shapes([row], oriented_boxes=False, polygons=True)
    assert 'polygons' in row and 'oriented_box' not in row


def test_tasks_with_masks_are_those_of_the_option() -> None:
    assert set(MASK_TASKS) <= set(FORMATS)
