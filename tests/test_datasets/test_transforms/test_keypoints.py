"""Keypoints follow the pixels: through flips, resizing and crops, with left and right exchanged in mirrored images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mmcv.transforms
import numpy as np
import pytest
import torch
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from tiny.poses import KEYPOINTS, TinyPoses

from xdet.datasets.sets import CocoInstanceSegDataset
from xdet.datasets.transforms import LoadKeypoints
from xdet.datasets.transforms.keypoints import mirror_order


@pytest.fixture(scope='module')
def poses(tmp_path_factory: pytest.TempPathFactory) -> TinyPoses:
    init_default_scope('xdet')
    return TinyPoses(tmp_path_factory.mktemp('poses') / 'data', 2)


def run(poses: TinyPoses, *moves: Any, info: dict | None = None, **options: Any):
    load = dict(type='LoadKeypoints', ann_file=str(poses.keypoint_file))
    steps = [
        dict(type='LoadXDetImage'),
        dict(type='LoadSegments'),
        load,
        *moves,
        dict(type='PackXDetInputs', **options),
    ]
    return Compose(steps)(info or poses.sample())


MOVES = {
    'nothing': [],
    'flip': [dict(type='mmdet.RandomFlip', prob=1.0)],
    'vertical flip': [dict(type='mmdet.RandomFlip', prob=1.0, direction='vertical')],
    'half a turn': [dict(type='mmdet.RandomFlip', prob=1.0, direction='diagonal')],
    'flip with texts': [dict(type='RandomFlipWithTexts', prob=1.0)],
    'flip, then resize': [dict(type='RandomFlipWithTexts', prob=1.0), dict(type='mmdet.Resize', scale=(96, 96))],
    'resize': [dict(type='mmdet.Resize', scale=(128, 48), keep_ratio=False)],
    'shortest edge': [dict(type='ResizeShortestEdge', scale=96)],
    'jitter': [dict(type='LargeScaleJitter', size=(60, 60), scale_range=(1.0, 1.0))],
    'flip, then jitter': [
        dict(type='RandomFlipWithTexts', prob=1.0),
        dict(type='LargeScaleJitter', size=(64, 64), scale_range=(1.5, 1.5)),
    ],
}


@pytest.mark.parametrize('name', MOVES)
def test_points_stay_on_their_white_pixels(poses: TinyPoses, name: str) -> None:
    np.random.seed(3)
    packed = run(poses, *MOVES[name])
    image, segments = packed['inputs'].float(), packed['data_samples'].gt_segments
    [dog] = (segments.posed == 1).nonzero()[:, 0].tolist()
    points = segments.keypoints[dog]
    assert points[3].tolist() == [0, 0, 0] and segments.keypoint_names == KEYPOINTS
    labelled = points[points[:, 2] > 0]
    assert len(labelled) == 3 or 'jitter' in name
    for x, y, _ in labelled.tolist():
        row, column = (min(int(value), side - 1) for value, side in zip((y, x), image.shape[1:], strict=True))
        near = image[:, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
        assert near.amin(0).max() > 150, 'no white pixel nearby'
        assert segments.masks.expand()[dog, row, column]
    # Seen from the dog, its left eye is on the left of the way to its nose, wherever that points in the picture.
    if (points[:3, 2] > 0).all():
        left, right, nose = points[:3, :2].double()
        turn = torch.linalg.det(torch.stack([right - left, nose - left]))
        assert turn < 0


def test_points_outside_of_a_crop_become_unlabelled(poses: TinyPoses) -> None:
    seen = set()
    for seed in range(12):
        np.random.seed(seed)
        jitter = dict(type='LargeScaleJitter', size=(24, 24), scale_range=(3.0, 3.0), shared_offset=False)
        segments = run(poses, jitter, keep_empty=True)['data_samples'].gt_segments
        points = segments.keypoints[0]
        assert ((points[:, :2] >= 0) & (points[:, :2] <= 24)).all() and (points[points[:, 2] == 0] == 0).all()
        seen.add(int((points[:, 2] > 0).sum()))
    assert 0 in seen and len(seen) > 1


def test_which_segments_have_keypoints(poses: TinyPoses) -> None:
    segments = run(poses)['data_samples'].gt_segments
    names = [poses.panoptic['categories'][label]['name'] for label in segments.labels.tolist()]
    assert dict(zip(names, segments.posed.tolist(), strict=True)) == dict(dog=1, chair=0)
    info = poses.sample()
    box = poses.keypoints['annotations'][0]['bbox']
    poses.keypoints['annotations'][0]['bbox'] = [40, 30, 5, 5]  # somebody else
    try:
        poses.write()
        unknown = run(poses, info=info)['data_samples'].gt_segments
    finally:
        poses.keypoints['annotations'][0]['bbox'] = box
        poses.write()
    assert sorted(unknown.posed.tolist()) == [-1, 0] and not unknown.keypoints.any()


def test_images_that_the_file_does_not_list_have_segments_only(tmp_path: Path) -> None:
    init_default_scope('xdet')
    poses = TinyPoses(tmp_path / 'data', 2)
    poses.keypoints['images'] = poses.keypoints['images'][1:]
    poses.keypoints['annotations'] = poses.keypoints['annotations'][1:]
    poses.write()
    assert 'keypoints' not in run(poses)['data_samples'].gt_segments
    assert 'gt_poses' not in run(poses, test_mode=True)['data_samples']


def test_testing_gets_all_objects_in_pixels_of_the_file(tmp_path: Path) -> None:
    init_default_scope('xdet')
    poses = TinyPoses(tmp_path / 'data', 1)
    load = dict(type='LoadKeypoints', ann_file=str(poses.keypoint_file))
    steps = [dict(type='LoadXDetImage'), dict(type='ResizeShortestEdge', scale=96), dict(type='LoadSegments'), load]
    sample = Compose([*steps, dict(type='PackXDetInputs', test_mode=True)])(poses.sample())['data_samples']
    [dog] = poses.keypoints['annotations']
    np.testing.assert_array_equal(sample.gt_poses.keypoints[0].flatten(), dog['keypoints'])
    left, top, width, height = dog['bbox']
    assert sample.gt_poses.bboxes.tolist() == [[left, top, left + width, top + height]]
    assert sample.gt_poses.labels.tolist() == [0] and sample.gt_poses.keypoint_names == KEYPOINTS


@pytest.mark.parametrize(
    ('steps', 'message'),
    [
        ([mmcv.transforms.RandomFlip(prob=1.0)], 'without recording it as homography_matrix'),
        ([mmcv.transforms.Resize(scale=(32, 24))], 'without recording it as homography_matrix'),
        ([dict(type='mmdet.Resize', scale=(96, 96)), mmcv.transforms.RandomFlip(prob=1.0)], 'without recording it'),
    ],
)
def test_pixels_that_moved_unseen_are_an_error(poses: TinyPoses, steps: list, message: str) -> None:
    poses.write()
    with pytest.raises(ValueError, match=message) as info:
        run(poses, *steps)
    assert '0.png' in str(info.value) and '\n' not in str(info.value)


def test_order_of_transforms(poses: TinyPoses) -> None:
    load = dict(type='LoadKeypoints', ann_file=str(poses.keypoint_file))
    resize, segments = dict(type='mmdet.Resize', scale=(96, 96)), dict(type='LoadSegments')
    for steps in ([segments, resize, load], [load, segments]):
        pipeline = Compose([dict(type='LoadXDetImage'), *steps, dict(type='PackXDetInputs')])
        with pytest.raises(ValueError, match='put LoadKeypoints directly after LoadSegments'):
            pipeline(poses.sample())


def test_sizes_and_classes_that_do_not_fit(tmp_path: Path) -> None:
    init_default_scope('xdet')
    poses = TinyPoses(tmp_path / 'data', 1)
    poses.keypoints['images'][0].update(width=80)
    poses.write()
    with pytest.raises(ValueError, match=r'0.png: image is 64x48 pixels but its keypoints \(.*\) are for 80x48'):
        run(poses)
    poses.keypoints['images'][0].update(width=64)
    poses.keypoints['categories'][0]['name'] = 'unicorn'
    poses.write()
    with pytest.raises(ValueError, match='has keypoints of unicorn, none of which is among the classes .* dog, chair'):
        run(poses)


def test_what_a_flip_exchanges(poses: TinyPoses) -> None:
    assert LoadKeypoints(poses.write()).mirror.tolist() == [1, 0, 2, 3]
    assert mirror_order(['a', 'b', 'nose'], dict(a='b'), 'x.json').tolist() == [1, 0, 2]
    with pytest.raises(ValueError, match="x.json: the keypoint 'left_eye' has no counterpart 'right_eye'"):
        mirror_order(['left_eye', 'nose'], {}, 'x.json')


@pytest.fixture
def instances(tmp_path: Path) -> tuple[TinyPoses, dict]:
    """The file of keypoints with outlines, as COCO's own for people, read as instances."""
    init_default_scope('xdet')
    poses = TinyPoses(tmp_path / 'data', 1)
    [dog] = poses.keypoints['annotations']
    x, y, width, height = dog['bbox']
    dog['segmentation'] = [[x, y, x + width, y, x + width, y + height, x, y + height]]
    crowd = dict(dog, id=9, iscrowd=1, bbox=[50, 10, 10, 30], segmentation=[[50, 10, 60, 10, 60, 40, 50, 40]])
    poses.keypoints['annotations'] = [crowd, dog]
    path = poses.write()
    dataset = CocoInstanceSegDataset(
        ann_file=path, data_root=str(poses.root), data_prefix=dict(img='images'), serialize_data=False
    )
    return poses, dataset.get_data_info(0)


