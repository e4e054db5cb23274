"""Masks and maps of huge images, written a strip at a time: run-length codes, and rows of PNG files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from xdet.structures.masks.codes import as_plain
from xdet.structures.masks.panoptic import panoptic_pixels

STRIP = 256
"""Rows or columns of a map that are worked on at a time."""


def codes_of_map(labels: NDArray[Any], roots: NDArray[np.int64] | None) -> dict[int, dict[str, Any]]:
    """Area, box and code of every value but 0 of a map; read some columns at a time, because codes run down them."""
    height = labels.shape[0]
    starts: list[NDArray[np.int64]] = []
    values: list[NDArray[np.int64]] = []
    for left in range(0, labels.shape[1], STRIP):
        block = labels[:, left : left + STRIP].T
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


def code_of_crop(mask: NDArray[np.bool_], top: int, left: int, size: tuple[int, int]) -> dict[str, Any]:
    """Area, box and code of a mask that is cropped to its box, which begins at ``top`` and ``left`` of its image."""
    padded = np.zeros((mask.shape[1], mask.shape[0] + 2), np.int8)
    padded[:, 1:-1] = mask.T
    change = np.diff(padded, axis=1)
    column, row = np.nonzero(change == 1)
    column_end, row_end = np.nonzero(change == -1)
    begin = (left + column) * size[0] + top + row
    return _coded(begin, (left + column_end) * size[0] + top + row_end, size)


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
        segmentation=as_plain(code),
    )


def map_strips(ids: NDArray[Any]) -> Iterator[NDArray[np.uint8]]:
    """Strips of a map of segments in COCO's panoptic coding."""
    for top in range(0, len(ids), STRIP):
        yield panoptic_pixels(ids[top : top + STRIP])


def label_strips(labels: NDArray[Any], classes: int) -> Iterator[NDArray[Any]]:
    """Strips of a map of labels; the largest value of their type is where there is none."""
    dtype: Any = np.uint8 if classes < 256 else np.uint16
    for top in range(0, len(labels), STRIP):
        strip = labels[top : top + STRIP].astype(np.int64) - 1
        yield np.where(strip >= 0, strip, np.iinfo(dtype).max).astype(dtype)
