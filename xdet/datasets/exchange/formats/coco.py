"""COCO's files: instances, panoptic segments, results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xdet.datasets.exchange.annotated import AnnotatedImage, AnnotatedSet, Polygon, Segment
from xdet.datasets.exchange.entries import checked_name, checked_size
from xdet.datasets.exchange.files import Content, json_bytes, unique_file
from xdet.datasets.exchange.maps import png, without_overlap
from xdet.datasets.exchange.source import Source, panoptic_file, splits_of
from xdet.datasets.files.coco_json import (
    COCO_LISTS,
    check_category,
    file_name,
    index_categories,
    index_images,
    is_crowd,
    load_coco_json,
    load_json,
)
from xdet.datasets.files.outlines import check_coordinates, describe, rasterize, read_outline
from xdet.datasets.files.panoptic_files import describe_segments
from xdet.datasets.files.segment_maps import read_panoptic_map
from xdet.io.schema import ID, require, shown
from xdet.structures.masks.codes import EncodedMask, as_plain, encode_mask
from xdet.structures.masks.panoptic import panoptic_pixels

_IMAGE_FIELDS = ('id', 'file_name', 'height', 'width')


def read_instances(source: Source) -> AnnotatedSet:
    """Read an instances JSON, or all of a folder, whose names are the splits.

    Raises:
        OSError, ValueError: See :class:`~.source.Source`.
    """
    names: dict[str, None] = {}
    images: list[AnnotatedImage] = []
    stuff: set[str] = set()
    for path, split, rows, categories, entries in _parts(source, _files(source, panoptic=False), names, stuff):
        segments: dict[Any, list[Segment]] = {number: [] for number in entries}
        for position, annotation in enumerate(rows):
            with source.problems.entry():
                image_id = require(annotation, 'image_id', ID, f'{path}: annotation {position} (counted from 0)')
                name = describe(annotation.get('id', f'{position} (counted from 0)'), image_id)
                if image_id not in entries:
                    raise ValueError(f'{path}: {name} is of an image that the file does not list')
                segment = read_annotation(annotation, entries[image_id], categories, f'{path}: {name}')
                if segment is None:
                    source.problems.leave_out('have neither an outline in their image nor a box', f'{path}: {name}')
                else:
                    segments[image_id].append(segment)
        images += _images(source, path, entries, segments, split)
    return AnnotatedSet(tuple(names), tuple(images), frozenset(stuff))


def _parts(
    source: Source, files: Sequence[Path], names: dict[str, None], stuff: set[str]
) -> Iterator[tuple[Path, str, list, Mapping[Any, dict], Mapping[Any, dict]]]:
    """Path, split, annotations, categories and images of each file; its class names join the others."""
    for path, split in zip(files, splits_of(files, source.path), strict=True):
        content = load_coco_json(str(path))
        categories = _classes_alone(index_categories(str(path), content), content)
        for category in categories.values():
            name = checked_name(category['name'], f'{path}: categories')
            names[name] = None
            if not category['isthing']:
                stuff.add(name)
        yield path, split, content['annotations'], categories, index_images(str(path), content)


def _files(source: Source, panoptic: bool) -> list[Path]:
    """The files to read; of a folder those that may be of instances, or of panoptic segments, not its captions or
    notes.
    """
    files = source.files('.json')
    if source.path.is_file():
        return files
    kept: dict[Path, list] = {}
    for path in files:
        content = load_json(str(path))
        if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in COCO_LISTS):
            source.problems.leave_out('are files without the lists images, annotations and categories', str(path))
        elif content['annotations'] and is_panoptic(content) != panoptic:
            kind = 'instances' if panoptic else 'panoptic segments'
            source.problems.leave_out(f'are files of {kind}, beside those that are read', str(path))
        else:
            kept[path] = content['images']
    for path in _wholes(kept):
        source.problems.leave_out('are what the files beside them divide', str(path))
        del kept[path]
    return [*kept] or files[:1]


def is_panoptic(content: Any) -> bool:
    """Whether the first annotation has segments in an image of their own."""
    rows = content.get('annotations')
    return isinstance(rows, list) and bool(rows) and isinstance(rows[0], dict) and 'segments_info' in rows[0]


def _wholes(images: Mapping[Path, list]) -> list[Path]:
    """Files that were divided into others beside them, as ``xdet data split`` leaves them, by the images of all."""

    def names(path: Path) -> list[str]:
        return sorted(str(image.get('file_name')) for image in images[path] if isinstance(image, dict))

    found = []
    for path in images:
        others = [other for other in images if other.parent == path.parent and other != path]
        if len(others) > 1 and names(path) == sorted(name for other in others for name in names(other)):
            found.append(path)
    return found


def _classes_alone(categories: dict[Any, dict], content: Mapping) -> dict[Any, dict]:
    """Without what is no class but the name of a group, which Roboflow lists among the classes."""
    numbers = (one.get('category_id') for one in content['annotations'] if isinstance(one, dict))
    used = {number for number in numbers if isinstance(number, (int, str))}
    groups = [one.get('supercategory') for one in categories.values() if one.get('supercategory') != one['name']]
    return {key: one for key, one in categories.items() if key in used or one['name'] not in groups}


def read_results(source: Source) -> AnnotatedSet:
    """Read a list of results, of the images and categories of another file.

    Raises:
        ValueError: It is no such list, or nobody said which file it is of.
    """
    path = source.path
    if source.of is None:
        raise ValueError(f'{path}: results name neither images nor classes; say which COCO file they are of by --of')
    of = load_coco_json(str(source.of), keys=('images', 'categories'))
    categories, entries = index_categories(str(source.of), of), index_images(str(source.of), of)
    rows = load_json(str(path))
    if not isinstance(rows, list):
        raise ValueError(f'{path}: is {shown(rows)}; COCO results are a list')
    segments: dict[Any, list[Segment]] = {number: [] for number in entries}
    for position, row in enumerate(rows):
        where = f'{path}: result {position} (counted from 0)'
        with source.problems.entry():
            image_id = require(row, 'image_id', ID, where)
            if image_id not in entries:
                raise ValueError(f'{where}: is of image {shown(image_id)}, which {source.of} does not list')
            require(row, 'score', float, where)
            segment = read_annotation(row, entries[image_id], categories, where)
            if segment is None:
                source.problems.leave_out('have neither a mask nor a box', where)
            else:
                segments[image_id].append(segment)
    names = tuple(category['name'].strip() for category in categories.values())
    return AnnotatedSet(names, tuple(_images(source, source.of, entries, segments, '')))


def read_annotation(annotation: Mapping, image: Mapping, categories: Mapping, where: str) -> Segment | None:
    """One annotation; None if it has neither an outline in its image nor a box.

    Raises:
        ValueError: It is damaged.
    """
    size = checked_size((image['height'], image['width']), where)
    category = check_category(where, categories, require(annotation, 'category_id', ID, where))
    outline = read_outline(annotation.get('segmentation'), size, where)
    box = None
    if given := require(annotation, 'bbox', list, where, []):
        if len(given) != 4:
            raise ValueError(f'{where}: bbox has {len(given)} numbers; it must be [x, y, width, height]')
        check_coordinates(given, None, f'{where}: bbox')
        box = (given[0], given[1], given[0] + given[2], given[1] + given[3])
    if outline is None and (box is None or min(given[2:]) <= 0):
        return None
    mask: EncodedMask | None = None
    polygons: tuple[Polygon, ...] = ()
    if isinstance(outline, dict):
        mask = as_plain(rasterize(outline, size))
    elif outline is not None:
        polygons = tuple(Polygon(np.array(points, float).reshape(-1, 2)) for points in outline)
    score = require(annotation, 'score', float, where, -1.0) if 'score' in annotation else None
    return Segment(
        categories[category]['name'].strip(),
        size,
        polygons,
        mask,
        box,
        is_crowd(annotation, where),
        score,
        require(annotation, 'attributes', dict, where, {}),
    )


def read_panoptic(source: Source) -> AnnotatedSet:
    """Read a panoptic JSON, or all of a folder, whose names are the splits; see ``panoptic_file`` for the PNGs.

    Raises:
        OSError, ValueError: A file is damaged or missing.
    """
    names: dict[str, None] = {}
    stuff: set[str] = set()
    images: list[AnnotatedImage] = []
    for path, split, rows, categories, entries in _parts(source, _files(source, panoptic=True), names, stuff):
        segments: dict[Any, list[Segment]] = {number: [] for number in entries}
        annotated: set[Any] = set()
        for position, annotation in enumerate(rows):
            where = f'{path}: annotation {position} (counted from 0)'
            with source.problems.entry():
                image_id = require(annotation, 'image_id', ID, where)
                if image_id not in entries:
                    raise ValueError(f'{where}: is of an image that the file does not list')
                if image_id in annotated:
                    raise ValueError(f'{where}: image {shown(image_id)} is annotated more than once')
                annotated.add(image_id)
                segments[image_id] += _read_map(annotation, entries[image_id], categories, path, where)
        images += _images(source, path, entries, segments, split)
    return AnnotatedSet(tuple(names), tuple(images), frozenset(stuff))


def _read_map(annotation: Mapping, image: Mapping, categories: Mapping, path: Path, where: str) -> list[Segment]:
    """Segments of an image of the panoptic task."""
    infos: dict[int, dict] = {}
    for info in require(annotation, 'segments_info', list, where):
        category = check_category(where, categories, require(info, 'category_id', ID, where))
        crowd = require(info, 'iscrowd', bool, where, False)
        number = require(info, 'id', int, where)
        if not 0 < number < 1 << 24 or number in infos:
            raise ValueError(
                f'{where}: a segment has the id {shown(number)}'
                + (', which another one has, too' if number in infos else f'; accepted are 1 to {(1 << 24) - 1}')
            )
        infos[number] = dict(id=number, label=0, category=category, crowd=crowd)
    size = checked_size((image['height'], image['width']), where)
    file = panoptic_file(path, require(annotation, 'file_name', str, where), where)
    indices, kept = read_panoptic_map(file, [*infos.values()])
    if indices.shape != size:
        raise ValueError(f'{where}: {file} has {indices.shape[::-1]} pixels, its image {size[::-1]} (w, h)')
    return [
        Segment(
            categories[info['category']]['name'].strip(),
            size,
            mask=encode_mask(indices == index),
            iscrowd=info['crowd'],
        )
        for index, info in enumerate(kept, start=1)
    ]


def _images(
    source: Source, path: Path, entries: Mapping[Any, dict], segments: Mapping[Any, list[Segment]], split: str
) -> Iterator[AnnotatedImage]:
    folders = source.image_folders(path)
    for number, entry in entries.items():
        with source.problems.entry():
            where = f'{path}: image {number}'
            file, found = source.image(file_name(str(path), entry), folders, where)
            size = checked_size((entry['height'], entry['width']), where)
            fields = {key: value for key, value in entry.items() if key not in _IMAGE_FIELDS}
            yield AnnotatedImage(file, size, tuple(segments[number]), split, found, fields)


def instance_files(data: AnnotatedSet, masks: bool = False) -> Iterator[tuple[str, Content]]:
    """One JSON per split. Polygons stay polygons, except those with holes, which COCO's cannot have."""
    for split in data.splits or ('',):
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for image in data.part(split).images:
            images.append(_image_entry(image, len(images) + 1))
            yield f'images/{image.file}', Path(image.path)
            for segment in image.segments:
                annotations.append(_annotation(segment, len(images), len(annotations) + 1, data.names, masks))
        content = dict(images=images, annotations=annotations, categories=_categories(data))
        yield f'{split or "instances"}.json', json_bytes(content)


