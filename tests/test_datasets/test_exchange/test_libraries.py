"""The formats' own libraries read what xdet writes, and xdet reads what they write.

They are optional: without one of them its tests skip; `make test-libraries` has all of them.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock
from xml.etree import ElementTree

import numpy as np
import pytest
from pycocotools.coco import COCO
from tiny.annotated import masks
from tiny.libraries import library

from xdet.datasets.exchange import AnnotatedSet, read_annotations, write_annotations
from xdet.datasets.exchange.row_codes import decode_brush, encode_brush
from xdet.datasets.exchange.source import Source
from xdet.structures import decode_mask

DRAWN = 0.9
"""Least IoU of a large polygon that another library draws with its own rule: most add the pixels under the line."""


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / (first | second).sum())


def test_pycocotools(annotated: AnnotatedSet, tmp_path: Path) -> None:
    undivided = replace(annotated, images=tuple(replace(image, split='') for image in annotated.images))
    write_annotations(undivided, 'coco', tmp_path / 'coco')
    write_annotations(undivided, 'coco-results', tmp_path / 'results')
    coco = COCO(str(tmp_path / 'coco' / 'instances.json'))
    results = coco.loadRes(str(tmp_path / 'results' / 'results.json'))
    for place, image in enumerate(undivided.images, start=1):
        for other in (coco, results):
            rows = other.loadAnns(other.getAnnIds(imgIds=[place]))
            assert [coco.cats[row['category_id']]['name'] for row in rows] == [s.name for s in image.segments]
            for row, segment in zip(rows, image.segments, strict=True):
                assert (other.annToMask(row) == segment.array()).all() and row['area'] == segment.area


@pytest.fixture
def brush() -> ModuleType:
    """The module of brushes alone: its package loads a client for a server, and with it forty distributions."""
    library('label_studio_sdk', load=False)
    [folder] = importlib.util.find_spec('label_studio_sdk').submodule_search_locations
    spec = importlib.util.spec_from_file_location('brush', Path(folder) / 'converter' / 'brush.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_brushes_of_label_studio(brush: ModuleType) -> None:
    for mask in masks(97, 64):
        pixels = np.repeat(mask[..., None] * np.uint8(255), 4, axis=-1)
        theirs = brush.encode_rle(pixels.ravel())
        assert (decode_mask(decode_brush(theirs, mask.shape, 'it')) == mask).all()
        assert (brush.decode_rle(encode_brush(mask)).reshape(pixels.shape) == pixels).all()


def test_masks_of_cvat(annotated: AnnotatedSet, tmp_path: Path) -> None:
    library('cvat_sdk')
    from cvat_sdk.masks import decode_mask as decode
    from cvat_sdk.masks import encode_mask as encode

    write_annotations(annotated, 'cvat', tmp_path / 'a.xml')
    entries = ElementTree.parse(tmp_path / 'a.xml').getroot().findall('image')
    for image, entry in zip(annotated.images, entries, strict=True):
        for segment, shape in zip(image.segments, entry.findall('mask'), strict=True):
            left, top, width, height = (int(shape.get(key)) for key in ('left', 'top', 'width', 'height'))
            code = [*map(int, shape.get('rle').split(',')), left, top, left + width - 1, top + height - 1]
            assert code == encode(segment.array())
            drawn = decode(code, image_width=image.size[1], image_height=image.size[0])
            assert (drawn == segment.array()).all()


@pytest.fixture
def no_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """LabelMe's code for files is in one package with its window, for which Qt and its system libraries are needed."""
    for name in ('PyQt5', 'PyQt5.QtCore', 'PyQt5.QtGui', 'PyQt5.QtWidgets'):
        monkeypatch.setitem(sys.modules, name, MagicMock())


