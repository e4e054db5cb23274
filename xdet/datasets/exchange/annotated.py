"""What all formats of annotations have in common, as plain data: images, and segments with names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as mask_util

from xdet.structures.masks.codes import EncodedMask, as_plain, decode_mask, encode_mask

from .polygons import Polygon, mask_polygons, polygons_mask

__all__ = ['AnnotatedImage', 'AnnotatedSet', 'Polygon', 'Segment', 'merged']


@dataclass(frozen=True)
class Segment:
    """One object or region of an image.

    What it covers is told by polygons or by a mask, whichever its file has, and each is made of the other when a format
    needs it. A segment may also have a box alone.

    Attributes:
        name (str): Class name.
        size (tuple[int, int]): Height and width of its image in pixels.
        polygons (tuple[Polygon, ...]): Parts, each with its holes; empty if the file has a mask, or neither.
        mask (EncodedMask, optional): COCO's compressed run-length encoding, of the size of the image.
        box (tuple, optional): x1, y1, x2, y2 in pixels, as the file says it.
        iscrowd (bool): Stands for a group of objects.
        score (float, optional): Of a prediction.
        attributes (Mapping[str, Any]): What else the file says: plain data.
    """

    name: str
    size: tuple[int, int]
    polygons: tuple[Polygon, ...] = ()
    mask: EncodedMask | None = None
    box: tuple[float, float, float, float] | None = None
    iscrowd: bool = False
    score: float | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def rle(self) -> EncodedMask | None:
        """The mask, drawn by COCO's rule where there are polygons; None of a box alone."""
        if self.mask is not None:
            return self.mask
        return polygons_mask(self.polygons, self.size) if self.polygons else None

    @cached_property
    def outlines(self) -> tuple[Polygon, ...]:
        """The polygons, found around the mask where there are none; the box itself of a box alone."""
        if self.polygons:
            return self.polygons
        if self.mask is not None:
            return mask_polygons(self.mask)
        if self.box is None:
            return ()
        x1, y1, x2, y2 = self.box
        return (Polygon(np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], float)),)

    @cached_property
    def bounds(self) -> tuple[float, float, float, float]:
        """x1, y1, x2, y2: the box of the file, or the tight box of the mask; zeros if it covers nothing."""
        if self.box is not None or self.rle is None:
            return self.box or (0.0, 0.0, 0.0, 0.0)
        x, y, width, height = (float(value) for value in mask_util.toBbox(self.rle))
        return x, y, x + width, y + height

    @property
    def area(self) -> int:
        """Pixels of the mask; those of the box of a box alone."""
        if self.rle is not None:
            return int(mask_util.area(self.rle))
        x1, y1, x2, y2 = self.bounds
        return round((x2 - x1) * (y2 - y1))

    def array(self) -> NDArray[np.bool_]:
        """Bool ``[H, W]``; the filled box of a box alone."""
        if self.rle is not None:
            return decode_mask(self.rle)
        x1, y1, x2, y2 = (round(value) for value in self.bounds)
        mask = np.zeros(self.size, bool)
        mask[max(y1, 0) : max(y2, 0), max(x1, 0) : max(x2, 0)] = True
        return mask

    @property
    def filled(self) -> EncodedMask:
        """:attr:`rle`, or that of the filled box of a box alone."""
        return self.rle if self.rle is not None else encode_mask(self.array())


def merged(parts: Sequence[Segment]) -> Segment:
    """One segment of the parts of a group, which are all drawn or all masks; otherwise it has a mask."""
    if len(parts) == 1:
        return parts[0]
    if all(part.polygons for part in parts):
        return replace(parts[0], polygons=tuple(one for part in parts for one in part.polygons), box=None)
    mask = as_plain(mask_util.merge([part.filled for part in parts]))
    return replace(parts[0], polygons=(), mask=mask, box=None)


@dataclass(frozen=True)
class AnnotatedImage:
    """An image and its segments.

    Attributes:
        file (str): Path below the folder of the images, with ``/``; unique in its set.
        size (tuple[int, int]): Height and width in pixels.
        segments (tuple[Segment, ...]): In the order of the file.
        split (str): ``'train'``, ``'val'``, or another part; empty if the data are not divided.
        path (str): Where the file is, or the JSON of LabelMe that holds the image; empty if it was not found.
        fields (Mapping[str, Any]): What else the file says of the image: plain data.
    """

    file: str
    size: tuple[int, int]
    segments: tuple[Segment, ...] = ()
    split: str = ''
    path: str = ''
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class AnnotatedSet:
    """Annotated images with their class names.

    Attributes:
        names (tuple[str, ...]): Class names in label order; every segment has one of these.
        images (tuple[AnnotatedImage, ...]): In the order of the files.
        stuff (frozenset[str]): Names of uncountable classes.
    """

    names: tuple[str, ...]
    images: tuple[AnnotatedImage, ...]
    stuff: frozenset[str] = frozenset()

    @property
    def splits(self) -> tuple[str, ...]:
        """Parts, in the order in which they occur."""
        return tuple(dict.fromkeys(image.split for image in self.images))

    def part(self, split: str) -> AnnotatedSet:
        """The images of one part."""
        return AnnotatedSet(self.names, tuple(i for i in self.images if i.split == split), self.stuff)
