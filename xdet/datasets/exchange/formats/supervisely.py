"""Supervisely's projects: ``meta.json``, and data sets with ``img/`` and ``ann/``."""

from __future__ import annotations

import base64
import binascii
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from xdet.datasets.exchange.annotated import AnnotatedImage, AnnotatedSet, Polygon, Segment
from xdet.datasets.exchange.entries import MOST_PIXELS, checked_box, checked_name, checked_points, checked_size
from xdet.datasets.exchange.source import Source, split_of_folders
from xdet.datasets.files.image_io import open_image
from xdet.io.errors import cause
from xdet.io.reading import read_json, shorten
from xdet.io.schema import require, shown
from xdet.structures.masks.codes import EncodedMask, encode_mask

META = 'meta.json'


def is_project(folder: Path) -> bool:
    """Whether a folder is one, or a data set of one."""
    parts = [folder, *(folder.glob('*') if (folder / META).is_file() else ())]
    return any((part / 'ann').is_dir() and (part / 'img').is_dir() for part in parts)


def read(source: Source) -> AnnotatedSet:
    """Read a project, or one of its data sets; data sets called train, val and so on are splits.

    Raises:
        OSError, ValueError: A file is damaged or missing.
    """
    names = dict.fromkeys(source.names)
    meta = source.path / META
    if meta.is_file() and not names:
        for one in require(read_json(meta), 'classes', list, str(meta)):
            names[checked_name(require(one, 'title', str, f'{meta}: classes'), str(meta))] = None
    folders = [source.path / 'ann'] if (source.path / 'ann').is_dir() else sorted(source.path.glob('*/ann'))
    images: list[AnnotatedImage] = []
    for folder in folders:
        split, inner = split_of_folders(folder.parent.relative_to(source.path))
        for path in sorted(folder.rglob('*.json')):
            with source.problems.entry():
                image = _read_file(source, folder, path)
                names.update(dict.fromkeys(segment.name for segment in image.segments))
                file = (Path(inner) / image.file).as_posix()
                images.append(AnnotatedImage(file, image.size, image.segments, split, image.path))
    return AnnotatedSet(tuple(names), tuple(images))


def _read_file(source: Source, folder: Path, path: Path) -> AnnotatedImage:
    content = read_json(path)
    sides = require(content, 'size', dict, f'{path}: not a file of Supervisely')
    size = checked_size(tuple(require(sides, side, int, f'{path}: size') for side in ('height', 'width')), str(path))
    name = path.relative_to(folder).with_suffix('').as_posix()  # a.jpg.json is of a.jpg
    file, found = source.image(name, [source.images or folder.parent / 'img'], str(path))
    segments = []
    for place, one in enumerate(require(content, 'objects', list, str(path))):
        where = f'{path}: object {place} (counted from 0)'
        with source.problems.entry():
            segment = _read_object(one, size, where)
            if segment is None:
                source.problems.leave_out('are of a kind without an area, or have less than three corners', where)
            else:
                segments.append(segment)
    return AnnotatedImage(file, size, tuple(segments), '', found)


def _read_object(one: Any, size: tuple[int, int], where: str) -> Segment | None:
    kind = require(one, 'geometryType', str, where)
    name = checked_name(require(one, 'classTitle', str, where), where)
    if kind == 'bitmap':
        return Segment(name, size, mask=_read_bitmap(require(one, 'bitmap', dict, where), size, where))
    if kind not in ('polygon', 'rectangle'):
        return None
    points = require(one, 'points', dict, where)
    rings = [require(points, 'exterior', list, where), *require(points, 'interior', list, where, [])]
    for ring in rings:
        if not isinstance(ring, list) or not all(isinstance(p, (list, tuple)) and len(p) == 2 for p in ring):
            raise ValueError(f'{where}: points must be lists of [x, y]')
    outer, *holes = (checked_points([value for p in ring for value in p], size, f'{where}: points') for ring in rings)
    if kind == 'rectangle':
        if len(outer) != 2:
            raise ValueError(f'{where}: a rectangle has {len(outer)} points; it must have 2')
        (x1, y1), (x2, y2) = outer
        box = checked_box((min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)), size, where)
        return None if box is None else Segment(name, size, box=box)
    if len(outer) < 3:
        return None
    polygon = Polygon(np.array(outer, float), tuple(np.array(hole, float) for hole in holes if len(hole) > 2))
    return Segment(name, size, (polygon,))


def _read_bitmap(bitmap: Any, size: tuple[int, int], where: str) -> EncodedMask:
    """A PNG, compressed once more, of the part of the image that begins at ``origin``."""
    text = require(bitmap, 'data', str, where)
    origin = require(bitmap, 'origin', list, where)
    try:
        data = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), MOST_PIXELS)
        with open_image(data) as image:
            height, width = checked_size((image.height, image.width), where)
            bands = image.getbands()
            part = np.asarray(image.getchannel('A') if 'A' in bands else image.convert('L')) > 0
    except (binascii.Error, zlib.error, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f'{where}: data is no PNG, compressed and in base64 ({shorten(cause(error))})') from None
    if len(origin) != 2 or not all(type(value) is int for value in origin):
        raise ValueError(f'{where}: origin is {shown(origin)}; it must be [x, y] in pixels')
    x, y = origin
    if min(x, y) < 0 or x + width > size[1] or y + height > size[0]:
        raise ValueError(
            f'{where}: its bitmap lies at {x}, {y} with {width}x{height} pixels, outside of its image of '
            f'{size[1]}x{size[0]}'
        )
    mask = np.zeros(size, bool)
    mask[y : y + height, x : x + width] = part
    return encode_mask(mask)
