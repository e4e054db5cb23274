"""Files of keypoints: what is read, and the one line that each mistake gets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny.mutation import mutated
from tiny.poses import KEYPOINTS, TinyPoses

from xdet.datasets.files import coco_keypoints, left_out
from xdet.datasets.files.coco_keypoints import KeypointFile


@pytest.fixture
def poses(tmp_path: Path) -> TinyPoses:
    return TinyPoses(tmp_path / 'data', 2)


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    for module in (coco_keypoints, left_out):
        monkeypatch.setattr(module, 'warn_once', said.append)
    return said


def test_points_by_name_of_the_file(poses: TinyPoses) -> None:
    file = KeypointFile(str(poses.keypoint_file))
    assert file.names == KEYPOINTS and file.skeleton == ((0, 2), (1, 2), (2, 3)) and file.categories == {1: 'dog'}
    image = file.find('/somewhere/else/1.png')
    assert image is not None and image.id == 101 and image.size == (48, 64)
    assert file.find('/somewhere/else/11.png') is None
    [dog] = image.objects
    expected = np.reshape(poses.keypoints['annotations'][1]['keypoints'], (4, 3))
    np.testing.assert_array_equal(dog.keypoints, expected)
    assert dog.labelled == 3 and not dog.crowd


def test_points_in_the_order_asked_for(poses: TinyPoses) -> None:
    order = [2, 0]
    file = KeypointFile(str(poses.keypoint_file), [KEYPOINTS[index] for index in order])
    whole = KeypointFile(str(poses.keypoint_file))
    np.testing.assert_array_equal(file.images[0].objects[0].keypoints, whole.images[0].objects[0].keypoints[order])
    assert file.skeleton == ((1, 0),)


def test_categories_with_keypoints_of_their_own(poses: TinyPoses) -> None:
    poses.keypoints['categories'].append(dict(id=2, name='bird', keypoints=['nose', 'wing']))
    poses.keypoints['annotations'].append(
        dict(id=9, image_id=100, category_id=2, keypoints=[4, 5, 1, 6, 7, 2], bbox=[1, 1, 9, 9])
    )
    file = KeypointFile(poses.write())
    assert file.names == (*KEYPOINTS, 'wing')
    points = file.images[0].objects[1].keypoints
    assert points[2].tolist() == [4, 5, 1] and points[4].tolist() == [6, 7, 2] and points[[0, 1, 3]].sum() == 0


@pytest.mark.parametrize(
    ('point', 'kept'), [((0, 0), True), ((64, 48), True), ((65, 4), False), ((-1, 4), False), ((3, 1e300), False)]
)
def test_points_outside_become_unlabelled_and_are_told(
    poses: TinyPoses, point: tuple[float, float], kept: bool, logged: list[str]
) -> None:
    poses.keypoints['annotations'][0]['keypoints'][9:] = [*point, 2]
    poses.keypoints['annotations'][0]['num_keypoints'] = 4
    [dog] = KeypointFile(poses.write()).images[0].objects
    assert dog.labelled == 3 + kept
    lines = [line for line in logged if 'outside of their image' in line]
    assert len(lines) == (not kept) and all('tail of annotation 1 of image 100' in line for line in lines)


def test_a_wrong_count_is_told_and_not_used(poses: TinyPoses, logged: list[str]) -> None:
    poses.keypoints['annotations'][1]['num_keypoints'] = 17
    assert KeypointFile(poses.write()).images[1].objects[0].labelled == 3
    [line] = [line for line in logged if 'num_keypoints' in line]
    assert 'annotation 2 of image 101 has 3 but says 17' in line and '\n' not in line


def change(content: dict, path: tuple, value: Any) -> None:
    for key in path[:-1]:
        content = content[key]
    content[path[-1]] = value


@pytest.mark.parametrize(
    ('path', 'value', 'message'),
    [
        (('annotations', 0, 'keypoints'), [1, 2, 2] * 3, 'has 9 numbers, but the category declares 4 keypoints; .* 12'),
        (('annotations', 0, 'keypoints'), [1, 2, 2] * 5, 'has 15 numbers'),
        (('annotations', 0, 'keypoints'), [1, 2, 3] * 4, 'the visibility 3; accepted are 0'),
        (('annotations', 0, 'keypoints'), [1, '2', 2] * 4, "a number in 'keypoints' is '2'"),
        (('annotations', 0, 'keypoints'), [1, float('nan'), 2] * 4, "a number in 'keypoints' is nan"),
        (('annotations', 0, 'keypoints'), 'left', "'keypoints' is 'left'; it must be a list"),
        (('annotations', 0, 'num_keypoints'), 'three', "'num_keypoints' is 'three'"),
        (('annotations', 0, 'image_id'), 5, 'the file does not list that image'),
        (('annotations', 0, 'category_id'), 5, 'category id 5'),
        (('categories', 0, 'keypoints'), [], "no category has a list 'keypoints'"),
        (('categories', 0, 'keypoints'), ['a', 'a', 'b', 'c'], "has 'a' more than once"),
        (('categories', 0, 'keypoints'), ['a', '', 'b', 'c'], "'keypoints' has ''; it must be a list of names"),
        (('categories', 0, 'skeleton'), [[1, 5]], r'has \[1, 5\]; its 4 keypoints are counted from 1'),
        (('categories', 0, 'skeleton'), [[0, 1]], r'has \[0, 1\]'),
        (('categories', 0, 'skeleton'), [[1, 2, 3]], 'must be a list of pairs'),
        (('categories', 0, 'skeleton'), [['a', 'b']], "a number in 'skeleton' is 'a'"),
    ],
)
def test_mistakes_get_one_line(poses: TinyPoses, path: tuple, value: Any, message: str) -> None:
    change(poses.keypoints, path, value)
    with pytest.raises(ValueError, match=message) as info:
        KeypointFile(poses.write())
    assert 'keypoints.json' in str(info.value) and '\n' not in str(info.value)


def test_keypoints_of_a_category_that_declares_none(poses: TinyPoses) -> None:
    poses.keypoints['categories'].append(dict(id=2, name='cat'))
    poses.keypoints['annotations'][1]['category_id'] = 2
    with pytest.raises(ValueError, match=r'annotation 2 of image 101 \(cat\): has keypoints, but its category has no'):
        KeypointFile(poses.write())


def test_unknown_names(poses: TinyPoses) -> None:
    with pytest.raises(ValueError, match=r'no category has the keypoint\(s\) wing; there are left_eye'):
        KeypointFile(poses.write(), ['nose', 'wing'])
    with pytest.raises(FileNotFoundError, match='annotation file does not exist'):
        KeypointFile(str(poses.root / 'absent.json'))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_files_are_read_or_named(poses: TinyPoses, data: st.DataObject) -> None:
    path = poses.keypoint_file.with_name('mutated.json')
    path.write_text(json.dumps(mutated(poses.keypoints, data)))
    try:
        KeypointFile(str(path))
    except ValueError as error:
        assert str(path) in str(error) and '\n' not in str(error) and len(str(error)) < 1000