@pytest.mark.parametrize('kind', ['labelme', 'labelme-masks'])
def test_files_of_labelme(kind: str, no_window: None, annotated: AnnotatedSet, tmp_path: Path) -> None:
    files = library('labelme._label_file')
    from labelme.utils.shape import shape_to_mask

    write_annotations(annotated, kind, tmp_path / 'a')
    for image in annotated.images:
        path = tmp_path / 'a' / image.split / Path(image.file).with_suffix('.json')
        loaded = files.read_label_file(filename=str(path))
        assert loaded.image_path == image.file and loaded.image_data
        drawn: dict[Any, np.ndarray] = {}
        for number, shape in enumerate(loaded.shapes):
            if kind == 'labelme':
                mask = shape_to_mask(image.size, np.asarray(shape['points']).tolist(), shape['shape_type'])
            else:
                (x1, y1), (x2, y2) = np.asarray(shape['points']).astype(int)
                mask = np.zeros(image.size, bool)
                mask[y1 : y2 + 1, x1 : x2 + 1] = shape['mask']
            key = shape['label'], shape['group_id'] or -number
            drawn[key] = drawn.get(key, False) | mask
        assert [name for name, _ in drawn] == [segment.name for segment in image.segments]
        for mask, segment in zip(drawn.values(), image.segments, strict=True):
            exact = kind == 'labelme-masks'
            assert (mask == segment.array()).all() if exact else overlap(mask, segment.array()) > min_iou(segment)
        # Written by LabelMe, it is read again.
        files.LabelFile().save(
            str(path), json.loads(path.read_text())['shapes'], image.file, *image.size, loaded.image_data
        )
    again = read_annotations(Source(tmp_path / 'a'), 'labelme')
    assert sum(len(image.segments) for image in again.images) == 9


def min_iou(segment: Any) -> float:
    """A line around a few pixels is as large as they are."""
    return 0.7 if segment.area > 100 else 0.2


@pytest.mark.parametrize('kind', ['yolo-seg', 'coco', 'labelme', 'voc'])
def test_data_sets_of_supervision(kind: str, annotated: AnnotatedSet, tmp_path: Path) -> None:
    supervision = library('supervision')
    images = tuple(replace(image, split='train') for image in annotated.images)
    data = replace(annotated, images=images)
    out = tmp_path / 'a'
    write_annotations(data, kind, out)
    sets = supervision.DetectionDataset
    loaded = {
        'yolo-seg': lambda: sets.from_yolo(
            str(out / 'images/train'), str(out / 'labels/train'), str(out / 'data.yaml'), force_masks=True
        ),
        'coco': lambda: sets.from_coco(str(out / 'images'), str(out / 'train.json'), force_masks=True),
        'labelme': lambda: sets.from_labelme(str(out / 'train'), str(out / 'train'), force_masks=True),
        'voc': lambda: sets.from_pascal_voc(str(out / 'JPEGImages'), str(out / 'Annotations')),
    }[kind]()
    names = loaded.classes
    annotations = {Path(path).name: found for path, found in loaded.annotations.items()}
    for image in images:
        found = annotations[image.file]
        if kind == 'labelme':  # it knows no groups, so the second part of the ring is an object of its own
            assert {names[label] for label in found.class_id} == {segment.name for segment in image.segments}
            continue
        assert [names[label] for label in found.class_id] == [segment.name for segment in image.segments]
        for place, segment in enumerate(image.segments):
            assert np.abs(found.xyxy[place] - segment.bounds).max() <= 1.5
            if kind != 'voc':
                least = 1 if kind == 'coco' else min_iou(segment)
                assert overlap(found.mask[place], segment.array()) >= least
    # What supervision writes is read.
    written = tmp_path / 'b'
    written.mkdir()
    if kind == 'yolo-seg':
        loaded.as_yolo(str(written / 'images'), str(written / 'labels'), str(written / 'data.yaml'))
    elif kind == 'coco':
        loaded.as_coco(str(written / 'images'), str(written / 'a.json'))
    elif kind == 'labelme':
        loaded.as_labelme(str(written), str(written))
    else:
        loaded.as_pascal_voc(str(written / 'JPEGImages'), str(written / 'Annotations'))
    names_given = list(names) if kind == 'yolo-seg' else ()
    back = read_annotations(Source(written, names=names_given), kind)
    assert len(back.images) == 4
    for image in back.images:
        first = next(one for one in images if one.file == image.file)
        assert {s.name for s in image.segments} <= {s.name for s in first.segments}
        if first.segments and kind in ('coco', 'yolo-seg'):
            large = max(image.segments, key=lambda segment: segment.area)
            assert overlap(large.array(), first.segments[0].array()) > 0.7
