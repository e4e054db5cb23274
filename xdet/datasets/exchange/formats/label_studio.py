"""Label Studio's JSON: tasks with brushes (run-length encoded), polygons and rectangles."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from xdet.datasets.exchange.annotated import AnnotatedImage, AnnotatedSet, Polygon, Segment
from xdet.datasets.exchange.entries import (
    checked_name,
    checked_points,
    checked_size,
    checked_split,
    image_size_of,
    read_xml,
)
from xdet.datasets.exchange.files import Content, json_bytes
from xdet.datasets.exchange.polygons import join, turned
from xdet.datasets.exchange.row_codes import decode_brush, encode_brush
from xdet.datasets.exchange.source import Source
from xdet.io.reading import read_json
from xdet.io.schema import require, shown

_CONTROLS = dict(
    brushlabels=('brush', 'BrushLabels'),
    polygonlabels=('polygon', 'PolygonLabels'),
    rectanglelabels=('box', 'RectangleLabels'),
)
_POINT_PERCENT = 0.5  # of the width of the image: the size at which Label Studio draws a point


def read(source: Source) -> AnnotatedSet:
    """Read an export in the format JSON (not JSON-MIN), or all of a folder.

    Of several annotations of a task the first that was not cancelled counts; predictions where there are none.

    Raises:
        OSError, ValueError: A file is damaged or missing.
    """
    names = dict.fromkeys(source.names)
    images = []
    for path in source.files('.json'):
        config = path.parent / 'label_config.xml'
        if config.is_file():
            for label in read_xml(config).iter('Label'):
                names[checked_name(label.get('value') or '', str(config))] = None
        tasks = read_json(path)
        if not isinstance(tasks, list):
            raise ValueError(f'{path}: is {shown(tasks)}; an export of Label Studio is a list of tasks')
        for position, task in enumerate(tasks):
            with source.problems.entry():
                image = _read_task(source, path, task, f'{path}: task {position} (counted from 0)')
                names.update(dict.fromkeys(segment.name for segment in image.segments))
                images.append(image)
    return AnnotatedSet(tuple(names), tuple(images))


def _read_task(source: Source, path: Path, task: Any, where: str) -> AnnotatedImage:
    data = require(task, 'data', dict, where)
    links = [value for key, value in data.items() if isinstance(value, str) and key not in ('split', 'text')]
    link = data['image'] if isinstance(data.get('image'), str) else next(iter(links), '')
    file, found = source.image(file_of(link), source.image_folders(path), f'{where}: the image')
    annotations = require(task, 'annotations', list, where, [])
    kept = [one for one in annotations if isinstance(one, dict) and not one.get('was_cancelled')]
    results = [
        result
        for one in (kept or require(task, 'predictions', list, where, []))[:1]
        for result in require(one, 'result', list, f'{where}: its annotation', [])
    ]
    size: tuple[int, int] | None = None
    segments = []
    for place, result in enumerate(results):
        own = f'{where}: result {place} (counted from 0)'
        with source.problems.entry():
            kind = require(result, 'type', str, own)
            if kind not in _CONTROLS:
                source.problems.leave_out(f'are of the type {shown(kind)}', own)
                continue
            size = _size(result, own, size)
            segment = read_result(result, kind, size, own)
            if segment is None:
                source.problems.leave_out('have less than three corners, or no size', own)
            else:
                segments.append(segment)
    if size is None:
        if not found:
            raise FileNotFoundError(
                f'{where}: nothing says the size of {shown(file)}, which is not there (--images DIR)'
            )
        size = image_size_of(found)
    split = checked_split(require(data, 'split', str, where, ''), where)
    return AnnotatedImage(file, size, tuple(segments), split, found)


def file_of(link: str) -> str:
    """The path that a link of a task means: ``/data/local-files/?d=a/b.jpg``, ``/data/upload/3/x.jpg``, ``s3://...``."""
    parts = urlsplit(link)
    if parts.path.rstrip('/').endswith('/local-files'):
        return unquote(parse_qs(parts.query).get('d', [''])[0]).lstrip('/')
    if parts.scheme or link.startswith('/data/'):
        return unquote(parts.path).rsplit('/', 1)[-1]
    return link


def _size(result: Any, where: str, before: tuple[int, int] | None) -> tuple[int, int]:
    height, width = (require(result, f'original_{side}', int, where) for side in ('height', 'width'))
    size = checked_size((height, width), where)
    if before not in (None, size):
        raise ValueError(f'{where}: is for an image of {width}x{height} pixels, another result of the task is not')
    refuse_turned(result, where)
    return size


def refuse_turned(result: Any, where: str) -> None:
    """Places in an image that is shown turned are not those of its file.

    Raises:
        ValueError: The image of the result was turned.
    """
    if require(result, 'image_rotation', float, where, 0) % 360:
        raise ValueError(f'{where}: its image was turned in Label Studio; accepted is image_rotation 0')


