"""Which segment of a frame is which of the frames before.

Every segment comes with the class and mask embedding of its query. Trackers as in MinVIS match these between frames;
here the overlap of masks is a third witness, after moving the old mask on by the speed that its object had. Objects
that are not found stay in memory: when nothing nearby takes a segment, the lost object that looks like it does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Masks = NDArray[np.bool_]
Floats = NDArray[np.floating]

_SIDE = 192
"""Masks are compared at about this many pixels a side."""


@dataclass(frozen=True)
class TrackingOptions:
    """How segments are matched.

    Attributes:
        memory (int): For how many frames a lost object is remembered.
        overlap (float): Weight of the overlap of masks; the two others weigh as much together.
        least (float): Pairs that agree less than this, from 0 to 1, are not the same object.
        least_again (float): The same for objects that come back, which are compared by their looks alone.
        renamed (float): Factor of how alike a track and a segment of another class look.
        update (float): Share of a new frame in what is remembered of an object's looks.
    """

    memory: int = 60
    overlap: float = 1.0
    least: float = 0.45
    least_again: float = 0.65
    renamed: float = 0.85
    update: float = 0.3


@dataclass
class Track:
    """What is remembered of an object.

    Attributes:
        number (int): Its identity, from 1.
        votes (dict[int, float]): For every class, in how many frames it was that, weighted by how sure the frames were
            and how much of the object they showed.
        mask (Masks): Small mask of where it was last.
        looks (tuple[Floats, ...]): Unit embeddings, averaged over frames.
        centre (Floats): Of the small mask, ``(y, x)`` in its pixels.
        speed (Floats): Pixels of the small mask per frame.
        seen (int): Frame in which it was last found.
        largest (int): Greatest area of its small masks so far.
    """

    number: int
    votes: dict[int, float]
    mask: Masks
    looks: tuple[Floats, ...]
    centre: Floats
    speed: Floats
    seen: int
    largest: int = 1

    @property
    def label(self) -> int:
        """Class with the most votes."""
        return max(self.votes, key=lambda label: self.votes[label])

    def vote(self, label: int, score: float, mask: Masks) -> None:
        """Take the class of a frame."""
        area = int(mask.sum())
        self.largest = max(self.largest, area)
        self.votes[label] = self.votes.get(label, 0.0) + score * area / self.largest


class Tracker:
    """Gives segments identities, frame by frame, in memory that depends on :attr:`TrackingOptions.memory` alone."""

    def __init__(self, options: TrackingOptions | None = None) -> None:
        self.options = options or TrackingOptions()
        self.frame = -1
        self.tracks: dict[int, Track] = {}
        self._stuff: dict[int, int] = {}
        self._count = 0

    def update(
        self,
        labels: Sequence[int],
        is_thing: Sequence[bool],
        masks: Masks,
        looks: Sequence[Floats],
        scores: Sequence[float] | None = None,
    ) -> list[int | None]:
        """Identities of the segments of the next frame.

        Args:
            labels (Sequence[int]): ``[n]`` classes.
            is_thing (Sequence[bool]): ``[n]``; stuff has one identity per class.
            masks (Masks): bool ``[n, H, W]``, of any size that is the same in all frames.
            looks (Sequence[Floats]): Embeddings, each ``[n, C]`` and compared by cosine.
            scores (Sequence[float], optional): ``[n]``, how sure the classes are; None is 1.

        Returns:
            list[int | None]: Numbers from 1, each once; None for empty masks.
        """
        self.frame += 1
        found: list[int | None] = [None] * len(labels)
        small, units = shrink(masks), [_unit(look) for look in looks]
        there = [row for row, area in enumerate(small.sum(axis=(1, 2))) if area]
        for row in there:
            if not is_thing[row]:
                if labels[row] not in self._stuff:
                    self._stuff[labels[row]] = self._new()
                found[row] = self._stuff[labels[row]]
        rows = [row for row in there if is_thing[row]]
        recent = [track for track in self.tracks.values() if track.seen == self.frame - 1]
        lost = [track for track in self.tracks.values() if track.seen < self.frame - 1]
        centres = {row: _centre(small[row]) for row in rows}
        for tracks, nearby, least in (
            (recent, True, self.options.least),
            # What is hidden for a few frames goes on where it was heading to; after that looks alone tell.
            (lost, True, self.options.least),
            (lost, False, self.options.least_again),
        ):
            open_rows = [row for row in rows if found[row] is None]
            free = [track for track in tracks if track.seen < self.frame]
            if not open_rows or not free:
                continue
            agreed = self._looks(free, open_rows, labels, units)
            if nearby:
                agreed = self._with_overlap(agreed, free, small[open_rows])
            for place, column in _pairs(agreed, least):
                row = open_rows[column]
                found[row] = free[place].number
                self._refresh(free[place], small[row], [unit[row] for unit in units], centres[row])
        for row in rows:
            if found[row] is None:
                number = self._new()
                found[row] = number
                own = tuple(unit[row] for unit in units)
                self.tracks[number] = Track(number, {}, small[row], own, centres[row], np.zeros(2), self.frame)
            self.tracks[found[row] or 0].vote(labels[row], 1.0 if scores is None else scores[row], small[row])
        horizon = self.frame - self.options.memory
        self.tracks = {number: track for number, track in self.tracks.items() if track.seen >= horizon}
        return found

    def _new(self) -> int:
        self._count += 1
        return self._count

    def _looks(
        self, tracks: Sequence[Track], rows: Sequence[int], labels: Sequence[int], units: Sequence[Floats]
    ) -> Floats:
        """How alike tracks and segments look ``[tracks, rows]``, from 0 to 1; less with another class."""
        alike = [np.stack([track.looks[k] for track in tracks]) @ unit[list(rows)].T for k, unit in enumerate(units)]
        same = np.array([[track.label == labels[row] for row in rows] for track in tracks])
        mean = np.mean(np.clip(alike, 0, 1), axis=0) if alike else np.ones(same.shape)
        return np.asarray(mean * np.where(same, 1.0, self.options.renamed))

    def _with_overlap(self, looks: Floats, tracks: Sequence[Track], small: Masks) -> Floats:
        """Looks ``[tracks, rows]`` and the overlap after moving on; nothing where masks are apart."""
        moved = np.stack([_shift(track.mask, track.speed * (self.frame - track.seen)) for track in tracks])
        overlap = ious(moved, small)
        weight = self.options.overlap
        return np.where(overlap > 0, (weight * overlap + looks) / (1 + weight), 0.0)

    def _refresh(self, track: Track, mask: Masks, looks: Sequence[Floats], centre: Floats) -> None:
        passed = self.frame - track.seen
        speed = (centre - track.centre) / passed
        # A jump over a gap says little about the speed now, and a growing or cut mask moves its centre, too.
        track.speed = 0.5 * track.speed + 0.5 * speed if passed == 1 else np.zeros(2)
        share = self.options.update
        track.looks = tuple(_unit((1 - share) * old + share * new) for old, new in zip(track.looks, looks, strict=True))
        track.mask, track.centre, track.seen = mask, centre, self.frame


def shrink(masks: Masks) -> Masks:
    """Masks ``[n, H, W]`` at about :data:`_SIDE` pixels a side: a small pixel is set where any of its pixels is."""
    step = max(1, max(masks.shape[1:], default=1) // _SIDE)
    if step == 1 or not len(masks):
        return masks
    height, width = (-(-side // step) for side in masks.shape[1:])
    padded = np.zeros((len(masks), height * step, width * step), bool)
    padded[:, : masks.shape[1], : masks.shape[2]] = masks
    return np.asarray(padded.reshape(len(masks), height, step, width, step).any(axis=(2, 4)))


def ious(first: Masks, second: Masks) -> Floats:
    """Intersection over union ``[n, m]`` of masks ``[n, h, w]`` and ``[m, h, w]``."""
    a = first.reshape(len(first), -1).astype(np.float32)
    b = second.reshape(len(second), -1).astype(np.float32)
    shared = a @ b.T
    union = a.sum(1)[:, None] + b.sum(1)[None] - shared
    return np.asarray(shared / np.maximum(union, 1))


def _pairs(agreed: Floats, least: float) -> list[tuple[int, int]]:
    """Rows and columns of a table that together agree best, each once, where they agree at least so much."""
    from scipy.optimize import linear_sum_assignment  # half a second of importing xdet.apis otherwise

    pairs = zip(*linear_sum_assignment(-agreed), strict=True)
    return [(int(row), int(column)) for row, column in pairs if agreed[row, column] >= least]


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12))


def _centre(mask: Masks) -> Floats:
    rows, columns = np.nonzero(mask)
    return np.array([rows.mean(), columns.mean()])


def _shift(mask: Masks, by: Floats) -> Masks:
    """A mask moved by whole pixels; what leaves the image is gone."""
    height, width = mask.shape
    down, across = (int(np.clip(np.rint(value), -side, side)) for value, side in zip(by, mask.shape, strict=True))
    moved = np.zeros_like(mask)
    moved[max(down, 0) : height + min(down, 0), max(across, 0) : width + min(across, 0)] = mask[
        max(-down, 0) : height + min(-down, 0), max(-across, 0) : width + min(-across, 0)
    ]
    return moved
