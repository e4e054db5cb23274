import numpy as np
import pytest

from xdet.visualization.drawing import (
    Style,
    draw_box,
    enlarge,
    enlarge_factor,
    inner_point,
    paint_map,
    paint_mask,
    region_borders,
)


def test_map_is_tinted_where_it_says_so():
    image = np.zeros((4, 6, 3), dtype=np.uint8)
    index_map = np.full((4, 6), -1)
    index_map[:, :3] = 1
    result = paint_map(image, index_map, np.array([[0, 0, 0], [200, 100, 0]], np.uint8), 0.5, line=0)
    assert (result[:, :3] == [100, 50, 0]).all()
    assert not result[:, 3:].any() and not image.any()


def test_borders_lie_between_regions():
    index_map = np.zeros((10, 10), dtype=int)
    index_map[:, 5:] = 7
    assert np.flatnonzero(region_borders(index_map, 1).any(axis=0)).tolist() == [5]
    assert not region_borders(np.zeros((10, 10), int), 3).any()


def test_mask_is_tinted_in_place():
    image = np.zeros((20, 20, 3), dtype=np.uint8)
    mask = np.zeros((20, 20), dtype=bool)
    mask[5:15, 5:15] = True
    paint_mask(image, mask, np.array([0, 200, 0], np.uint8), 0.5, line=1)
    assert (image[10, 10] == [0, 100, 0]).all()
    assert (image[5, 10] > 200).all()
    assert not image[0].any()
    paint_mask(image, np.zeros((20, 20), bool), np.array([1, 1, 1], np.uint8), 0.5, line=1)


def test_box_outside_the_picture_is_clipped():
    image = np.zeros((20, 20, 3), dtype=np.uint8)
    draw_box(image, np.array([-50.0, 5, 500, 30]), np.array([9, 9, 9]), 1)
    assert (image[5] == 9).all() and (image[19] == 9).all()


@pytest.mark.parametrize('size', [40, 2400])
def test_inner_point_lies_in_a_ring_not_in_its_hole(size):
    rows, columns = np.mgrid[:size, :size]
    radius = np.hypot(rows - size / 2, columns - size / 2)
    ring = (radius < 0.48 * size) & (radius > 0.3 * size)
    x, y, inside = inner_point(ring)
    assert ring[int(y), int(x)]
    assert inside == pytest.approx(0.09 * size, rel=0.3)


def test_inner_point_of_thin_and_empty_masks():
    assert inner_point(np.zeros((5, 5), bool)) is None
    line = np.zeros((3000, 3000), dtype=bool)
    line[:, 1234] = True
    assert inner_point(line)[0] == 1234


def test_small_pictures_are_enlarged_by_whole_factors():
    assert enlarge_factor(100, 75, 480) == 5
    assert enlarge_factor(480, 10, 480) == 1
    assert enlarge_factor(20000, 300, 480) == 1
    assert enlarge(np.arange(4).reshape(2, 2), 3).tolist()[5] == [2, 2, 2, 3, 3, 3]
    assert enlarge(np.zeros((2, 3, 3), np.uint8), 4, smooth=True).shape == (8, 12, 3)


def test_style_grows_with_the_picture():
    small, large, strip = Style.of(480, 480), Style.of(3000, 2000), Style.of(300, 20000)
    assert small.font < large.font and small.line < large.line
    assert strip.font < 40
    assert Style.of(20000, 20000) == Style.of(4000, 4000)
