"""Results of tiles become one result: segments that agree where tiles overlap are one thing.

Stuff is one segment per class. The seam runs through the middle of the overlap, far from the borders of both tiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.structures import InstanceData, PixelData
from numpy.typing import NDArray

from xdet.structures import Vocabulary, XDetDataSample, segment_map
from xdet.structures.masks.boxes import mask_box

from .codes import STRIP, code_of_crop, codes_of_map
from .cutting import Span

Bools = NDArray[np.bool_]

_SAME = 0.5
"""IoU in the overlap from which two segments of one name are one thing."""
_WITHIN = 0.8
"""The same for the share of the smaller one that lies in the other: a tile may show a part only."""


class JointMap:
    """Semantic and panoptic results: one map."""

    def __init__(self, size: tuple[int, int], task: str) -> None:
        self.map: NDArray[Any] = np.zeros(size, np.uint16)
        self.task = task
        self._infos: list[dict[str, Any]] = []
        self._parents = [0]
        self._stuff: dict[int, int] = {}

    def add(self, sample: XDetDataSample, down: Span, across: Span) -> None:
        """Take the result of a tile."""
        if self.task == 'semantic':
            local = np.maximum(sample.pred_sem_seg.sem_seg[0].numpy(), -1) + 1
        else:
            local = self._joined(sample, down, across)
        core = slice(down.core - down.start, None), slice(across.core - across.start, None)
        self.map[down.core : down.stop, across.core : across.stop] = local[core]

    def _joined(self, sample: XDetDataSample, down: Span, across: Span) -> NDArray[np.int64]:
        """The map of a tile with ids of the whole image."""
        local = sample.pred_panoptic_seg.sem_seg[0].numpy().astype(np.int64)
        infos = sample.pred_panoptic_seg.segments_info
        partners = self._partners(local, infos, down, across)
        table = np.zeros(max([0, *(info['id'] for info in infos)]) + 1, np.int64)
        for info in infos:
            table[info['id']] = self._identity(info, partners.get(info['id'], []))
        return np.asarray(table[local])

    def _identity(self, info: dict[str, Any], partners: list[int]) -> int:
        label = info['label']
        if not info['is_thing'] and label in self._stuff:
            partners = [self._stuff[label]]
        if not partners:
            self._infos.append(dict(info))
            self._parents.append(len(self._infos))
            if len(self._infos) > np.iinfo(self.map.dtype).max:
                self.map = self.map.astype(np.uint32)
            partners = [len(self._infos)]
            if not info['is_thing']:
                self._stuff[label] = partners[0]
        first, *others = sorted({self._root(partner) for partner in partners})
        for other in others:
            self._parents[other] = first
        best = max([info, *(self._infos[partner - 1] for partner in (first, *others))], key=lambda item: item['score'])
        self._infos[first - 1]['score'] = best['score']
        return first

    def _root(self, number: int) -> int:
        while self._parents[number] != number:
            number = self._parents[number]
        return number

    def _partners(
        self, local: NDArray[np.int64], infos: list[dict[str, Any]], down: Span, across: Span
    ) -> dict[int, list[int]]:
        """For segments of a tile, those of the image that are the same thing."""
        shared = _overlap(local.shape, down, across)
        before = self.map[down.start : down.stop, across.start : across.stop]
        ours, theirs = local[shared], before[shared].astype(np.int64)
        if not len(ours):
            return {}
        roots, theirs = np.unique(theirs, return_inverse=True)
        roots = np.array([self._root(int(root)) for root in roots])
        merged, again = np.unique(roots, return_inverse=True)
        theirs = again[theirs]
        count = int(local.max()) + 1
        areas = np.bincount(ours * len(merged) + theirs, minlength=count * len(merged)).reshape(count, len(merged))
        found: dict[int, list[int]] = {}
        for info in infos:
            mine = areas[info['id']]
            for column, root in enumerate(merged.tolist()):
                if root == 0 or self._infos[root - 1]['label'] != info['label']:
                    continue
                if _agree(int(mine[column]), int(mine.sum()), int(areas[:, column].sum())):
                    found.setdefault(info['id'], []).append(root)
        return found

    def finish(self, vocabulary: Vocabulary, small: XDetDataSample, factor: int) -> list[dict[str, Any]]:
        """Segments, and the reduced result; ids become 1, 2, ... in the order of the segments."""
        panoptic = self.task == 'panoptic'
        roots = np.array([self._root(number) for number in range(len(self._parents))]) if panoptic else None
        rows: list[dict[str, Any]] = []
        order: list[int] = []
        for value, coded in sorted(codes_of_map(self.map, roots).items()):
            label = self._infos[value - 1]['label'] if panoptic else value - 1
            row: dict[str, Any] = dict(id=len(rows) + 1) if panoptic else {}
            row.update(label=label, name=vocabulary.names[label], is_thing=bool(vocabulary.is_thing[label]))
            if panoptic:
                row['score'] = float(self._infos[value - 1]['score'])
            rows.append({**row, **coded})
            order.append(value)
        if roots is not None:
            table = np.zeros(len(roots), self.map.dtype)
            table[order] = np.arange(1, len(order) + 1)
            table = table[roots]
            for top in range(0, len(self.map), STRIP):
                strip = self.map[top : top + STRIP]
                strip[:] = table[strip]
        reduced = torch.from_numpy(self.map[factor // 2 :: factor, factor // 2 :: factor].astype(np.int64))
        height, width = small.ori_shape
        reduced = torch.nn.functional.pad(reduced, (0, width - reduced.shape[1], 0, height - reduced.shape[0]))
        if panoptic:
            small.pred_panoptic_seg = segment_map(reduced.int(), [{**row, 'segmentation': None} for row in rows])
        else:
            small.pred_sem_seg = PixelData(sem_seg=reduced[None] - 1)
        return rows


@dataclass
class _Instance:
    """An instance of the image: its mask is cropped to its box."""

    label: int
    score: float
    top: int
    left: int
    mask: Bools

    @property
    def bottom(self) -> int:
        return self.top + self.mask.shape[0]

    @property
    def right(self) -> int:
        return self.left + self.mask.shape[1]

    def within(self, down: Span, across: Span) -> Bools:
        """Its mask in the frame of a tile."""
        frame = np.zeros((down.stop - down.start, across.stop - across.start), bool)
        y1, y2 = max(self.top, down.start), min(self.bottom, down.stop)
        x1, x2 = max(self.left, across.start), min(self.right, across.stop)
        if y1 < y2 and x1 < x2:
            frame[y1 - down.start : y2 - down.start, x1 - across.start : x2 - across.start] = self.mask[
                y1 - self.top : y2 - self.top, x1 - self.left : x2 - self.left
            ]
        return frame

    def join(self, other: _Instance) -> None:
        """Become the union of both."""
        top, left = min(self.top, other.top), min(self.left, other.left)
        mask = np.zeros((max(self.bottom, other.bottom) - top, max(self.right, other.right) - left), bool)
        for part in (self, other):
            mask[part.top - top : part.bottom - top, part.left - left : part.right - left] |= part.mask
        self.top, self.left, self.mask, self.score = top, left, mask, max(self.score, other.score)


class JointInstances:
    """Instances, which may overlap."""

    map = None

    def __init__(self, size: tuple[int, int], least_score: float) -> None:
        self.size, self.least_score = size, least_score
        self._found: list[_Instance] = []

    def add(self, sample: XDetDataSample, down: Span, across: Span) -> None:
        """Take the result of a tile."""
        instances = sample.pred_instances
        instances = instances[instances.scores >= self.least_score]
        height, width = down.stop - down.start, across.stop - across.start
        shared = _overlap((height, width), down, across)
        core = np.zeros((height, width), bool)
        core[down.core - down.start :, across.core - across.start :] = True
        near = [
            (other, other.within(down, across) & shared)
            for other in self._found
            if other.top < down.stop and other.bottom > down.start and other.left < across.stop
            if other.right > across.start
        ]
        near = [(other, mask) for other, mask in near if mask.any()]
        new: list[_Instance] = []
        taken: set[int] = set()
        for mask, label, score in zip(
            instances.masks.numpy(), instances.labels.tolist(), instances.scores.tolist(), strict=True
        ):
            box = mask_box(mask)
            if box is None:
                continue
            x1, y1, x2, y2 = box
            own = _Instance(label, score, down.start + y1, across.start + x1, mask[y1:y2, x1:x2].copy())
            here = mask & shared
            partners = []
            for place, (other, there) in enumerate(near):
                both = int((here & there).sum())
                if other.label == label and place not in taken and _agree(both, int(here.sum()), int(there.sum())):
                    partners.append((both, place))
            if partners:
                places = [place for _, place in sorted(partners, reverse=True)]
                taken.update(places)
                first, *others = (near[place][0] for place in places)
                for other in (own, *others):  # this tile may show that two parts belong together
                    first.join(other)
                self._found = [item for item in self._found if all(item is not other for other in others)]
            elif (mask & core).any():  # what lies in the half of the tile before alone is for that tile to say
                new.append(own)
        self._found += new

    def finish(self, vocabulary: Vocabulary, small: XDetDataSample, factor: int) -> list[dict[str, Any]]:
        """Instances, best first, and the reduced result."""
        found = sorted(self._found, key=lambda item: -item.score)
        height, width = small.ori_shape
        masks = np.zeros((len(found), height, width), bool)
        rows = []
        for place, item in enumerate(found):
            first_row, first_column = (-(-(start - factor // 2) // factor) for start in (item.top, item.left))
            first_row, first_column = max(first_row, 0), max(first_column, 0)
            part = item.mask[
                first_row * factor + factor // 2 - item.top :: factor,
                first_column * factor + factor // 2 - item.left :: factor,
            ]
            masks[place, first_row : first_row + part.shape[0], first_column : first_column + part.shape[1]] = part
            label = item.label
            names = dict(label=label, name=vocabulary.names[label], is_thing=bool(vocabulary.is_thing[label]))
            rows.append(
                {**names, 'score': float(item.score), **code_of_crop(item.mask, item.top, item.left, self.size)}
            )
        boxes = torch.tensor([row['box'] for row in rows], dtype=torch.float32).reshape(-1, 4) / factor
        small.pred_instances = InstanceData(
            masks=torch.from_numpy(masks),
            labels=torch.tensor([item.label for item in found], dtype=torch.int64),
            scores=torch.tensor([item.score for item in found], dtype=torch.float32),
            bboxes=boxes,
        )
        return rows


def _overlap(shape: tuple[int, ...], down: Span, across: Span) -> Bools:
    """Pixels of a tile that tiles before it show, too."""
    shared = np.zeros(shape, bool)
    shared[: down.before - down.start] = True
    shared[:, : across.before - across.start] = True
    return shared


def _agree(both: int, ours: int, theirs: int) -> bool:
    """Whether two masks that share ``both`` pixels of their areas in the overlap show one thing."""
    if both == 0:
        return False
    return both >= _SAME * (ours + theirs - both) or both >= _WITHIN * min(ours, theirs)
