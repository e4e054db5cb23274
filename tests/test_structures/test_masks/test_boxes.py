"""Tight boxes of masks."""

import numpy as np

from xdet.structures.masks.boxes import mask_box, mask_xywh


def test_boxes_are_tight():
    mask = np.zeros((8, 9), dtype=bool)
    assert mask_box(mask) is None and mask_xywh(mask) == [0, 0, 0, 0]
    mask[2:4, 3:7] = True
    assert mask_box(mask) == (3, 2, 7, 4) and mask_xywh(mask) == [3, 2, 4, 2]