def read_result(result: Any, kind: str, size: tuple[int, int], where: str) -> Segment | None:
    """A result of one of the kinds with labels; None if it covers nothing.

    Args:
        result (Any): As the JSON has it.
        kind (str): Its type, ``'brushlabels'``, ``'polygonlabels'`` or ``'rectanglelabels'``.
        size (tuple[int, int]): Height and width of the image in pixels.
        where (str): File and entry, for errors.

    Raises:
        ValueError: It is damaged, or has no label or several.
    """
    value = require(result, 'value', dict, where)
    labels = require(value, kind, list, where)
    if len(labels) != 1 or not isinstance(labels[0], str):
        raise ValueError(f'{where}: has {len(labels)} labels; every region needs one')
    name = checked_name(labels[0], where)
    meta = require(result, 'meta', dict, where, {})
    common: dict[str, Any] = dict(
        score=require(result, 'score', float, where, None),
        iscrowd=require(meta, 'iscrowd', bool, where, False),
        attributes={key: one for key, one in meta.items() if key != 'iscrowd'},
    )
    height, width = size
    if kind == 'brushlabels':
        numbers = require(value, 'rle', list, where)
        if require(value, 'format', str, where, 'rle') != 'rle':
            raise ValueError(f'{where}: has the format {shown(value["format"])}; accepted is rle')
        return Segment(name, size, mask=decode_brush(numbers, size, where), **common)
    if kind == 'polygonlabels':
        given = require(value, 'points', list, where)
        if not all(isinstance(point, (list, tuple)) and len(point) == 2 for point in given):
            raise ValueError(f'{where}: points must be a list of [x, y] in percent')
        flat = checked_points([one for point in given for one in point], (100, 100), f'{where}: points (percent)')
        if len(flat) < 3:
            return None
        points = np.array(flat, float) * [width / 100, height / 100]
        return Segment(name, size, (Polygon(points),), **common)
    x, y, w, h = (require(value, key, float, where) for key in ('x', 'y', 'width', 'height'))
    checked_points([x, y, x + w, y + h], (100, 100), f'{where}: its box (percent)')
    if min(w, h) <= 0:
        return None
    if turn := require(value, 'rotation', float, where, 0):
        sides = np.array([[0, 0], [w, 0], [w, h], [0, h]]) * [width / 100, height / 100]
        points = turned(sides, turn) + [x * width / 100, y * height / 100]
        return Segment(name, size, (Polygon(points),), **common)
    box = (x * width / 100, y * height / 100, (x + w) * width / 100, (y + h) * height / 100)
    return Segment(name, size, box=box, **common)


def files(data: AnnotatedSet, polygons: bool = False) -> Iterator[tuple[str, Content]]:
    """``tasks.json`` to import, ``label_config.xml`` for the project, and the images below ``images/``."""
    tasks = []
    for number, image in enumerate(data.images, start=1):
        results = [
            result
            for place, segment in enumerate(image.segments, start=1)
            for result in _results(segment, f'xdet-{number}-{place}', polygons)
        ]
        task = dict(id=number, data=dict(image=image.file, **(dict(split=image.split) if image.split else {})))
        if any('score' in result for result in results):
            task['predictions'] = [dict(model_version='xdet', result=results)]
        else:
            task['annotations'] = [dict(result=results)]
        tasks.append(task)
        yield f'images/{image.file}', Path(image.path)
    yield 'tasks.json', json_bytes(tasks)
    view = ElementTree.Element('View')
    ElementTree.SubElement(view, 'Image', name='image', value='$image')
    for name, control in _CONTROLS.values():
        labels = ElementTree.SubElement(view, control, name=name, toName='image')
        for one in data.names:
            ElementTree.SubElement(labels, 'Label', value=one)
    ElementTree.indent(view)
    yield 'label_config.xml', ElementTree.tostring(view, 'utf-8')


def _results(segment: Segment, number: str, polygons: bool) -> Iterator[dict[str, Any]]:
    kind = 'rectanglelabels' if segment.rle is None else 'polygonlabels' if polygons else 'brushlabels'
    result = result_of(segment, kind, number, _CONTROLS[kind][0])
    if result is not None:
        yield result


def result_of(
    segment: Segment, kind: str, number: str, from_name: str, to_name: str = 'image'
) -> dict[str, Any] | None:
    """A segment as a result of Label Studio; None if nothing is left of it.

    Args:
        segment (Segment): What is shown.
        kind (str): ``'brushlabels'``, ``'polygonlabels'``, ``'rectanglelabels'``, or ``'keypointlabels'``, a point well
            inside of it.
        number (str): Id of the result.
        from_name (str): Name of the control in the label config.
        to_name (str): Name of the image there.
    """
    height, width = segment.size
    value: dict[str, Any]
    if kind == 'rectanglelabels':
        x1, y1, x2, y2 = np.clip(segment.bounds, 0, [width, height, width, height]).tolist()
        place = dict(x=x1 / width, y=y1 / height, width=(x2 - x1) / width, height=(y2 - y1) / height)
        value = dict({key: 100 * one for key, one in place.items()}, rotation=0)
    elif kind == 'polygonlabels':
        if not segment.outlines:
            return None
        ring = np.clip(join(segment.outlines), 0, [width, height]) * [100 / width, 100 / height]
        value = dict(points=ring.tolist(), closed=True)
    elif kind == 'keypointlabels':
        x, y = _inside(segment.array())
        value = dict(x=100 * (x + 0.5) / width, y=100 * (y + 0.5) / height, width=_POINT_PERCENT)
    else:
        value = dict(format='rle', rle=encode_brush(segment.array()))
    value[kind] = [segment.name]
    meta = dict(segment.attributes, **(dict(iscrowd=True) if segment.iscrowd else {}))
    result: dict[str, Any] = dict(
        id=number,
        type=kind,
        from_name=from_name,
        to_name=to_name,
        original_width=width,
        original_height=height,
        image_rotation=0,
        value=value,
    )
    if meta:
        result['meta'] = meta
    if segment.score is not None:
        result['score'] = segment.score
    return result


def _inside(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """x and y of the pixel that is farthest from the edge of a mask."""
    import cv2

    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(x), int(y)
