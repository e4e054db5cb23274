"""Encoded masks are decoded only when they are whole."""

from __future__ import annotations

import numpy as np
import pytest

from xdet.structures import decode_mask, encode_mask, mask_results


@pytest.mark.parametrize('size', [(1, 1), (7, 5), (300, 2)])
def test_masks_come_back(size):
    for mask in (np.zeros(size, bool), np.ones(size, bool), np.random.default_rng(0).random(size) > 0.5):
        assert (decode_mask(encode_mask(mask)) == mask).all()


def test_boxes_in_both_forms():
    mask = np.zeros((10, 20), bool)
    mask[2:5, 3:9] = True
    found = mask_results(mask)
    assert (found['area'], found['bbox'], found['box']) == (18, [3, 2, 6, 3], [3, 2, 9, 5])


GOOD = encode_mask(np.eye(6, dtype=bool))


@pytest.mark.parametrize(
    'garbage',
    [
        None,
        5,
        'text',
        [],
        {},
        dict(size=[6, 6]),
        dict(GOOD, size=[6, 7]),
        dict(GOOD, size=[-6, -6]),
        dict(GOOD, size=[2**40, 2**40]),
        dict(GOOD, size=None),
        dict(GOOD, size=['6', '6']),
        dict(GOOD, counts='\x00' * 9),
        dict(GOOD, counts='o' * 100_000),
        dict(GOOD, counts=GOOD['counts'][:-1]),
        dict(GOOD, counts=GOOD['counts'] + '1'),
        dict(GOOD, counts='é'),
        dict(GOOD, counts=[5, 31]),
        dict(GOOD, counts=5),
    ],
)
def test_garbage_is_one_short_line(garbage):
    with pytest.raises(ValueError, match='encoded mask') as caught:
        decode_mask(garbage)
    assert len(str(caught.value)) < 300
