"""A PNG for every segment, with a list of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from xdet.datasets.exchange.annotated import AnnotatedImage, AnnotatedSet, Segment
from xdet.datasets.exchange.entries import checked_box, checked_name, checked_size, checked_split
from xdet.datasets.exchange.files import Content, json_bytes, unique_file
from xdet.datasets.exchange.maps import png
from xdet.datasets.exchange.source import Source, inner_path
from xdet.datasets.files.segment_maps import read_pixels
from xdet.io.reading import parse_json, read_text
from xdet.io.schema import require
from xdet.structures.masks.codes import encode_mask

LIST = 'segments.jsonl'


def read(source: Source) -> AnnotatedSet:
    """Read a folder with ``segments.jsonl``: one line per image.

    Raises:
        OSError, ValueError: A file is damaged or missing.
    """
    path = source.path / LIST if source.path.is_dir() else source.path
    names = dict.fromkeys(source.names)
    images = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        where = f'{path}: line {number}'
        with source.problems.entry():
            row = parse_json(line, where)
            if isinstance(row, dict) and 'names' in row:
                names.update({checked_name(str(name), where): None for name in require(row, 'names', list, where)})
                continue
            given = require(row, 'image', str, where)
            file, found = source.image(given, source.image_folders(path), f'{where}: image')
            size = checked_size((require(row, 'height', int, where), require(row, 'width', int, where)), where)
            segments = []
            for place, entry in enumerate(require(row, 'segments', list, where)):
                with source.problems.entry():
                    segments.append(_read_segment(entry, path, size, f'{where}: segment {place} (counted from 0)'))
            names.update(dict.fromkeys(segment.name for segment in segments))
            images.append(
                AnnotatedImage(
                    file, size, tuple(segments), checked_split(require(row, 'split', str, where, ''), where), found
                )
            )
    return AnnotatedSet(tuple(names), tuple(images))


def _read_segment(entry: dict, path: Path, size: tuple[int, int], where: str) -> Segment:
    name = checked_name(require(entry, 'name', str, where), where)
    box = require(entry, 'box', list, where, None)
    if box is not None:
        if len(box) != 4:
            raise ValueError(f'{where}: box has {len(box)} numbers; it must be [x1, y1, x2, y2]')
        checked_box(box, size, where)
    mask = None
    file = require(entry, 'file', str, where, None)
    if file is not None:
        pixels = read_pixels(str(path.parent / inner_path(file, f'{where}: file')))
        if pixels.shape != size:
            raise ValueError(f'{where}: {file} has the shape {pixels.shape}; its image has {size} (height, width)')
        mask = encode_mask(pixels > 0)
    elif box is None:
        raise ValueError(f'{where}: has neither a file nor a box')
    return Segment(
        name,
        size,
        mask=mask,
        box=None if box is None else (box[0], box[1], box[2], box[3]),
        iscrowd=require(entry, 'iscrowd', bool, where, False),
        score=require(entry, 'score', float, where, None),
        attributes=require(entry, 'attributes', dict, where, {}),
    )


def files(data: AnnotatedSet) -> Iterator[tuple[str, Content]]:
    """``masks/IMAGE/001_NAME.png``, black and white, ``segments.jsonl``, and the images below ``images/``."""
    lines = [json_bytes(dict(names=list(data.names)))]
    taken: set[str] = set()
    for image in data.images:
        folder = unique_file(f'masks/{Path(image.file).with_suffix("").as_posix()}', taken)
        rows = []
        for number, segment in enumerate(image.segments, start=1):
            row: dict = dict(name=segment.name, box=list(segment.bounds))
            if segment.rle is not None:
                word = re.sub(r'[^\w.-]+', '_', segment.name)[:40]
                row['file'] = f'{folder}/{number:03d}_{word}.png'
                yield row['file'], png(segment.array().astype(np.uint8) * 255)
            if segment.iscrowd:
                row['iscrowd'] = 1
            if segment.score is not None:
                row['score'] = segment.score
            if segment.attributes:
                row['attributes'] = dict(segment.attributes)
            rows.append(row)
        height, width = image.size
        entry = dict(image=image.file, height=height, width=width, segments=rows)
        lines.append(json_bytes(dict(entry, split=image.split) if image.split else entry))
        yield f'images/{image.file}', Path(image.path)
    yield LIST, b''.join(line + b'\n' for line in lines)
