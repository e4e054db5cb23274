"""Masks as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from typing_extensions import NotRequired

from xdet.io.schema import shown


class EncodedMask(TypedDict):
    """COCO's compressed run-length encoding, with ``counts`` as text so that it fits into JSON."""

    size: list[int]
    counts: str


class MaskResult(TypedDict):
    """A mask in a result: ``area`` in pixels; ``bbox`` is COCO's ``x, y, width, height`` and ``box`` the same as
    ``x1, y1, x2, y2``, which is how boxes are given as prompts. Where they were asked for, ``oriented_box`` is
    ``x, y, width, height, angle``, and ``polygons`` are the rings of every part, each a list of ``x, y``."""

    area: int
    bbox: list[int]
    box: list[int]
    segmentation: EncodedMask
    oriented_box: NotRequired[list[float]]
    polygons: NotRequired[list[list[list[list[float]]]]]


def encode_mask(mask: NDArray[np.bool_]) -> EncodedMask:
    """COCO run-length encoding of a bool mask ``[H, W]``, with ``counts`` as text so that it fits into JSON."""
    return as_plain(coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8)))


def as_plain(rle: Mapping[str, Any]) -> EncodedMask:
    """A compressed encoding of pycocotools, whose ``counts`` are bytes, as plain data."""
    counts = rle['counts']
    return dict(size=list(map(int, rle['size'])), counts=counts if isinstance(counts, str) else counts.decode('ascii'))


def decode_mask(segmentation: EncodedMask) -> NDArray[np.bool_]:
    """Inverse of :func:`encode_mask`: bool ``[H, W]``.

    Raises:
        ValueError: It is no such encoding; pycocotools itself would read beyond the end of a damaged one.
    """
    known = isinstance(segmentation, Mapping) and {'size', 'counts'} <= segmentation.keys()
    size = segmentation['size'] if known else None
    if (
        not isinstance(size, (list, tuple))
        or len(size) != 2
        or not all(type(side) is int and side > 0 for side in size)
    ):
        raise ValueError(f'{shown(segmentation)} is no encoded mask; accepted are size [height, width] and counts')
    counts = segmentation['counts']
    runs = decode_counts(counts) if isinstance(counts, (str, bytes)) else None
    if runs is None or int(runs.sum()) != size[0] * size[1]:
        raise ValueError(f'the counts of an encoded mask of {size[0]}x{size[1]} pixels (height, width) are damaged')
    decoded: NDArray[np.uint8] = coco_mask.decode(segmentation)
    return decoded.astype(bool)


def decode_counts(counts: str | bytes) -> NDArray[np.int64] | None:
    """Runs of a compressed RLE, or None if it is damaged: pycocotools reads beyond the end of such a text."""
    try:
        data = counts.encode('ascii') if isinstance(counts, str) else counts
    except UnicodeEncodeError:
        return None
    digits = np.frombuffer(data, np.uint8).astype(np.int64) - 48
    if not len(digits) or digits.min() < 0 or digits.max() > 63 or digits[-1] & 32:
        return None
    # A number has digits of 5 bits, the lowest first; bit 6 says that another follows, bit 5 of the last is the sign.
    last = np.flatnonzero(digits & 32 == 0)
    first = np.concatenate([[0], last[:-1] + 1])
    lengths = last - first + 1
    if lengths.max() > 10:
        return None
    place = 5 * (np.arange(len(digits)) - np.repeat(first, lengths))
    values = np.add.reduceat((digits & 31) << place, first)
    values -= np.where(digits[last] & 16, np.int64(1) << 5 * lengths, 0)
    # From the fourth on, a run is told by its difference from the last but one.
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values if values.min() >= 0 else None


def mask_results(mask: NDArray[np.bool_]) -> MaskResult:
    """What is reported of a bool mask ``[H, W]``."""
    rle = encode_mask(mask)
    x, y, width, height = (int(value) for value in coco_mask.toBbox(rle))
    return dict(area=int(mask.sum()), bbox=[x, y, width, height], box=[x, y, x + width, y + height], segmentation=rle)
