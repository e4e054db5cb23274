"""What is reported of segments."""

from __future__ import annotations

import numpy as np
import pytest

from xdet.tasks.segmentation_format import _masks


@pytest.mark.parametrize('values', [[1, 2, 3, 4], [4, 2], [0, 3], [-1, 9], [70_000], []])
def test_masks_of_segments_in_their_boxes(values: list[int]) -> None:
    ids = np.random.default_rng(0).integers(-1, 5, (7, 9))
    ids[0, 0] = 70_000
    masks = list(_masks(ids, values))
    assert len(masks) == len(values)
    for value, mask in zip(values, masks, strict=True):
        assert mask.dtype == bool and np.array_equal(mask, ids == value)
