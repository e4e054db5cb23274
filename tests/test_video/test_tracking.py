"""Identities of blocks that move, hide and come back; no model."""

from __future__ import annotations

import numpy as np
import pytest

from xdet.video.tracking import Tracker, TrackingOptions, ious, shrink

LOOKS = np.eye(4)


def block(x, y, side=10, shape=(60, 80)):
    mask = np.zeros(shape, bool)
    mask[max(y, 0) : max(y + side, 0), max(x, 0) : max(x + side, 0)] = True
    return mask


def step(tracker, *parts):
    """Each part: class, mask, look."""
    labels, masks, looks = zip(*parts, strict=True)
    return tracker.update(labels, [label != 9 for label in labels], np.stack(masks), [LOOKS[list(looks)]])


def test_blocks_of_one_class_keep_their_numbers_when_they_pass():
    tracker = Tracker()
    for frame in range(20):
        parts = [(0, block(3 * frame, 5), 0), (0, block(60 - 3 * frame, 9), 1)]
        backwards = frame % 2
        numbers = step(tracker, *(parts[::-1] if backwards else parts))
        assert numbers == ([2, 1] if backwards else [1, 2]), frame


def test_hidden_and_returning_things_are_known_again_until_they_are_forgotten():
    for absent, known in ((3, True), (30, True), (70, False)):
        tracker = Tracker(TrackingOptions(memory=60))
        assert step(tracker, (0, block(5, 5), 0), (1, block(40, 5), 1)) == [1, 2]
        for _ in range(absent):
            step(tracker, (1, block(40, 5), 1))
        assert step(tracker, (0, block(60, 40), 0), (1, block(40, 5), 1)) == ([1, 2] if known else [3, 2])
        assert len(tracker.tracks) == 2


def test_another_thing_of_the_class_is_new():
    tracker = Tracker()
    step(tracker, (0, block(5, 5), 0))
    step(tracker, (1, block(40, 40), 1))
    assert step(tracker, (0, block(60, 5), 2)) == [3]


def test_stuff_has_one_number_per_class_and_empty_masks_have_none():
    tracker = Tracker()
    assert step(tracker, (9, block(0, 0, 30), 3), (0, block(50, 5), 0)) == [1, 2]
    assert step(tracker, (0, block(51, 5), 0), (9, block(40, 30, 30), 2)) == [2, 1]
    assert step(tracker, (0, block(0, 0, 0), 0)) == [None]
    assert tracker.update([], [], np.zeros((0, 60, 80), bool), [np.zeros((0, 4))]) == []
    assert step(tracker, (0, block(52, 5), 0)) == [2]


def test_names_are_those_with_the_most_votes():
    tracker = Tracker()
    for frame, label in enumerate((5, 5, 7, 5)):
        # Class 7 is seen on a small part only.
        mask = block(20, 20, 4 if label == 7 else 12)
        (number,) = tracker.update([label], [True], mask[None], [LOOKS[:1]], [0.9])
        assert number == 1 and tracker.tracks[1].label == 5, frame


def test_memory_does_not_grow():
    tracker = Tracker(TrackingOptions(memory=5))
    rng = np.random.default_rng(0)
    for _ in range(60):
        x, y = rng.integers(0, 50, 2)
        look = rng.normal(size=(1, 64))
        tracker.update([int(x)], [True], block(x, y)[None], [look])
    assert len(tracker.tracks) <= 6


@pytest.mark.parametrize('size', [(40, 50), (200, 401), (1000, 700)])
def test_small_masks_cover_the_large_ones(size):
    masks = np.stack([block(7, 9, 13, size), np.ones(size, bool), np.zeros(size, bool)])
    small = shrink(masks)
    assert max(small.shape[1:]) <= 2 * 192 and small.any(axis=(1, 2)).tolist() == [True, True, False]
    assert small[1].all()
    a, b = masks[:, ::1], masks[::-1]
    expected = [[(x & y).sum() / max((x | y).sum(), 1) for y in b] for x in a]
    assert np.allclose(ious(a, b), expected)