@pytest.mark.parametrize('flip', [0.0, 1.0])
def test_instances_have_keypoints_too(instances: tuple[TinyPoses, dict], flip: float) -> None:
    poses, info = instances
    moves = [dict(type='mmdet.RandomFlip', prob=flip), dict(type='mmdet.Resize', scale=(128, 96))]
    segments = run(poses, *moves, info=info)['data_samples'].gt_segments
    assert segments.posed.tolist() == [1], 'a crowd is no segment to learn'
    expected = np.reshape(poses.keypoints['annotations'][1]['keypoints'], (4, 3)).astype(float)
    if flip:
        expected = expected[[1, 0, 2, 3]]
        expected[:3, 0] = 64 - expected[:3, 0]
    expected[:, :2] *= 2
    np.testing.assert_allclose(segments.keypoints[0], expected, atol=1e-4)


def test_what_loses_segments_or_has_no_masks_is_an_error(instances: tuple[TinyPoses, dict]) -> None:
    poses, info = instances
    np.random.seed(0)
    crop = dict(type='mmdet.RandomCrop', crop_size=(20, 14), allow_negative_crop=True)
    with pytest.raises(ValueError, match='a transform left . of 2 segments'):
        for _ in range(20):
            run(poses, crop, info=dict(info))
    with pytest.raises(ValueError, match='keypoints need segments with masks'):
        run(poses, info=dict(info, boxes_only=True))
