"""Small separate parts go, small holes are filled."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from xdet.structures.masks.parts import without_specks


def drawn(text: str) -> np.ndarray:
    return np.array([[letter == '#' for letter in row] for row in text.split()])


RING = """
.........
.#####.#.
.#...#...
.#.#.##..
.#...#.#.
.#####.##
........."""


@pytest.mark.parametrize(
    ('share', 'expected'),
    [
        (0, RING),
        # The part of one pixel at the upper right goes, and so does the one in the hole; three pixels stay.
        (0.1, '......... .#####... .#...#... .#...##.. .#...#.#. .#####.## .........'),
        # Of a mask of 22 pixels, a hole of 9 is filled, too.
        (0.5, '......... .#####... .#####... .######.. .#####.#. .#####.## .........'),
        (1, '......... .#####... .#####... .######.. .#####.#. .#####.## .........'),
    ],
)
def test_parts_and_holes(share: float, expected: str) -> None:
    mask = drawn(RING)
    before = mask.copy()
    assert (without_specks(mask, share) == drawn(expected)).all()
    assert (mask == before).all()


def test_largest_part_stays_and_an_empty_mask_stays_empty() -> None:
    mask = drawn('##..# ##... ....# #.#.#')
    assert (without_specks(mask, 1) == drawn('##... ##... ..... .....')).all()
    assert not without_specks(np.zeros((3, 4), dtype=bool), 0.5).any()


def test_bay_at_the_border_of_the_image_is_no_hole() -> None:
    bay = drawn('###.### ##...## #######')
    assert (without_specks(bay, 0.9) == bay).all()


@pytest.mark.parametrize('seed', range(5))
def test_agrees_with_an_independent_implementation(seed: int) -> None:
    mask = np.random.default_rng(seed).random((40, 50)) < 0.55
    share = 0.004
    least = share * mask.sum()
    parts, count = ndimage.label(mask, np.ones((3, 3)))
    areas = ndimage.sum_labels(mask, parts, range(1, count + 1))
    kept = np.isin(parts, [number for number, area in enumerate(areas, 1) if area >= least])
    holes, count = ndimage.label(np.pad(~kept, 1, constant_values=True))
    areas = ndimage.sum_labels(holes > 0, holes, range(1, count + 1))
    small = [number for number, area in enumerate(areas, 1) if area < least and number != holes[0, 0]]
    assert (without_specks(mask, share) == (kept | np.isin(holes, small)[1:-1, 1:-1])).all()
