"""The outlines of objects in COCO's files: one rule of which are read, and as what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pycocotools import mask as mask_util

from xdet.io.reading import shorten
from xdet.io.schema import is_finite, shown
from xdet.structures.masks.codes import as_plain, decode_counts

Outline = list[list[float]] | dict
"""Polygons, each ``[x1, y1, x2, y2, ...]``, or an RLE."""

OUTLINE_KINDS = 'a list of polygons [x1, y1, x2, y2, ...] or an RLE with size and counts'
_ACCEPTED = f'it must be {OUTLINE_KINDS}'
_NUMBERS = {int, float}
_LEAST = 6
"""Numbers of a triangle."""


def read_outline(value: Any, size: tuple[int, int], where: str) -> Outline | None:
    """What ``segmentation`` of an annotation says.

    Tools also write one polygon without the list around it, and RLEs inside of a list; both are read. Polygons of less
    than three points enclose nothing and are left out.

    Args:
        value (Any): The field.
        size (tuple[int, int]): Height and width of the image.
        where (str): File and annotation, for errors.

    Returns:
        list | dict | None: Polygons, or an RLE of the size of the image; None if there is no outline in the image.

    Raises:
        ValueError: It is of no kind that is accepted, has coordinates that are not finite or are further away from the
            image than the image is long, or is an RLE that does not fit the image.
    """
    where = f'{where}: segmentation'
    if isinstance(value, dict):
        return _read_rle(value, size, where)
    if value is None or (isinstance(value, (list, tuple)) and not value):
        return None
    if not isinstance(value, (list, tuple)):
        raise ValueError(f'{where} is {shown(value)}; {_ACCEPTED}')
    if all(isinstance(part, dict) for part in value):
        rles = [_read_rle(part, size, where) for part in value]
        return rles[0] if len(rles) == 1 else _merged(rles, size)
    if set(map(type, value)) <= _NUMBERS:
        value = [value]
    polygons = [polygon for polygon in value if _is_polygon(polygon, size, where)]
    if not polygons or all(_is_outside(polygon, size) for polygon in polygons):
        return None
    return [list(polygon) for polygon in polygons]


def rasterize(outline: Outline, size: tuple[int, int]) -> dict:
    """An outline as COCO's compressed RLE, as ``COCO.annToRLE`` makes it."""
    height, width = size
    if isinstance(outline, list):
        return mask_util.merge(mask_util.frPyObjects(outline, height, width))
    return _compressed(outline, size)


def is_line(outline: Outline) -> bool:
    """Whether an outline is one triangle or quadrangle whose points are on one line, so that it encloses nothing."""
    if not isinstance(outline, list) or len(outline) != 1 or len(outline[0]) > _LEAST + 2:
        return False
    x, y, *others = outline[0]
    steps = [(a - x, b - y) for a, b in zip(others[0::2], others[1::2], strict=True)]
    return all(a * d == b * c for a, b in steps for c, d in steps)


def check_coordinates(values: Sequence[float], size: tuple[int, int] | None, what: str) -> None:
    """Refuse coordinates that cannot be meant; drawing them would need memory without end.

    Args:
        values (Sequence[float]): x and y in turn.
        size (tuple[int, int], optional): Height and width of the image, if known.
        what (str): File, annotation and field.

    Raises:
        ValueError: One is no finite number, or is further away from the image than the image is long.
    """
    if set(map(type, values)) <= _NUMBERS and _has_sum(values):
        if not values:
            return
        reach = max(size) if size else 0
        if size is None or (min(values) >= -reach and max(values) <= 2 * reach):
            return
        worst = max(values, key=abs)
        raise ValueError(f'{what} has the coordinate {worst:g}, far outside of the image of {size[1]}x{size[0]} pixels')
    wrong = next((value for value in values if type(value) not in _NUMBERS or not is_finite(value)), values)
    raise ValueError(f'{what} has the coordinate {shown(wrong)}; coordinates must be finite numbers')


def _has_sum(values: Sequence[float]) -> bool:
    try:
        return is_finite(sum(values))
    except OverflowError:  # a whole number beyond what a float holds, beside a float
        return False


def _is_polygon(polygon: Any, size: tuple[int, int], where: str) -> bool:
    """Whether it encloses something; what is damaged is an error."""
    if not isinstance(polygon, (list, tuple)):
        raise ValueError(f'{where} has {shown(polygon)} as polygon; {_ACCEPTED}')
    check_coordinates(polygon, size, where)
    if len(polygon) % 2:
        raise ValueError(f'{where} has a polygon of {len(polygon)} numbers; every point needs x and y')
    return len(polygon) >= _LEAST


def _is_outside(polygon: Sequence[float], size: tuple[int, int]) -> bool:
    xs, ys = polygon[0::2], polygon[1::2]
    return max(xs) <= 0 or max(ys) <= 0 or min(xs) >= size[1] or min(ys) >= size[0]


def _read_rle(rle: dict, size: tuple[int, int], where: str) -> dict:
    given, counts = rle.get('size'), rle.get('counts')
    if not isinstance(given, (list, tuple)) or list(given) != list(size):
        raise ValueError(f'{where} is an RLE of size {shown(given)}; the image has {list(size)} (height, width)')
    if isinstance(counts, (str, bytes)):
        runs = decode_counts(counts)
    elif isinstance(counts, (list, tuple)) and set(map(type, counts)) <= _NUMBERS:
        whole = all(is_finite(run) and run >= 0 and run == int(run) for run in counts)
        runs = [int(run) for run in counts] if whole else None
        counts = runs
    else:
        raise ValueError(f'{where} is an RLE with counts {shown(counts)}; they must be a text or a list of numbers')
    if runs is None or int(sum(runs)) != size[0] * size[1]:
        what = 'damaged' if runs is None else f'for {int(sum(runs))} pixels'
        raise ValueError(f'{where} is an RLE whose counts are {what}; the image has {size[0] * size[1]} pixels')
    return dict(size=list(size), counts=counts.decode('ascii') if isinstance(counts, bytes) else counts)


def _compressed(rle: dict, size: tuple[int, int]) -> dict:
    if isinstance(rle['counts'], list):
        return mask_util.frPyObjects(rle, *size)
    return rle


def _merged(rles: Sequence[dict], size: tuple[int, int]) -> dict:
    return dict(as_plain(mask_util.merge([_compressed(rle, size) for rle in rles])))


def describe(number: Any, image_id: Any) -> str:
    """Name of an annotation for messages."""
    return f'annotation {shorten(str(number), 40)} of image {shorten(str(image_id), 80)}'
