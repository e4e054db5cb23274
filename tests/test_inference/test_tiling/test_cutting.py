"""Tiles cover an image, in any form they are asked for."""

from __future__ import annotations

import pytest

from xdet.inference.tiling.cutting import Tiles


@pytest.mark.parametrize('length, size, overlap', [(100, 40, 10), (41, 40, 39), (40, 40, 0), (7, 40, 5), (100, 40, 0)])
def test_cores_cover_every_pixel_once(length, size, overlap):
    spans = Tiles(size, overlap).spans(length)
    assert spans[0].start == spans[0].core == 0 and spans[-1].stop == length
    assert all(span.stop - span.start == min(size, length) for span in spans)
    for left, right in zip(spans, spans[1:], strict=False):
        assert right.before == left.stop and left.stop - right.start >= overlap
        assert right.start <= right.core <= left.stop and left.core < right.core


@pytest.mark.parametrize(
    'value, expected',
    [(64, (64, 8)), ((64, 0), (64, 0)), ('100', (100, 12)), ('100, 20', (100, 20)), ([64, 63], (64, 63))],
)
def test_tiles_in_any_form(value, expected):
    assert Tiles.of(value) == Tiles(*expected)


@pytest.mark.parametrize(
    'value, message',
    [
        ((64, 64), 'tiles of 64 pixels overlap by 64'),
        (0, 'size of tiles is 0'),
        ((64, -1), 'overlap of tiles is -1'),
        ('many', "tiles is 'many'"),
        ('64,', "tiles is '64,'"),
        ((1, 2, 3), 'tiles is'),
        (True, 'tiles is True'),
        (64.5, 'size of tiles is 64.5'),
    ],
)
def test_unusable_tiles(value, message):
    with pytest.raises(ValueError, match=message):
        Tiles.of(value)
