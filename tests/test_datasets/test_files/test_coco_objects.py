"""One rule of what an annotation file says, for training and evaluation."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmengine.logging import MMLogger
from pycocotools import mask as mask_util
from tiny.mutation import mutated

from xdet.datasets.files import coco_objects
from xdet.datasets.files.coco_json import coco_classes, load_captions, load_coco_json, load_expressions
from xdet.datasets.files.coco_objects import read_objects
from xdet.evaluation import InstanceAP
from xdet.inference.names.calibration import read_cases
from xdet.io import warnings

SQUARE = [10, 10, 50, 10, 50, 40, 10, 40]
HEIGHT, WIDTH = 64, 96


def full_rle(compressed: bool = False) -> dict:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8, order='F')
    mask[10:40, 10:50] = 1
    rle = mask_util.encode(mask)
    if compressed:
        return dict(size=[HEIGHT, WIDTH], counts=rle['counts'].decode())
    edges = np.flatnonzero(np.diff(mask.ravel(order='F'))) + 1
    return dict(size=[HEIGHT, WIDTH], counts=np.diff([0, *edges, mask.size]).tolist())


def content(**change: Any) -> dict:
    """A file with two objects, of which the second is changed; ``key=...`` removes a key."""
    first = dict(id=4, image_id=0, category_id=1, segmentation=[SQUARE], bbox=[10, 10, 40, 30], area=1200, iscrowd=0)
    second = {key: value for key, value in {**first, 'id': 5, **change}.items() if value is not ...}
    return dict(
        images=[dict(id=0, file_name='0.png', height=HEIGHT, width=WIDTH), dict(id=1, height=2, width=2)],
        annotations=[first, second],
        categories=[dict(id=1, name='red box'), dict(id=2, name='blue box')],
    )


@pytest.mark.parametrize(
    'change',
    [
        dict(segmentation=SQUARE),
        dict(segmentation=[SQUARE, [1, 2, 3, 4], []]),
        dict(segmentation=full_rle()),
        dict(segmentation=full_rle(compressed=True)),
        dict(segmentation=[full_rle()]),
        dict(segmentation=[full_rle(compressed=True)] * 2),
        dict(bbox=None),
        dict(bbox=...),
        dict(bbox=[]),
        dict(bbox=[0, 0, 0, 0]),
        dict(area=None),
        dict(area=...),
        dict(area=0),
        dict(area=-1),
        dict(area=1e30),
        dict(area=float('nan')),
        dict(iscrowd=None),
        dict(iscrowd=...),
        dict(iscrowd=False),
        dict(id=None),
        dict(category_id=1.0),
    ],
    ids=str,
)
def test_forms_that_tools_write_are_the_same_object(change: dict) -> None:
    _, (plain, other) = read_objects('a.json', content(**change))
    masks = [mask_util.decode(_rle(found['segmentation'])) for found in (plain, other)]
    np.testing.assert_array_equal(*masks)
    assert {**other, 'segmentation': 0} == {**plain, 'segmentation': 0}


def _rle(outline: Any) -> dict:
    if isinstance(outline, list):
        return mask_util.merge(mask_util.frPyObjects(outline, HEIGHT, WIDTH))
    return mask_util.frPyObjects(outline, HEIGHT, WIDTH) if isinstance(outline['counts'], list) else outline


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        (dict(segmentation=[], area=0, bbox=[0, 0, 0, 0]), 'have no outline'),
        (dict(segmentation=None), 'have no outline'),
        (dict(segmentation=...), 'have no outline'),
        (dict(segmentation=[[1, 2]]), 'have no outline'),
        (dict(segmentation=[[100, 1, 110, 1, 110, 9]]), 'have no outline'),
        (dict(segmentation=[[-20, 1, -3, 1, -3, 9]]), 'have no outline'),
        (dict(segmentation=[[5, 5, 5, 5, 5, 5]], area=0), 'covers no pixel'),
        (dict(segmentation=[[0, 0, 20, 20, 40, 40]], area=1600, bbox=[0, 0, 40, 40]), 'covers no pixel'),
        (dict(segmentation=[[0, 5, 20, 5, 40, 5, 0, 5]], area=40, bbox=[0, 5, 40, 1]), 'covers no pixel'),
    ],
    ids=str,
)
def test_what_is_left_out_is_reported_once(change: dict, reason: str) -> None:
    warnings._reported.clear()
    logger = MMLogger.get_instance('left_out', logger_name='left_out')
    said: list[str] = []
    logger.addFilter(lambda record: said.append(record.getMessage()) or True)
    try:
        for _ in range(2):
            _, objects = read_objects('a.json', content(**change))
            assert len(objects) == 1
    finally:
        logger.filters.clear()
    assert len(said) == 1
    assert said[0].startswith('a.json: 1 annotations are left out: 1 ') and reason in said[0]
    assert 'annotation 5 of image 0' in said[0]


@pytest.mark.parametrize(
    ('change', 'says'),
    [
        (dict(segmentation=[[0, 0, float('inf'), 0, 5, 5]]), 'coordinate inf'),
        (dict(segmentation=[[0, 0, float('nan'), 0, 5, 5]]), 'coordinate nan'),
        (dict(segmentation=[[0, 0, 10**400, 0, 5, 5]]), 'coordinates must be finite'),
        (dict(segmentation=[[0, 0, 1e30, 0, 5, 5]]), 'far outside of the image of 96x64'),
        (dict(segmentation=[[0, 0, -1000, 0, 5, 5]]), 'far outside of the image of 96x64'),
        (dict(segmentation=[[0, 0, None, 0, 5, 5]]), 'coordinate null'),
        (dict(segmentation=[[0, 0, '7', 0, 5, 5]]), "coordinate '7'"),
        (dict(segmentation=[[0, 0, 1, 1, 2, 2, 3]]), 'polygon of 7 numbers'),
        (dict(segmentation=[[[0, 0], [5, 0], [5, 5]]]), 'coordinates must be finite numbers'),
        (dict(segmentation='x'), "segmentation is 'x'"),
        (dict(segmentation=[SQUARE, 5]), 'has 5 as polygon'),
        (dict(segmentation=dict(counts='x')), 'RLE of size null'),
        (dict(segmentation=dict(full_rle(), size=[WIDTH, HEIGHT])), r'RLE of size \[96, 64\]'),
        (dict(segmentation=dict(full_rle(), counts=None)), 'counts null'),
        (dict(segmentation=dict(full_rle(), counts=[5])), 'counts are for 5 pixels'),
        (dict(segmentation=dict(full_rle(), counts=[-5, 6149])), 'counts are damaged'),
        (dict(segmentation=dict(full_rle(), counts=[1.5, 6142.5])), 'counts are damaged'),
        (dict(segmentation=dict(full_rle(), counts='oooo')), 'counts are damaged'),
        (dict(segmentation=dict(full_rle(), counts='ü')), 'counts are damaged'),
        (dict(segmentation=dict(full_rle(), counts='')), 'counts are damaged'),
        (dict(segmentation=dict(full_rle(), counts='11')), 'counts are for 2 pixels'),
        (dict(bbox=[0, 0, float('nan'), 4]), 'bbox has the coordinate nan'),
        (dict(bbox=[0, 0, float('inf'), 4]), 'bbox has the coordinate inf'),
        (dict(bbox=[0, 0, 5]), 'bbox has 3 numbers'),
        (dict(bbox='x'), "'bbox' is 'x'"),
        (dict(area='5'), "'area' is '5'"),
        (dict(iscrowd=7), "'iscrowd' is 7; it must be 0 or 1"),
        (dict(category_id=None), "'category_id' is null"),
        (dict(category_id=9), 'category id 9, which the file does not list; its ids are 1, 2'),
        (dict(image_id=7), 'the file does not list that image'),
        (dict(image_id='0'), "'image_id' is '0', but its images have ids of another kind"),
        (dict(category_id='1'), "category id '1', which the file does not list; its ids are 1, 2"),
    ],
    ids=str,
)
def test_damage_is_named(change: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        read_objects('a.json', content(**change))
    assert str(caught.value).startswith(f'a.json: annotation 5 of image {change.get("image_id", 0)}')
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize('image_id', [None, ..., True, [1]], ids=str)
def test_annotation_of_no_image_is_named(image_id: Any) -> None:
    with pytest.raises(ValueError, match=r"a\.json: annotation 1 \(counted from 0\): 'image_id' is"):
        read_objects('a.json', content(image_id=image_id))


@pytest.mark.parametrize(
    ('change', 'says'),
    [
        (lambda c: c['images'].__setitem__(0, 5), r'image 0 \(counted from 0\): is 5; it must be an object'),
        (lambda c: c['images'][0].pop('id'), "'id' is missing"),
        (lambda c: c['images'][0].pop('height'), "image 0: 'height' is missing; .* in pixels"),
        (lambda c: c['images'][0].update(width=None), "image 0: 'width' is null"),
        (lambda c: c['images'][0].update(width=0), 'image 0: its size is 0x64'),
        (lambda c: c['images'][0].update(width=10**12), 'image 0: its size is 1000000000000x64'),
        (lambda c: c['images'][1].update(id=0), 'image id 0 appears more than once'),
        (lambda c: c['images'].append(dict(c['images'][0], width=50)), '0 appears .*, with the sizes 96x64 and 50x64'),
        (lambda c: c['categories'][1].update(name='red box'), "categories 1 and 2 are both called 'red box'"),
        (lambda c: c['categories'][1].update(name=''), 'every category needs a name'),
        (lambda c: c['categories'][1].update(name=None), "category 2: 'name' is null"),
        (lambda c: c['categories'][1].update(id=1), 'the id 1 appears more than once'),
        (lambda c: c['categories'][1].update(id='2'), 'must be of one kind'),
    ],
)
def test_damaged_lists_are_named(change: Callable[[dict], Any], says: str) -> None:
    broken = content()
    change(broken)
    with pytest.raises(ValueError, match=says) as caught:
        read_objects('a.json', broken)
    assert str(caught.value).startswith('a.json: ')


def test_one_file_as_several_images_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(coco_objects, 'warn_once', said.append)
    file = content()
    file['images'][1]['file_name'] = './0.png'
    read_objects('a.json', file)
    assert len(said) == 1 and said[0].startswith('a.json: 1 file(s) are listed as several images')


def test_ignored_objects_are_crowds() -> None:
    _, objects = read_objects('a.json', content(ignore=1))
    assert [found['iscrowd'] for found in objects] == [0, 1]


def test_boxes_alone() -> None:
    _, objects = read_objects('a.json', content(segmentation=..., area=...), boxes_only=True)
    assert [found['area'] for found in objects] == [1200, 1200.0]
    for box in ([1, 1, 0, 5], [97, 5, 10, 10], [-50, 5, 10, 10]):
        _, objects = read_objects('a.json', content(segmentation=..., bbox=box), boxes_only=True)
        assert len(objects) == 1


def test_metric_reads_the_same_objects(tmp_path: Path) -> None:
    broken = content(segmentation=[], area=0, bbox=[0, 0, 0, 0])
    path = tmp_path / 'a.json'
    path.write_text(json.dumps(broken))
    metric = InstanceAP(str(path))
    assert [found['bbox'] for found in metric.annotations.dataset['annotations']] == [[10, 10, 40, 30]]
    broken['annotations'][0]['segmentation'] = [[0, 0, float('inf'), 0, 5, 5]]
    path.write_text(json.dumps(broken))
    with pytest.raises(ValueError, match=r'a\.json: annotation 4 of image 0: segmentation has the coordinate inf'):
        InstanceAP(str(path))


def test_every_compressed_rle_is_read() -> None:
    generator = np.random.default_rng(0)
    for share in (0.0, 0.01, 0.5, 1.0):
        mask = np.asfortranarray(generator.random((37, 1001)) < share).astype(np.uint8)
        rle = mask_util.encode(mask)
        size = [37, 1001]
        change = dict(segmentation=dict(size=size, counts=rle['counts'].decode()), area=5)
        file = content(**change)
        file['images'][0].update(height=37, width=1001)
        _, objects = read_objects('a.json', file)
        np.testing.assert_array_equal(mask_util.decode(objects[1]['segmentation']), mask)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_files_load_or_are_named(tmp_path: Path, data: st.DataObject) -> None:
    valid = content(segmentation=data.draw(st.sampled_from([[SQUARE], full_rle(), full_rle(compressed=True)])))
    for annotation in valid['annotations']:
        annotation.update(sentences=[dict(raw='a box')], split='train')
    path = tmp_path / 'a.json'
    path.write_text(json.dumps(mutated(valid, data)))
    for read in (
        lambda: read_objects(str(path), load_coco_json(str(path))),
        lambda: read_objects(str(path), load_coco_json(str(path)), boxes_only=True),
        lambda: coco_classes(str(path), load_coco_json(str(path)), None),
        lambda: load_expressions(str(path), data.draw(st.sampled_from([None, ('train',)]))),
        lambda: InstanceAP(str(path)),
    ):
        try:
            read()
        except ValueError as error:
            assert str(path) in str(error) and '\n' not in str(error) and len(str(error)) < 1000


def test_empty_files_and_repeated_ids_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(coco_objects, 'warn_once', said.append)
    assert len(read_objects('a.json', content(id=4))[1]) == 2
    assert read_objects('b.json', dict(content(), annotations=[]))[1] == []
    assert [line[:80] for line in said] == [
        'a.json: 1 annotation id(s) are given more than once, the first is 4; all annotat',
        'b.json: has no annotation; there is nothing to learn from it, and nothing to fin',
    ]


@pytest.mark.parametrize('name', ['red\0box', 'red\x1b[31m', 'red\n'])
def test_names_of_categories_can_be_printed(name: str) -> None:
    wrong = dict(content(), categories=[dict(id=1, name=name)])
    with pytest.raises(ValueError, match="a.json: category 1: 'name': .* has characters that cannot be printed"):
        read_objects('a.json', wrong)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_files_of_texts_are_read_or_named(tmp_path: Path, data: st.DataObject) -> None:
    valid = content()
    for annotation in valid['annotations']:
        annotation.update(caption='a box')
    path = tmp_path / 'a.json'
    path.write_text(json.dumps(mutated(valid, data)))
    for read in (lambda: load_captions(str(path)), lambda: read_cases(path)):
        try:
            read()
        except ValueError as error:
            assert str(path) in str(error) and '\n' not in str(error) and len(str(error)) < 1000
