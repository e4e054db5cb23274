"""Quality of panoptic segmentation through time, against exact identities.

VPQ (Kim et al., "Video Panoptic Segmentation", arXiv 2006.11339): panoptic quality of tubes, which are segments of
several frames in a row. STQ (Weber et al., "STEP", arXiv 2102.11859): the geometric mean of association quality of
things and mean IoU of classes. Identity switches as in CLEAR MOT.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from xdet.structures import Vocabulary

from .panoptic_quality import ClassCounts, match_segments, summarise

Map = NDArray[np.integer]


@dataclass
class FilmQuality:
    """Sums over films; :meth:`add` takes one frame after the other, :meth:`end_film` separates films.

    Args:
        vocabulary (Vocabulary): The classes.
        windows (Sequence[int]): Lengths of tubes, in frames; 1 is the panoptic quality of single frames.
    """

    vocabulary: Vocabulary
    windows: Sequence[int] = (1, 5, 10, 15)
    kept: int = 0
    switched: int = 0
    kept_again: int = 0
    switched_again: int = 0
    _counts: dict[int, dict[int, ClassCounts]] = field(default_factory=dict)
    _recent: list[tuple[Map, list[dict], Map, list[dict]]] = field(default_factory=list)
    _last: dict[int, tuple[int, int]] = field(default_factory=dict)
    _frame: int = 0
    _confusion: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    _shared: dict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))
    _true_area: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    _found_area: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    _association: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        classes = len(self.vocabulary)
        self._counts = {window: {label: ClassCounts() for label in range(classes)} for window in self.windows}
        self._confusion = np.zeros((classes + 1, classes + 1), np.int64)

    def add(self, true_map: Map, true_segments: Sequence[dict], found_map: Map, found_segments: Sequence[dict]) -> None:
        """Take a frame.

        Args:
            true_map (Map): ``[H, W]`` identities; 0 is void.
            true_segments (Sequence[dict]): ``id`` and ``label`` of those that are seen.
            found_map (Map): ``[H, W]`` tracks; 0 is void.
            found_segments (Sequence[dict]): ``id`` (the track) and ``label``.
        """
        frame = (np.asarray(true_map), list(true_segments), np.asarray(found_map), list(found_segments))
        self._recent = [*self._recent, frame][-max(self.windows) :]
        for window in self.windows:
            if len(self._recent) >= window:
                for label, counts in _tubes(self._recent[-window:]).items():
                    self._counts[window][label] += counts
        self._identities(*frame)
        self._areas(*frame)
        self._frame += 1

    def end_film(self) -> None:
        """Between two films: identities of the next have nothing to do with those before."""
        for number, area in self._true_area.items():
            pairs = [(found, shared) for (true, found), shared in self._shared.items() if true == number]
            score = sum(shared * shared / (area + self._found_area[found] - shared) for found, shared in pairs)
            self._association.append(score / area)
        self._recent, self._last = [], {}
        for sums in (self._shared, self._true_area, self._found_area):
            sums.clear()

    def result(self) -> dict[str, float]:
        """``PQ`` (windows of 1), ``VPQ`` of every window and their mean, ``STQ``, ``AQ``, ``SQ``, all in percent;
        ``kept``, the percentage of objects found in two frames in a row that keep their track; ``kept_again``, the same
        for objects found again after a gap; ``switches``, how many did not, of both kinds.
        """
        result = {f'VPQ_{window}': summarise(counts, self.vocabulary)['PQ'] for window, counts in self._counts.items()}
        result['VPQ'] = float(np.mean(list(result.values())))
        if 1 in self._counts:
            result['PQ'] = result['VPQ_1']
        hits = np.diag(self._confusion)[:-1]
        # Void of the ground truth is the last row; what is found there does not count.
        union = self._confusion[:-1].sum(1)[: len(hits)] + self._confusion[:-1].sum(0)[:-1] - hits
        quality = float(np.mean(hits[union > 0] / union[union > 0])) if (union > 0).any() else float('nan')
        association = float(np.mean(self._association)) if self._association else float('nan')
        result.update(AQ=100 * association, SQ=100 * quality, STQ=100 * (association * quality) ** 0.5)
        result['kept'] = 100 * self.kept / max(self.kept + self.switched, 1)
        result['kept_again'] = 100 * self.kept_again / max(self.kept_again + self.switched_again, 1)
        result['switches'] = self.switched + self.switched_again
        return result

    def _identities(self, true_map: Map, true_segments: list[dict], found_map: Map, found_segments: list[dict]) -> None:
        for segment in true_segments:
            if not self.vocabulary.is_thing[segment['label']]:
                continue
            mask = true_map == segment['id']
            numbers, shared = np.unique(found_map[mask], return_counts=True)
            best = int(shared.argmax())
            number = int(numbers[best])
            union = int(mask.sum()) + int((found_map == number).sum()) - int(shared[best])
            if number == 0 or shared[best] / union <= 0.5:
                continue
            if segment['id'] in self._last:
                before, when = self._last[segment['id']]
                again = '_again' if when < self._frame - 1 else ''
                name = ('kept' if before == number else 'switched') + again
                setattr(self, name, getattr(self, name) + 1)
            self._last[segment['id']] = number, self._frame

    def _areas(self, true_map: Map, true_segments: list[dict], found_map: Map, found_segments: list[dict]) -> None:
        """Areas of STQ; tubes of things are compared whatever their class."""
        void = len(self.vocabulary)
        true_label, found_label = (
            _labels(numbers, segments, void)
            for numbers, segments in ((true_map, true_segments), (found_map, found_segments))
        )
        flat = true_label * (void + 1) + found_label
        self._confusion += np.bincount(flat.ravel(), minlength=(void + 1) ** 2).reshape(void + 1, void + 1)
        is_thing = np.array([*self.vocabulary.is_thing, False])
        things = is_thing[true_label]
        # Tubes that are found outside of the void of the ground truth.
        known = (true_label != void) & is_thing[found_label]
        for number, area in zip(*np.unique(found_map[known], return_counts=True), strict=True):
            self._found_area[int(number)] += int(area)
        for number, area in zip(*np.unique(true_map[things], return_counts=True), strict=True):
            self._true_area[int(number)] += int(area)
        both = things & known
        pairs, areas = np.unique(np.stack([true_map[both], found_map[both]]), axis=1, return_counts=True)
        for (true, found), area in zip(pairs.T.tolist(), areas.tolist(), strict=True):
            self._shared[true, found] += area


def _labels(numbers: Map, segments: list[dict], void: int) -> NDArray[np.int64]:
    table = np.full(max([int(numbers.max(initial=0)), *(segment['id'] for segment in segments)], default=0) + 1, void)
    for segment in segments:
        table[segment['id']] = segment['label']
    return np.asarray(table[numbers], np.int64)


def _tubes(frames: Sequence[tuple[Map, list[dict], Map, list[dict]]]) -> dict[int, ClassCounts]:
    """Counts of panoptic quality of tubes: of the segments of all frames, one below the other.

    A track that changes its class is a tube of each class.
    """
    maps: list[list[torch.Tensor]] = [[], []]
    tubes: list[dict[tuple[int, int], int]] = [{}, {}]
    for frame in frames:
        for side, (numbers, segments) in enumerate((frame[:2], frame[2:])):
            table = np.zeros(max([int(numbers.max(initial=0)), *(segment['id'] for segment in segments)]) + 1, np.int64)
            for segment in segments:
                table[segment['id']] = tubes[side].setdefault((segment['id'], segment['label']), len(tubes[side]) + 1)
            maps[side].append(torch.from_numpy(table[numbers]))
    listed = [[dict(id=tube, label=label) for (_, label), tube in own.items()] for own in tubes]
    return match_segments(torch.cat(maps[0]), listed[0], torch.cat(maps[1]), listed[1])
