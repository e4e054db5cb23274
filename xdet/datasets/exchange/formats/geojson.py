"""Polygons with holes in the manner of GeoJSON: pixels in place of degrees, y downwards, one file per image."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from xdet.datasets.exchange.annotated import AnnotatedImage, AnnotatedSet, Polygon, Segment
from xdet.datasets.exchange.entries import checked_name, checked_points, checked_size, checked_split, image_size_of
from xdet.datasets.exchange.files import Content, json_bytes, unique_file, visible
from xdet.datasets.exchange.source import Source, first_file, names_of_stem
from xdet.io.reading import read_json
from xdet.io.schema import require, shown


def read(source: Source) -> AnnotatedSet:
    """Read a file, or all ``.geojson`` of a folder. Files of other programs name no image; theirs has the same stem.

    Raises:
        OSError, ValueError: A file is damaged or missing.
    """
    names = dict.fromkeys(source.names)
    images = []
    for path in source.files('.geojson'):
        with source.problems.entry():
            content = read_json(path)
            about = require(content, 'xdet', dict, str(path), {})
            names.update({checked_name(str(n), str(path)): None for n in require(about, 'names', list, str(path), [])})
            image = _read_file(source, path, content, about)
            names.update(dict.fromkeys(segment.name for segment in image.segments))
            images.append(image)
    return AnnotatedSet(tuple(names), tuple(images))


def _read_file(source: Source, path: Path, content: Any, about: dict) -> AnnotatedImage:
    features = content if isinstance(content, list) else require(content, 'features', list, f'{path}: not GeoJSON')
    folders = source.image_folders(path)
    given = require(about, 'image', str, str(path), None)
    if given is None:
        found = first_file(folder / name for name in names_of_stem(path.stem) for folder in folders)
        if not found:
            raise FileNotFoundError(f'{path}: names no image, and none of its stem was found (--images DIR)')
        given = Path(found).name
    file, place = source.image(given, folders, f'{path}: image')
    if 'height' in about:
        size = (require(about, 'height', int, str(path)), require(about, 'width', int, str(path)))
    else:
        size = image_size_of(place or folders[-1] / file)
    size = checked_size(size, str(path))
    segments = []
    for number, feature in enumerate(features):
        where = f'{path}: feature {number} (counted from 0)'
        with source.problems.entry():
            segment = _read_feature(feature, size, where)
            if segment is None:
                source.problems.leave_out('are no polygons, or have less than three corners', where)
            else:
                segments.append(segment)
    return AnnotatedImage(
        file, size, tuple(segments), checked_split(require(about, 'split', str, str(path), ''), str(path)), place
    )


def _read_feature(feature: Any, size: tuple[int, int], where: str) -> Segment | None:
    geometry = require(feature, 'geometry', dict, where)
    kind = require(geometry, 'type', str, where)
    if kind not in ('Polygon', 'MultiPolygon'):
        return None
    coordinates = require(geometry, 'coordinates', list, where)
    polygons = []
    for part in [coordinates] if kind == 'Polygon' else coordinates:
        rings = [_ring(ring, size, where) for ring in _listed(part, where)]
        if rings and len(rings[0]) > 2:
            polygons.append(Polygon(rings[0], tuple(ring for ring in rings[1:] if len(ring) > 2)))
    about = require(feature, 'properties', dict, where, {})
    name = about.get('name')
    if isinstance(about.get('classification'), dict):  # of QuPath
        name = about['classification'].get('name')
    name = checked_name(name if isinstance(name, str) else '', where)
    more = {key: about[key] for key in about if key not in ('name', 'iscrowd', 'score', 'classification', 'objectType')}
    return (
        Segment(
            name,
            size,
            tuple(polygons),
            iscrowd=require(about, 'iscrowd', bool, where, False),
            score=require(about, 'score', float, where, None),
            attributes=more,
        )
        if polygons
        else None
    )


def _listed(value: Any, where: str) -> list:
    if not isinstance(value, list):
        raise ValueError(f'{where}: coordinates have {shown(value)} in place of a list')
    return value


def _ring(ring: Any, size: tuple[int, int], where: str) -> np.ndarray:
    points = _listed(ring, where)
    if not all(isinstance(point, list) and len(point) in (2, 3) for point in points):
        raise ValueError(f'{where}: a ring must be a list of [x, y]')
    flat = checked_points([value for point in points for value in point[:2]], size, f'{where}: coordinates')
    if len(flat) > 1 and flat[0] == flat[-1]:
        flat = flat[:-1]
    return np.array(flat, float).reshape(-1, 2)


def files(data: AnnotatedSet) -> Iterator[tuple[str, Content]]:
    """One ``.geojson`` per image, and the images below ``images/``."""
    taken: set[str] = set()
    for image in data.images:
        stem = f'{image.split}/{image.file}' if image.split else image.file
        features = []
        for segment in image.segments:
            about: dict[str, Any] = dict(segment.attributes, name=segment.name)
            if segment.iscrowd:
                about['iscrowd'] = 1
            if segment.score is not None:
                about['score'] = segment.score
            parts = [[[*ring.tolist(), ring[0].tolist()] for ring in polygon.rings] for polygon in segment.outlines]
            geometry = (
                dict(type='Polygon', coordinates=parts[0])
                if len(parts) == 1
                else dict(type='MultiPolygon', coordinates=parts)
            )
            features.append(dict(type='Feature', geometry=geometry, properties=about))
        about = dict(image=image.file, height=image.size[0], width=image.size[1], names=list(data.names))
        if image.split:
            about['split'] = image.split
        yield (
            unique_file(visible(Path(stem).with_suffix('.geojson').as_posix()), taken),
            json_bytes(dict(type='FeatureCollection', features=features, xdet=about)),
        )
        yield f'images/{image.file}', Path(image.path)