def result_files(data: AnnotatedSet) -> Iterator[tuple[str, Content]]:
    """``results.json``, and ``images.json`` with the images and categories that it is of."""
    images, rows = [], []
    for number, image in enumerate(data.images, start=1):
        images.append(_image_entry(image, number))
        yield f'images/{image.file}', Path(image.path)
        for segment in image.segments:
            row = dict(
                image_id=number,
                category_id=data.names.index(segment.name) + 1,
                score=1.0 if segment.score is None else segment.score,
            )
            # With a box beside the mask, COCO's own code would take the area of the box.
            shape = dict(bbox=_box(segment)) if segment.rle is None else dict(segmentation=segment.rle)
            rows.append(dict(row, **shape))
    yield 'results.json', json_bytes(rows)
    yield 'images.json', json_bytes(dict(images=images, annotations=[], categories=_categories(data)))


def panoptic_files(data: AnnotatedSet) -> Iterator[tuple[str, Content]]:
    """One JSON and one folder of PNGs per split; of segments that overlap, the smaller one has the pixels."""
    for split in data.splits or ('',):
        stem = split or 'panoptic'
        images, annotations = [], []
        taken: set[str] = set()
        for number, image in enumerate(data.part(split).images, start=1):
            images.append(_image_entry(image, number))
            yield f'images/{image.file}', Path(image.path)
            indices = without_overlap(image)
            categories = [data.names.index(segment.name) + 1 for segment in image.segments]
            infos = describe_segments(indices, categories, [segment.iscrowd for segment in image.segments])
            file = unique_file(Path(image.file).with_suffix('.png').as_posix(), taken)
            annotations.append(dict(image_id=number, file_name=file, segments_info=infos))
            yield f'{stem}/{file}', png(panoptic_pixels(indices))
        content = dict(images=images, annotations=annotations, categories=_categories(data))
        yield f'{stem}.json', json_bytes(content)


