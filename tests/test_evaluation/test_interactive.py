"""The clicker and its counts, against an implementation of its own by other means."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from xdet.evaluation.interactive import click_curve, next_click, number_of_clicks


def clicked(found, target):
    """Depth and pixels of the deepest errors, by SciPy's transform; all that are equally deep."""
    depths = {
        kind: distance_transform_edt(np.pad(wrong, 1))[1:-1, 1:-1]
        for kind, wrong in ((1, target & ~found), (0, found & ~target))
    }
    deepest = max(depth.max() for depth in depths.values())
    places = {
        (int(x), int(y), kind)
        for kind, depth in depths.items()
        for y, x in np.argwhere(np.isclose(depth, deepest, atol=1e-3))
    }
    return deepest, places


@pytest.mark.parametrize('seed', range(20))
def test_clicks_are_in_the_middle_of_the_widest_error(seed: int) -> None:
    random = np.random.RandomState(seed)
    rows, columns = np.mgrid[:40, :60]

    def blob():
        y, x, height, width = random.rand(4) * [40, 60, 15, 20]
        return ((rows - y) / (height + 2)) ** 2 + ((columns - x) / (width + 2)) ** 2 < 1

    found, target = blob(), blob() | blob()
    deepest, places = clicked(found, target)
    if deepest:
        assert next_click(found, target) in places
    else:
        assert next_click(found, target) is None


def test_edges_of_the_image_are_edges_and_equal_places_come_in_order() -> None:
    target = np.zeros((5, 7), bool)
    target[:, :3] = True
    assert next_click(np.zeros_like(target), target) == (1, 1, 1)
    assert next_click(target, np.zeros_like(target)) == (1, 1, 0)
    assert next_click(target, target) is None
    assert next_click(target, target[:, ::-1]) == (5, 1, 1)  # as much is missing as too much


def test_curves_and_counts() -> None:
    target = np.zeros((20, 20), bool)
    target[4:16, 4:16] = True

    def squares(clicks):
        """Every click adds, or takes away, a square of 7x7 pixels."""
        mask = np.zeros_like(target)
        for x, y, positive in clicks:
            mask[max(y - 3, 0) : y + 4, max(x - 3, 0) : x + 4] = positive
        return mask & target

    curve = click_curve(squares, target, 20)
    assert len(curve) == 20 and curve[0] == 49 / 144 and curve[-1] == 1 and (np.diff(curve) >= 0).all()
    first = next(place for place, value in enumerate(curve, start=1) if value >= 0.85)
    assert number_of_clicks([curve, [0.0] * 20, [0.9] * 20], 0.85) == ((first + 20 + 1) / 3, 1 / 3)
    with pytest.raises(ValueError, match='the mask of the object is empty'):
        click_curve(squares, np.zeros_like(target))
