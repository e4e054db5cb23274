"""CVAT's XML for images, version 1.1."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from xdet.datasets.exchange.annotated import AnnotatedImage, AnnotatedSet, Polygon, Segment, merged
from xdet.datasets.exchange.entries import (
    checked_box,
    checked_name,
    checked_points,
    checked_size,
    checked_split,
    parse_number,
    read_xml,
)
from xdet.datasets.exchange.files import Content
from xdet.datasets.exchange.polygons import ellipse, join, turned
from xdet.datasets.exchange.row_codes import row_runs
from xdet.datasets.exchange.source import Source
from xdet.io.schema import shown
from xdet.structures.masks.boxes import mask_xywh
from xdet.structures.masks.codes import EncodedMask, encode_mask

_NO_SPLIT = ('', 'default')


def read(source: Source) -> AnnotatedSet:
    """Read an ``annotations.xml``, or all XML files of a folder.

    Raises:
        OSError, ValueError: A file is damaged or missing.
    """
    names = dict.fromkeys(source.names)
    images = []
    for path in source.files('.xml'):
        root = read_xml(path)
        if root.tag != 'annotations':
            raise ValueError(f'{path}: not a file of CVAT for images (its root is {shown(root.tag)}, not annotations)')
        if root.find('track') is not None:
            raise ValueError(f'{path}: is a file of CVAT for videos; export the frames as "CVAT for images"')
        for label in root.iterfind('.//labels/label/name'):
            names[checked_name(label.text or '', f'{path}: labels')] = None
        for entry in root.iterfind('image'):
            with source.problems.entry():
                image = _read_image(source, path, entry)
                names.update(dict.fromkeys(segment.name for segment in image.segments))
                images.append(image)
    return AnnotatedSet(tuple(names), tuple(images))


def _read_image(source: Source, path: Path, entry: ElementTree.Element) -> AnnotatedImage:
    where = f'{path}: image {shown(entry.get("name") or "")}'
    file, found = source.image(entry.get('name') or '', source.image_folders(path), where)
    size = checked_size(
        (
            parse_number(entry.get('height'), f'{where}: its height', int),
            parse_number(entry.get('width'), f'{where}: its width', int),
        ),
        where,
    )
    groups: dict[Any, list[Segment]] = {}
    for position, shape in enumerate(entry):
        if shape.tag in ('tag', 'points', 'polyline', 'cuboid', 'skeleton'):
            if shape.tag != 'tag':
                source.problems.leave_out(f'are {shape.tag}', f'{where}: shape {position} (counted from 0)')
            continue
        with source.problems.entry():
            own = f'{where}: {shape.tag} {position} (counted from 0)'
            segment = _read_shape(shape, size, own)
            if segment is None:
                source.problems.leave_out('have less than three corners, or no size', own)
                continue
            group = shape.get('group_id', '0')
            groups.setdefault((segment.name, group if group not in ('', '0') else position), []).append(segment)
    subset = entry.get('subset', '')
    split = '' if subset.lower() in _NO_SPLIT else checked_split(subset.lower(), where)
    return AnnotatedImage(file, size, tuple(map(merged, groups.values())), split, found)


def _read_shape(shape: ElementTree.Element, size: tuple[int, int], where: str) -> Segment | None:
    name = checked_name(shape.get('label') or '', where)
    attributes: dict[str, Any] = {
        one.get('name') or '': one.text or '' for one in shape.iterfind('attribute') if one.get('name')
    }
    crowd = attributes.pop('iscrowd', '') == 'true'
    score = attributes.pop('score', None)
    if shape.get('occluded') == '1':
        attributes['occluded'] = True
    common: dict[str, Any] = dict(
        iscrowd=crowd,
        score=None if score is None else parse_number(score, f'{where}: score'),
        attributes=attributes,
    )
    turn = parse_number(shape.get('rotation', '0'), f'{where}: rotation')
    if shape.tag == 'polygon':
        pairs = [pair.split(',') for pair in (shape.get('points') or '').split(';') if pair.strip()]
        if any(len(pair) != 2 for pair in pairs):
            raise ValueError(f'{where}: points must be x,y;x,y;...')
        values = [parse_number(value, f'{where}: a coordinate') for pair in pairs for value in pair]
        points = checked_points(values, size, f'{where}: points')
        return Segment(name, size, (Polygon(np.array(points, float)),), **common) if len(points) > 2 else None
    if shape.tag == 'box':
        values = [parse_number(shape.get(key), f'{where}: {key}') for key in ('xtl', 'ytl', 'xbr', 'ybr')]
        box = checked_box(values, size, where)
        if box is None or not turn:
            return None if box is None else Segment(name, size, box=box, **common)
        x1, y1, x2, y2 = box
        corners = np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])
        return Segment(name, size, (_turned(corners, turn),), **common)
    if shape.tag == 'ellipse':
        x, y, wide, high = (parse_number(shape.get(key), f'{where}: {key}') for key in ('cx', 'cy', 'rx', 'ry'))
        if checked_box((x - wide, y - high, x + wide, y + high), size, where) is None:
            return None
        return Segment(name, size, (_turned(ellipse((x, y), (wide, high)), turn),), **common)
    if shape.tag == 'mask':
        return Segment(name, size, mask=_read_mask(shape, size, where), **common)
    raise ValueError(f'{where}: {shown(shape.tag)} is no shape of CVAT; accepted are polygon, mask, box and ellipse')


def _turned(points: np.ndarray, degrees: float) -> Polygon:
    """Points turned about their middle, as CVAT shows them."""
    middle = points.mean(axis=0)
    return Polygon(turned(points - middle, degrees) + middle)


def _read_mask(shape: ElementTree.Element, size: tuple[int, int], where: str) -> EncodedMask:
    left, top, width, height = (
        parse_number(shape.get(key), f'{where}: {key}', int) for key in ('left', 'top', 'width', 'height')
    )
    if min(left, top) < 0 or min(width, height) < 1 or left + width > size[1] or top + height > size[0]:
        raise ValueError(
            f'{where}: lies at {left}, {top} with {width}x{height} pixels, outside of its image of {size[1]}x{size[0]}'
        )
    runs = [parse_number(run, f'{where}: a run of rle', int) for run in (shape.get('rle') or '').split(',')]
    if min(runs) < 0 or sum(runs) != width * height:
        raise ValueError(f'{where}: its rle is for {sum(runs)} pixels; it has {width}x{height}')
    part = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
    mask = np.zeros(size, bool)
    mask[top : top + height, left : left + width] = part
    return encode_mask(mask)


def files(data: AnnotatedSet, polygons: bool = False) -> Iterator[tuple[str, Content]]:
    """``annotations.xml``, and the images below ``images/``."""
    root = ElementTree.Element('annotations')
    ElementTree.SubElement(root, 'version').text = '1.1'
    labels = ElementTree.SubElement(ElementTree.SubElement(ElementTree.SubElement(root, 'meta'), 'task'), 'labels')
    for name in data.names:
        label = ElementTree.SubElement(labels, 'label')
        ElementTree.SubElement(label, 'name').text = name
        ElementTree.SubElement(label, 'attributes')
    for number, image in enumerate(data.images):
        height, width = image.size
        entry = ElementTree.SubElement(
            root, 'image', id=str(number), name=image.file, width=str(width), height=str(height)
        )
        if image.split:
            entry.set('subset', image.split)
        for group, segment in enumerate(image.segments, start=1):
            _add_shapes(entry, segment, group, polygons)
        yield f'images/{image.file}', Path(image.path)
    ElementTree.indent(root)
    yield 'annotations.xml', ElementTree.tostring(root, 'utf-8', xml_declaration=True)


def _add_shapes(entry: ElementTree.Element, segment: Segment, group: int, polygons: bool) -> None:
    occluded = '1' if segment.attributes.get('occluded') is True else '0'
    common = dict(label=segment.name, source='xdet', occluded=occluded, z_order='0')
    shapes = []
    if segment.rle is None:
        corners = zip(('xtl', 'ytl', 'xbr', 'ybr'), segment.bounds, strict=True)
        shapes.append(ElementTree.SubElement(entry, 'box', {**common, **{k: f'{v:.6g}' for k, v in corners}}))
    elif polygons:
        grouped = dict(common, group_id=str(group)) if len(segment.outlines) > 1 else common
        for polygon in segment.outlines:
            points = ';'.join(f'{x:.6g},{y:.6g}' for x, y in join([polygon]))
            shapes.append(ElementTree.SubElement(entry, 'polygon', {**grouped, 'points': points}))
    elif segment.area:
        mask = segment.array()
        left, top, width, height = mask_xywh(mask)
        part = mask[top : top + height, left : left + width]
        place = dict(left=left, top=top, width=width, height=height)
        rle = ', '.join(map(str, row_runs(part.reshape(-1))))
        shapes.append(
            ElementTree.SubElement(entry, 'mask', {**common, 'rle': rle, **{k: str(v) for k, v in place.items()}})
        )
    told = {key: str(value) for key, value in segment.attributes.items() if key != 'occluded'}
    if segment.iscrowd:
        told['iscrowd'] = 'true'
    if segment.score is not None:
        told['score'] = f'{segment.score:.6g}'
    for shape in shapes:
        for key, value in told.items():
            ElementTree.SubElement(shape, 'attribute', name=key).text = value
