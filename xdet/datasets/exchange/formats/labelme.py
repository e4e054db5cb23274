"""LabelMe's JSON files, one beside every image."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from xdet.datasets.exchange.annotated import AnnotatedImage, AnnotatedSet, Polygon, Segment, merged
from xdet.datasets.exchange.entries import checked_name, checked_points, checked_size, image_size_of, listed_names
from xdet.datasets.exchange.files import Content, json_bytes, unique_file
from xdet.datasets.exchange.maps import png
from xdet.datasets.exchange.polygons import ellipse, join
from xdet.datasets.exchange.source import Source, split_of_folders
from xdet.datasets.files.image_io import open_image
from xdet.io.errors import cause
from xdet.io.reading import read_json, shorten
from xdet.io.schema import require, shown
from xdet.structures.masks.boxes import mask_box
from xdet.structures.masks.codes import EncodedMask, encode_mask


def read(source: Source) -> AnnotatedSet:
    """Read one JSON, or all in a folder and the folders in it; folders called train, val and test are splits.

    Raises:
        OSError, ValueError: A file is damaged or missing.
    """
    folder = source.path if source.path.is_dir() else source.path.parent
    names = dict.fromkeys(source.names or listed_names(folder / 'labels.txt'))
    images = []
    for path in source.files('.json'):
        with source.problems.entry():
            image = _read_file(source, path)
            names.update(dict.fromkeys(segment.name for segment in image.segments))
            images.append(image)
    return AnnotatedSet(tuple(names), tuple(images))


def _read_file(source: Source, path: Path) -> AnnotatedImage:
    content = read_json(path)
    shapes = require(content, 'shapes', list, f'{path}: not a file of LabelMe')
    given = require(content, 'imagePath', str, str(path))
    folders = source.image_folders(path)
    beside = [] if source.images is not None else [path.parent]  # they come first
    embedded = require(content, 'imageData', str, str(path), None)
    try:
        file, found = source.image(given, [*beside, *folders], f'{path}: imagePath')
    except ValueError:
        if not embedded:
            raise
        file, found = path.with_suffix(Path(given).suffix).name, ''  # wherever the image was, it is here, too
    by_place = beside and (not found or Path(found) == path.parent / file)
    if embedded and not found:
        found = str(path)
    if content.get('imageHeight') is None and found:
        size = image_size_of(found)
    else:
        size = (require(content, 'imageHeight', int, str(path)), require(content, 'imageWidth', int, str(path)))
    size = checked_size(size, str(path))
    groups: dict[Any, list[Segment]] = {}
    for position, shape in enumerate(shapes):
        where = f'{path}: shape {position} (counted from 0)'
        with source.problems.entry():
            segment = _read_shape(shape, size, where)
            if segment is None:
                source.problems.leave_out('are of a kind without an area, or have less than three corners', where)
                continue
            group = require(shape, 'group_id', (int, str), where, None)
            groups.setdefault((segment.name, position if group is None else f'group {group}'), []).append(segment)
    split, inner = split_of_folders(path.parent.relative_to(source.path if source.path.is_dir() else path.parent))
    name = (Path(inner) / file).as_posix() if by_place else file
    return AnnotatedImage(name, size, tuple(map(merged, groups.values())), split, found)


def _read_shape(shape: Any, size: tuple[int, int], where: str) -> Segment | None:
    name = checked_name(require(shape, 'label', str, where), where)
    kind = require(shape, 'shape_type', str, where, 'polygon')
    given = require(shape, 'points', list, where)
    if not all(isinstance(point, (list, tuple)) and len(point) == 2 for point in given):
        raise ValueError(f'{where}: points must be a list of [x, y]')
    points = checked_points([value for point in given for value in point], size, f'{where}: points')
    common: dict[str, Any] = dict(
        iscrowd=require(shape, 'iscrowd', bool, where, False),
        score=require(shape, 'score', float, where, None),
        attributes=require(shape, 'attributes', dict, where, {}),
    )
    if kind in ('polygon', 'rotation', 'oriented_rectangle') or (kind == 'rectangle' and len(points) > 2):
        return Segment(name, size, (Polygon(np.array(points, float)),), **common) if len(points) > 2 else None
    if kind == 'rectangle' and len(points) == 2:
        (x1, y1), (x2, y2) = points
        box = (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
        return Segment(name, size, box=box, **common) if box[0] < box[2] and box[1] < box[3] else None
    if kind == 'circle' and len(points) == 2:
        centre, edge = points
        radius = float(np.hypot(edge[0] - centre[0], edge[1] - centre[1]))
        return Segment(name, size, (Polygon(ellipse(centre, (radius, radius))),), **common)
    if kind == 'mask' and len(points) == 2:
        return Segment(name, size, mask=_read_mask(shape, points, size, where), **common)
    return None


def _read_mask(shape: Any, points: list[tuple[float, float]], size: tuple[int, int], where: str) -> EncodedMask:
    text = require(shape, 'mask', str, where)
    try:
        data = base64.b64decode(text, validate=True)
        with open_image(data) as image:
            checked_size(image.size, where)
            part = np.asarray(image.convert('L')) > 0
    except (binascii.Error, OSError, SyntaxError, Image.DecompressionBombError) as error:
        reason = 'no image' if isinstance(error, UnidentifiedImageError) else shorten(cause(error))
        raise ValueError(f'{where}: mask is no PNG in base64 ({reason})') from None
    (x1, y1), (x2, y2) = ((round(x), round(y)) for x, y in points)
    height, width = part.shape
    if (x2 - x1 + 1, y2 - y1 + 1) != (width, height) or x1 < 0 or y1 < 0 or x2 >= size[1] or y2 >= size[0]:
        raise ValueError(
            f'{where}: its mask has {width}x{height} pixels and its points are {shown([x1, y1, x2, y2])}, '
            f'in an image of {size[1]}x{size[0]}'
        )
    mask = np.zeros(size, bool)
    mask[y1 : y2 + 1, x1 : x2 + 1] = part
    return encode_mask(mask)


def files(data: AnnotatedSet, masks: bool = False) -> Iterator[tuple[str, Content]]:
    """A JSON beside every image, and ``labels.txt``."""
    taken: set[str] = set()
    for image in data.images:
        place = f'{image.split}/{image.file}' if image.split else image.file
        file = unique_file(Path(place).with_suffix('.json').as_posix(), taken)
        picture = Path(file).with_suffix(Path(image.file).suffix or '.jpg')
        shapes = []
        for number, segment in enumerate(image.segments, start=1):
            shapes += _shapes(segment, number, masks)
        yield (
            file,
            json_bytes(
                dict(
                    version='5.5.0',
                    flags={},
                    shapes=shapes,
                    imagePath=picture.name,
                    imageData=None,
                    imageHeight=image.size[0],
                    imageWidth=image.size[1],
                )
            ),
        )
        yield picture.as_posix(), Path(image.path)
    yield 'labels.txt', ''.join(f'{name}\n' for name in data.names).encode()


def _shapes(segment: Segment, number: int, masks: bool) -> list[dict[str, Any]]:
    more: dict[str, Any] = dict(description='', flags={}, mask=None, group_id=None)
    if segment.iscrowd:
        more['iscrowd'] = True
    if segment.score is not None:
        more['score'] = segment.score
    if segment.attributes:
        more['attributes'] = dict(segment.attributes)
    common = dict(more, label=segment.name)
    if segment.rle is None:
        x1, y1, x2, y2 = segment.bounds
        return [dict(common, shape_type='rectangle', points=[[x1, y1], [x2, y2]])]
    if masks:
        box = mask_box(segment.array())
        if box is None:
            return []
        x1, y1, x2, y2 = box
        part = png(segment.array()[y1:y2, x1:x2].astype(np.uint8) * 255)
        text = base64.b64encode(part).decode('ascii')
        return [dict(common, shape_type='mask', points=[[x1, y1], [x2 - 1, y2 - 1]], mask=text)]
    if len(segment.outlines) > 1:
        common['group_id'] = number
    rings = [join([polygon]).tolist() for polygon in segment.outlines]
    return [dict(common, shape_type='polygon', points=ring) for ring in rings]
