"""Masks as plain data."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask


class EncodedMask(TypedDict):
    """COCO's compressed run-length encoding, with ``counts`` as text so that it fits into JSON."""

    size: list[int]
    counts: str


class MaskResult(TypedDict):
    """A mask in a result: ``area`` in pixels, ``bbox`` is COCO's ``x, y, width, height`` in pixels."""

    area: int
    bbox: list[int]
    segmentation: EncodedMask


def encode_mask(mask: NDArray[np.bool_]) -> EncodedMask:
    """COCO run-length encoding of a bool mask ``[H, W]``, with ``counts`` as text so that it fits into JSON."""
    rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return dict(size=[int(side) for side in rle['size']], counts=rle['counts'].decode('ascii'))


def decode_mask(segmentation: EncodedMask) -> NDArray[np.bool_]:
    """Inverse of :func:`encode_mask`: bool ``[H, W]``."""
    decoded: NDArray[np.uint8] = coco_mask.decode(segmentation)
    return decoded.astype(bool)


def mask_results(mask: NDArray[np.bool_]) -> MaskResult:
    """``area``, ``bbox`` (COCO's ``x, y, width, height`` in pixels) and ``segmentation`` of a bool mask ``[H, W]``."""
    rle = encode_mask(mask)
    return dict(area=int(mask.sum()), bbox=[int(value) for value in coco_mask.toBbox(rle)], segmentation=rle)
