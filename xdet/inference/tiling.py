"""Images of any size, tile by tile.

Tiles overlap. Where two of them show the same pixels, what they call by one name and what covers about the same pixels
is one thing; stuff is one segment per class. The seam runs through the middle of the overlap, far from the borders of
both tiles. Memory holds one tile and the result: a label map, or cropped masks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.structures import InstanceData, PixelData
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from xdet.inference.inputs.windows import Windows
from xdet.inference.outputs.writer import png_of_strips
from xdet.io.schema import number, shown
from xdet.structures import TextPrompts, Vocabulary, XDetDataSample, segment_map

TILED_TASKS = ('semantic', 'instance', 'panoptic')
"""Tasks whose results can be joined."""

Predict = Callable[[NDArray[np.uint8]], XDetDataSample]
Bools = NDArray[np.bool_]

_SAME = 0.5
"""IoU in the overlap from which two segments of one name are one thing."""
_WITHIN = 0.8
"""The same for the share of the smaller one that lies in the other: a tile may show a part only."""
_COLUMNS = 256
_DRAWN = 2048


@dataclass(frozen=True)
class Span:
    """A tile along one axis.

    Attributes:
        start (int): First pixel.
        stop (int): One past the last.
        core (int): From where on its result counts; what is before belongs to the tile before.
        before (int): End of the tile before; ``start`` for the first.
    """

    start: int
    stop: int
    core: int
    before: int


@dataclass(frozen=True)
class Tiles:
    """How an image is cut.

    Attributes:
        size (int): Side of the square tiles, in pixels.
        overlap (int): Pixels that neighbours share at least.
    """

    size: int
    overlap: int

    @classmethod
    def of(cls, value: Any) -> Tiles:
        """From ``1024``, ``(1024, 128)``, or a text ``'1024,128'``; the overlap is an eighth if it is not said.

        Raises:
            ValueError: It is none of these, or the overlap is not smaller than the tile.
        """
        if isinstance(value, Tiles):
            return value
        accepted = "accepted are a size such as 1024, and size and overlap such as (1024, 128) or '1024,128'"
        parts = list(value) if isinstance(value, (tuple, list)) else [value]
        if isinstance(value, str):
            parts = [int(part) if part.strip().isdecimal() else part for part in value.split(',')]
        if len(parts) not in (1, 2) or any(isinstance(part, (str, bool)) or part is None for part in parts):
            raise ValueError(f'tiles is {shown(value)}; {accepted}')
        size = number('size of tiles', parts[0], int, 32)
        overlap = number('overlap of tiles', parts[1], int, 0) if len(parts) == 2 else size // 8
        if overlap >= size:
            raise ValueError(f'tiles of {size} pixels overlap by {overlap}; accepted are overlaps below the size')
        return cls(size, overlap)

    def spans(self, length: int) -> list[Span]:
        """Tiles along an axis; the last one ends where the image does, and so may overlap more."""
        last = max(length - self.size, 0)
        starts = list(range(0, last, self.size - self.overlap)) + [last]
        spans: list[Span] = []
        for start in starts:
            before = spans[-1].stop if spans else start
            spans.append(Span(start, min(start + self.size, length), (start + before) // 2, before))
        return spans


@dataclass
class Tiled:
    """Joined result of an image.

    Attributes:
        rows (list[dict]): Segments as in results of all images, with masks as run-length codes.
        presence (NDArray | None): Highest presence of each name in any tile.
        map (NDArray | None): ``[H, W]`` ids of panoptic segments, 0 void; or labels plus 1, 0 where there is none.
        small (XDetDataSample): The result reduced, for drawing.
        factor (int): By how much.
        image (NDArray): The image reduced, BGR.
        size (tuple[int, int]): Height and width of the image.
    """

    rows: list[dict[str, Any]]
    presence: NDArray[np.float32] | None
    map: NDArray[Any] | None
    small: XDetDataSample
    factor: int
    image: NDArray[np.uint8]
    size: tuple[int, int]

    def png(self) -> bytes:
        """The map as the PNG file that all images get."""
        assert self.map is not None
        if 'pred_panoptic_seg' in self.small:
            strips = map_strips(self.map)
        else:
            strips = label_strips(self.map, len(self.small.vocabulary))
        return png_of_strips(strips, *self.size)


def run_tiles(
    windows: Windows, tiles: Tiles, task: str, request: TextPrompts, predict: Predict, least_score: float
) -> Tiled:
    """Run a task on an image.

    Args:
        windows (Windows): The image.
        tiles (Tiles): How to cut it.
        task (str): One of :data:`TILED_TASKS`.
        request (TextPrompts): What is asked of every tile.
        predict (Predict): Runs the task on pixels; the sample that it returns is on the CPU.
        least_score (float): Instances below are left out, or results would grow with the number of tiles.

    Raises:
        ImageReadError: A part of the image cannot be read.
    """
    joint: _JointMap | _JointInstances
    joint = _JointInstances(windows.size, least_score) if task == 'instance' else _JointMap(windows.size, task)
    presence: NDArray[np.float32] | None = None
    vocabulary: Vocabulary | None = None
    for down in tiles.spans(windows.size[0]):
        for across in tiles.spans(windows.size[1]):
            sample = predict(windows.read(slice(down.start, down.stop), slice(across.start, across.stop)))
            vocabulary = sample.vocabulary
            if 'pred_presence' in sample:
                there = sample.pred_presence.numpy()
                presence = there if presence is None else np.maximum(presence, there)
            joint.add(sample, down, across)
    assert vocabulary is not None
    image, factor = windows.reduced(_DRAWN)
    small = XDetDataSample(metainfo=dict(ori_shape=image.shape[:2], img_shape=image.shape[:2], vocabulary=vocabulary))
    small.prompts = request
    rows = joint.finish(vocabulary, small, factor)
    return Tiled(rows, presence, joint.map, small, factor, image, windows.size)


class _JointMap:
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
        for value, coded in sorted(_codes_of_map(self.map, roots).items()):
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
            for top in range(0, len(self.map), _COLUMNS):
                strip = self.map[top : top + _COLUMNS]
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


class _JointInstances:
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
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            if not len(rows):
                continue
            box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
            own = _Instance(label, score, down.start + int(rows[0]), across.start + int(columns[0]), mask[box].copy())
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
            rows.append({**names, 'score': float(item.score), **_code_of_crop(item, self.size)})
        boxes = torch.tensor([row['box'] for row in rows], dtype=torch.float32).reshape(-1, 4) / factor
        small.pred_instances = InstanceData(
            masks=torch.from_numpy(masks),
            labels=torch.tensor([item.label for item in found], dtype=torch.int64),
            scores=torch.tensor([item.score for item in found], dtype=torch.float32),
            bboxes=boxes,
        )
        return rows


def check_tiles(value: Any, task: str, report: Mapping[str, Any]) -> Tiles | None:
    """Tiles that a call asks for.

    Raises:
        ValueError: See :meth:`Tiles.of`; or the task, or another option, cannot do with tiles.
    """
    if value is None:
        return None
    if task not in TILED_TASKS:
        raise ValueError(f"task '{task}' does not take tiles; {', '.join(TILED_TASKS)} do")
    if report.get('return_datasamples'):
        raise ValueError('return_datasamples goes without tiles: a sample would hold all masks in full size')
    return Tiles.of(value)


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


def _codes_of_map(labels: NDArray[Any], roots: NDArray[np.int64] | None) -> dict[int, dict[str, Any]]:
    """Area, box and code of every value but 0 of a map; read some columns at a time, because codes run down them."""
    height = labels.shape[0]
    starts: list[NDArray[np.int64]] = []
    values: list[NDArray[np.int64]] = []
    for left in range(0, labels.shape[1], _COLUMNS):
        block = labels[:, left : left + _COLUMNS].T
        block = (roots[block] if roots is not None else block).ravel()
        changes = np.flatnonzero(np.concatenate([[True], block[1:] != block[:-1]]))
        starts.append(changes + left * height)
        values.append(block[changes].astype(np.int64))
    begin, value = np.concatenate(starts), np.concatenate(values)
    end = np.append(begin[1:], labels.size)
    order = np.argsort(value, kind='stable')
    begin, end, value = begin[order], end[order], value[order]
    kinds, first = np.unique(value, return_index=True)
    parts = zip(kinds.tolist(), np.split(begin, first[1:]), np.split(end, first[1:]), strict=True)
    return {kind: _coded(start, stop, labels.shape) for kind, start, stop in parts if kind}


def _code_of_crop(item: _Instance, size: tuple[int, int]) -> dict[str, Any]:
    """Area, box and code of a cropped mask in its image."""
    padded = np.zeros((item.mask.shape[1], item.mask.shape[0] + 2), np.int8)
    padded[:, 1:-1] = item.mask.T
    change = np.diff(padded, axis=1)
    column, row = np.nonzero(change == 1)
    column_end, row_end = np.nonzero(change == -1)
    begin = (item.left + column) * size[0] + item.top + row
    return _coded(begin, (item.left + column_end) * size[0] + item.top + row_end, size)


def _coded(begin: NDArray[np.int64], end: NDArray[np.int64], size: tuple[int, ...]) -> dict[str, Any]:
    """What is reported of a mask that consists of runs down the columns, in their order."""
    kept = np.concatenate([[True], begin[1:] != end[:-1]])  # runs that touch are one
    begin, end = begin[kept], end[np.append(np.flatnonzero(kept)[1:] - 1, len(end) - 1)]
    edges = np.stack([begin, end], axis=1).ravel()
    height, width = (int(side) for side in size)
    counts = np.diff(np.concatenate([[0], edges, [height * width]]))
    counts = counts if counts[-1] else counts[:-1]  # as pycocotools itself: no empty run at the end
    code = coco_mask.frPyObjects(dict(size=[height, width], counts=counts.tolist()), height, width)
    left, right = int(begin[0] // height), int((end[-1] - 1) // height) + 1
    # A run over the end of a column covers its last and the next one's first pixel.
    first, last = begin % height, (end - 1) % height
    wraps = begin // height != (end - 1) // height
    top = 0 if wraps.any() else int(first.min())
    bottom = height if wraps.any() else int(last.max()) + 1
    return dict(
        area=int((end - begin).sum()),
        bbox=[left, top, right - left, bottom - top],
        box=[left, top, right, bottom],
        segmentation=dict(size=[height, width], counts=code['counts'].decode('ascii')),
    )


def map_strips(ids: NDArray[Any]) -> Iterator[NDArray[np.uint8]]:
    """Strips of a map of segments in COCO's panoptic coding."""
    for top in range(0, len(ids), _COLUMNS):
        strip = ids[top : top + _COLUMNS].astype(np.int64)
        yield np.stack([strip % 256, strip // 256 % 256, strip // 65536], axis=-1).astype(np.uint8)


def label_strips(labels: NDArray[Any], classes: int) -> Iterator[NDArray[Any]]:
    """Strips of a map of labels; the largest value of their type is where there is none."""
    dtype: Any = np.uint8 if classes < 256 else np.uint16
    for top in range(0, len(labels), _COLUMNS):
        strip = labels[top : top + _COLUMNS].astype(np.int64) - 1
        yield np.where(strip >= 0, strip, np.iinfo(dtype).max).astype(dtype)