def _image_entry(image: AnnotatedImage, number: int) -> dict[str, Any]:
    return dict(image.fields, id=number, file_name=image.file, height=image.size[0], width=image.size[1])


def _categories(data: AnnotatedSet) -> list[dict[str, Any]]:
    return [
        dict(id=number, name=name, **(dict(isthing=int(name not in data.stuff)) if data.stuff else {}))
        for number, name in enumerate(data.names, start=1)
    ]


def _annotation(segment: Segment, image_id: int, number: int, names: tuple[str, ...], masks: bool) -> dict[str, Any]:
    entry: dict[str, Any] = dict(
        id=number,
        image_id=image_id,
        category_id=names.index(segment.name) + 1,
        bbox=_box(segment),
        area=segment.area,
        iscrowd=int(segment.iscrowd),
    )
    rle = segment.rle
    if segment.polygons and not segment.iscrowd and not any(part.holes for part in segment.polygons) and not masks:
        entry['segmentation'] = [part.outer.reshape(-1).tolist() for part in segment.polygons]
    elif rle is not None:
        entry['segmentation'] = rle
    if segment.score is not None:
        entry['score'] = segment.score
    if segment.attributes:
        entry['attributes'] = dict(segment.attributes)
    return entry


def _box(segment: Segment) -> list[float]:
    x1, y1, x2, y2 = segment.bounds
    return [x1, y1, x2 - x1, y2 - y1]
