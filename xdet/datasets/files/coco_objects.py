"""The objects of a COCO instance annotation file: training and evaluation read them by this one rule."""

from __future__ import annotations

import math
import os.path as osp
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from pycocotools import mask as mask_util

from xdet.io.reading import shorten
from xdet.io.schema import ID, require, shown
from xdet.io.warnings import warn_once

from .coco_json import check_category, index_categories, index_images, is_crowd
from .left_out import LeftOut
from .outlines import check_coordinates, describe, is_line, rasterize, read_outline


def read_objects(
    path: str, content: dict, *, boxes_only: bool = False, carry: Sequence[str] = ()
) -> tuple[dict[Any, dict], list[dict]]:
    """Images and objects of an annotation file.

    An object is what has an outline in its image; with ``boxes_only`` what has a box of positive width and height. The
    others are left out and reported. What a file does not say, also by null, follows from the outline: ``bbox`` (also
    one without width or height) is its tight box, and ``area`` (also one that is not positive, or greater than can be)
    its number of pixels. ``iscrowd`` is 0 unless given, and 1 where ``ignore`` is set.

    Args:
        path (str): Name of the file, for errors.
        content (dict): Result of :func:`~xdet.datasets.files.coco_json.load_coco_json`.
        boxes_only (bool): Use boxes, not outlines, which need not be there.
        carry (Sequence[str]): Further fields of annotations to put into the objects as they are, None where absent.

    Returns:
        tuple[dict, list[dict]]: Entries of images by id, see :func:`~xdet.datasets.files.coco_json.index_images`, and
        objects with ``image_id``, ``category_id``, ``bbox`` (x, y, width, height), ``area``, ``iscrowd`` (0 or 1) and,
        without ``boxes_only``, ``segmentation``.

    Raises:
        ValueError: An entry is damaged; file, entry and field are named.
    """
    images = index_images(path, content)
    _warn_of_repeated(path, images.values())
    categories = index_categories(path, content)
    _warn_of_ids(path, content['annotations'])
    left_out = LeftOut(path, 'annotations')
    objects = []
    for position, annotation in enumerate(content['annotations']):
        image_id = require(annotation, 'image_id', ID, f'{path}: annotation {position} (counted from 0)')
        name = describe(annotation.get('id', f'{position} (counted from 0)'), image_id)
        where = f'{path}: {name}'
        if image_id not in images:
            why = 'and the file does not list that image'
            if str(image_id) in map(str, images):
                why = 'but its images have ids of another kind (numbers or texts); they must be of one kind'
            raise ValueError(f"{where}: 'image_id' is {shown(image_id)}, {why}")
        category_id = check_category(where, categories, require(annotation, 'category_id', ID, where))
        size = (images[image_id]['height'], images[image_id]['width'])
        read = _read_box if boxes_only else _read_outlined
        found = read(annotation, size, where)
        if isinstance(found, str):
            left_out.add(found, name)
            continue
        more = {key: annotation.get(key) for key in carry}
        crowd = int(is_crowd(annotation, where))
        objects.append(dict(image_id=image_id, category_id=category_id, iscrowd=crowd, **found, **more))
    if left_out.total and not objects:
        advice = '' if boxes_only else '; to use boxes without outlines, set boxes_only=True (training), metric="bbox"'
        raise ValueError(f'{left_out}{advice}')
    left_out.report(len(content['annotations']))
    return images, objects


def _warn_of_repeated(path: str, images: Iterable[dict]) -> None:
    """Tell of files that are listed as several images."""
    names = Counter(osp.normpath(image['file_name']) for image in images if isinstance(image.get('file_name'), str))
    if repeated := [name for name, count in names.items() if count > 1]:
        warn_once(
            f'{path}: {len(repeated)} file(s) are listed as several images, each with objects of its own, the first is '
            f'{shorten(repeated[0])}; what is annotated in one of them counts as background in the others'
        )


def _warn_of_ids(path: str, annotations: Sequence[Any]) -> None:
    """Tell of a file without annotations, and of annotations that have one id."""
    if not annotations:
        warn_once(f'{path}: has no annotation; there is nothing to learn from it, and nothing to find')
    ids = Counter(str(entry['id']) for entry in annotations if isinstance(entry, dict) and entry.get('id') is not None)
    if repeated := [number for number, count in ids.items() if count > 1]:
        warn_once(
            f'{path}: {len(repeated)} annotation id(s) are given more than once, the first is '
            f"{shorten(repeated[0], 40)}; all annotations count, but COCO's own code keeps one of each id"
        )


def _read_box(annotation: dict, size: tuple[int, int], where: str) -> dict | str:
    """Box and area of an annotation, or why it is no object."""
    box, area = _given_box(annotation, size, where), _given_area(annotation, size, where)
    if box is None or area is None:
        outline = read_outline(annotation.get('segmentation'), size, where)
        if outline is not None:
            rle = rasterize(outline, size)
            box = box or mask_util.toBbox(rle).tolist()
            area = area or float(mask_util.area(rle))
    if box is None or min(box[2:]) <= 0:
        return 'have no bbox of positive width and height'
    if box[0] + box[2] <= 0 or box[1] + box[3] <= 0 or box[0] >= size[1] or box[1] >= size[0]:
        return 'have a bbox outside of their image'
    return dict(bbox=box, area=area or float(box[2] * box[3]))


def _read_outlined(annotation: dict, size: tuple[int, int], where: str) -> dict | str:
    """Outline, box and area of an annotation, or why it is no object."""
    outline = read_outline(annotation.get('segmentation'), size, where)
    if outline is None:
        return 'have no outline (segmentation) in their image'
    box, area = _given_box(annotation, size, where), _given_area(annotation, size, where)
    line = is_line(outline)
    if box is None or area is None or line:
        rle = rasterize(outline, size)
        covered = float(mask_util.area(rle))
        if (area is None or line) and not covered:
            return 'have an outline (segmentation) that covers no pixel'
        box = mask_util.toBbox(rle).tolist() if box is None else box
        area = covered if area is None else area
    return dict(segmentation=outline, bbox=box, area=area)


def _given_box(annotation: dict, size: tuple[int, int], where: str) -> list[float] | None:
    box = require(annotation, 'bbox', list, where, [])
    if not box:
        return None
    if len(box) != 4:
        raise ValueError(f'{where}: bbox has {len(box)} numbers; it must be [x, y, width, height]')
    check_coordinates(box, size, f'{where}: bbox')
    return box if min(box[2:]) > 0 else None


def _given_area(annotation: dict, size: tuple[int, int], where: str) -> float | None:
    area = annotation.get('area')
    if isinstance(area, float) and not math.isfinite(area):
        return None
    area = require(annotation, 'area', float, where, 0)
    # Outlines may leave their image, see `check_coordinates`.
    return area if 0 < area <= 9 * max(size) ** 2 else None
