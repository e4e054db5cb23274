from __future__ import annotations

import numpy as np
import pytest

from xdet.structures.masks.panoptic import panoptic_ids, panoptic_pixels


@pytest.mark.parametrize('dtype', [np.uint32, np.int64])
def test_ids_and_colours_are_each_made_of_the_other(dtype: type) -> None:
    ids = np.array([[0, 1, 255], [256, 65536, (1 << 24) - 1]], dtype)
    pixels = panoptic_pixels(ids)
    assert pixels[1].tolist() == [[0, 1, 0], [0, 0, 1], [255, 255, 255]]
    assert (panoptic_ids(pixels) == ids).all()
