"""Files of the VGG Image Annotator: JSON or CSV of regions, or a project."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from xdet.datasets.exchange.annotated import AnnotatedImage, AnnotatedSet, Polygon, Segment
from xdet.datasets.exchange.entries import checked_box, checked_name, checked_points, image_size_of
from xdet.datasets.exchange.polygons import ellipse, turned
from xdet.datasets.exchange.source import Source, list_files
from xdet.io.reading import read_json, read_text
from xdet.io.schema import require, shown

CLASS_ATTRIBUTES = ('class', 'class_name', 'label', 'name', 'category', 'type', 'object', 'object_name')
"""Attributes of regions that are taken for the class where there are several."""

CSV_START = 'filename,file_size,file_attributes'


def holds_regions(content: Any) -> bool:
    """Whether JSON is of VIA."""
    if isinstance(content, dict) and '_via_img_metadata' in content:
        return True
    first = next(iter(content.values()), None) if isinstance(content, dict) else None
    return isinstance(first, dict) and 'filename' in first and 'regions' in first


def read(source: Source) -> AnnotatedSet:
    """Read a file, or all JSON and CSV files of a folder. Sizes are those of the images, which must be there.

    Raises:
        OSError, ValueError: A file is damaged, an image is missing, or nothing says what class a region has.
    """
    images: list[AnnotatedImage] = []
    whole = source.path
    files = [whole / name for name in list_files(whole, ('.json', '.csv'))] if whole.is_dir() else source.files('.json')
    for path in files or source.files('.json'):
        for where, entry in _entries(path):
            with source.problems.entry():
                images.append(_read_entry(source, path, entry, where))
    names = source.names or dict.fromkeys(segment.name for image in images for segment in image.segments)
    return AnnotatedSet(tuple(names), tuple(images))


def _entries(path: Path) -> Iterator[tuple[str, Any]]:
    """What the file says of every image, in the form of its JSON."""
    if path.suffix.lower() == '.csv':
        yield from _csv_entries(path)
        return
    content = read_json(path)
    content = content.get('_via_img_metadata', content) if isinstance(content, dict) else content
    if not isinstance(content, dict):
        raise ValueError(f'{path}: is {shown(content)}; files of VIA have an entry for every image')
    yield from ((f'{path}: {shown(key)}', entry) for key, entry in content.items())


def _csv_entries(path: Path) -> Iterator[tuple[str, Any]]:
    entries: dict[str, dict[str, Any]] = {}
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(path))))
    except csv.Error as error:
        raise ValueError(f'{path}: is no table of VIA ({error})') from None
    for number, row in enumerate(rows, start=2):
        where = f'{path}: line {number}'
        entry = entries.setdefault(row.get('filename') or '', dict(filename=row.get('filename'), regions=[]))
        try:
            # Missing cells are None, which is no JSON; those that are too many have the key None.
            shape, told = (
                json.loads('{}' if row[key] == '' else row[key])
                for key in ('region_shape_attributes', 'region_attributes')
            )
            if None in row:
                raise ValueError
        except (KeyError, TypeError, ValueError):
            wanted = 'region_shape_attributes and region_attributes must be JSON'
            raise ValueError(f'{where}: has other cells than the header says, or {wanted}') from None
        if shape:
            entry['regions'].append(dict(shape_attributes=shape, region_attributes=told))
    yield from ((f'{path}: {shown(name)}', entry) for name, entry in entries.items())


def _read_entry(source: Source, path: Path, entry: Any, where: str) -> AnnotatedImage:
    name = require(entry, 'filename', str, where)
    file, found = source.image(name, source.image_folders(path), where)
    if not found:
        raise FileNotFoundError(
            f'{where}: {shown(name)} is not there, and VIA does not say how large it is (--images DIR)'
        )
    size = image_size_of(found)
    regions = entry.get('regions') or []
    if isinstance(regions, dict):  # of version 1
        regions = list(regions.values())
    segments = []
    for place, region in enumerate(require(dict(regions=regions), 'regions', list, where)):
        own = f'{where}: region {place} (counted from 0)'
        with source.problems.entry():
            segment = _read_region(region, size, source, own)
            if segment is None:
                source.problems.leave_out('are points or lines, or have less than three corners or no size', own)
            else:
                segments.append(segment)
    return AnnotatedImage(file, size, tuple(segments), '', found)


def _read_region(region: Any, size: tuple[int, int], source: Source, where: str) -> Segment | None:
    shape = require(region, 'shape_attributes', dict, where)
    kind = require(shape, 'name', str, where)
    if kind not in ('polygon', 'rect', 'circle', 'ellipse'):
        return None
    name, attributes = _class_of(require(region, 'region_attributes', dict, where, {}), source, where)
    common: dict[str, Any] = dict(attributes=attributes)
    if kind == 'polygon':
        xs, ys = (require(shape, f'all_points_{axis}', list, where) for axis in 'xy')
        if len(xs) != len(ys):
            raise ValueError(f'{where}: has {len(xs)} x and {len(ys)} y; every point needs both')
        points = checked_points([value for pair in zip(xs, ys, strict=True) for value in pair], size, where)
        return Segment(name, size, (Polygon(np.array(points, float)),), **common) if len(points) > 2 else None
    if kind == 'rect':
        x, y, w, h = (require(shape, key, float, where) for key in ('x', 'y', 'width', 'height'))
        box = checked_box((x, y, x + w, y + h), size, where)
        return None if box is None else Segment(name, size, box=box, **common)
    x, y = (require(shape, key, float, where) for key in ('cx', 'cy'))
    wide, high = (require(shape, key, float, where) for key in (('r', 'r') if kind == 'circle' else ('rx', 'ry')))
    if checked_box((x - wide, y - high, x + wide, y + high), size, where) is None:
        return None
    around = turned(ellipse((0, 0), (wide, high)), np.rad2deg(require(shape, 'theta', float, where, 0.0))) + [x, y]
    return Segment(name, size, (Polygon(around),), **common)


def _class_of(told: Mapping[str, Any], source: Source, where: str) -> tuple[str, dict[str, Any]]:
    """The class of a region, and its other attributes. A box that is ticked is a word."""
    words = {key: _word(value) for key, value in told.items()}
    words = {key: word for key, word in words.items() if word}
    if not words and len(source.names) == 1:
        return source.names[0], {}
    key = next((key for key in CLASS_ATTRIBUTES for own in words if own.lower() == key), '')
    key = next((own for own in words if own.lower() == key), next(iter(words)) if len(words) == 1 else '')
    if not key:
        problem = f'has the attributes {shown(sorted(words))}, and none' if words else 'has no attribute that'
        raise ValueError(
            f'{where}: {problem} says its class; accepted are one attribute, one called {", ".join(CLASS_ATTRIBUTES)}, '
            'or --names NAME, which gives all regions without attributes that class'
        )
    return checked_name(words.pop(key), where), words


def _word(value: Any) -> str:
    if isinstance(value, dict):
        value = next((key for key, chosen in value.items() if chosen), '')
    return str(value).strip() if isinstance(value, (str, int, float)) else ''
