"""Keypoints of the objects in an image, and how they move with its pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.structures import InstanceData
from numpy.typing import NDArray
from scipy.ndimage import find_objects
from scipy.optimize import linear_sum_assignment
from torch import from_numpy
from torchvision.ops import box_iou

from xdet.datasets.files.coco_keypoints import KeypointFile, KeypointObject
from xdet.io.reading import listed
from xdet.registry import TRANSFORMS
from xdet.structures import Vocabulary

from .flipping import names_a_side, swap_sides


@TRANSFORMS.register_module()
class LoadKeypoints(BaseTransform):
    """Give the segments of a sample the keypoints of a COCO annotation file, which need not be the segments' own file.

    Images are recognised by the end of their path, the ``file_name`` of the annotation file; segments by their class
    and the overlap of their boxes. Put it directly after ``LoadSegments``: points follow the
    homography that transforms record, as all of mmdet's and xdet's do. A mirrored image has its left points on the
    right of the body, so a flip exchanges what names call left and right (``left_eye``, ``right_eye``). Points that
    cropping puts outside of the image become unlabelled.

    ``PackXDetInputs`` then gives ``gt_segments`` of training ``keypoints`` float ``[n, K, 3]`` (x, y and v, which is 0
    where a point is unlabelled) and ``posed`` int8 ``[n]``: 1, 0 where the class has no keypoints, -1 where nothing is
    known. Samples for testing get ``gt_poses``, for drawing; metrics read the file. Images that the file does not list
    get neither.

    Added keys: ``loaded_keypoints``.

    Args:
        ann_file (str): COCO annotation file whose categories declare ``keypoints``.
        keypoints (Sequence[str], optional): Names of the K keypoints in the order wanted, which must be that of the
            model; default is that of the file.
        mirrored (Mapping[str, str]): Names of keypoints that a flip exchanges, for those whose names do not say "left"
            and "right".
        min_iou (float): Least intersection over union of the boxes of a segment and of the object it is.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is unusable, or a keypoint of one side has no counterpart.
    """

    def __init__(
        self,
        ann_file: str,
        keypoints: Sequence[str] | None = None,
        mirrored: Mapping[str, str] | None = None,
        min_iou: float = 0.3,
    ) -> None:
        self.file = KeypointFile(ann_file, keypoints)
        self.mirror = mirror_order(self.file.names, mirrored or {}, ann_file)
        self.min_iou = min_iou

    def transform(self, results: dict) -> dict:
        """Add the keypoints of the segments, and all objects of the image for testing.

        Raises:
            ValueError: Segments are missing, or the annotation is for an image of another size.
        """
        vocabulary: Vocabulary = results['vocabulary']
        labels = self._labels(vocabulary)
        image = self.file.find(results['img_path'])
        if image is None:  # nothing is known about it
            return results
        if tuple(results['ori_shape'][:2]) != image.size:
            height, width = results['ori_shape'][:2]
            raise ValueError(
                f'{results["img_path"]}: image is {width}x{height} pixels but its keypoints ({self.file.path}) are for '
                f'{image.size[1]}x{image.size[0]}; they must be equal'
            )
        objects = [found for found in image.objects if found.category_id in labels]
        of_objects = [labels[found.category_id] for found in objects]
        segments, points, posed = _segments(results), None, None
        if segments is not None and results.get('homography_matrix') is None:
            points, posed = self._assign(objects, of_objects, *segments, set(labels.values()))
        results['loaded_keypoints'] = Keypoints(
            self.file.names, self.file.skeleton, self.mirror, objects, of_objects, image.size, points, posed
        )
        return results

    def _assign(
        self,
        objects: Sequence[KeypointObject],
        of_objects: Sequence[int],
        boxes: NDArray[np.float64],
        of_segments: NDArray[np.int64],
        posed_labels: set[int],
    ) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
        """Points ``[n, K, 3]`` of n segments, and whether each has keypoints: 1, 0, or -1 where that is not known."""
        points = np.zeros((len(boxes), len(self.file.names), 3), dtype=np.float32)
        posed = np.array([-1 if label in posed_labels else 0 for label in of_segments], dtype=np.int8)
        if not objects or not len(boxes):
            return points, posed
        own = np.array([found.box for found in objects])
        own[:, 2:] += own[:, :2]
        overlaps = box_iou(from_numpy(boxes), from_numpy(own)).numpy()
        overlaps[of_segments[:, None] != np.array(of_objects)] = 0
        for segment, found in zip(*linear_sum_assignment(-overlaps), strict=True):
            if overlaps[segment, found] >= self.min_iou and not objects[found].crowd and objects[found].labelled:
                points[segment], posed[segment] = objects[found].keypoints, 1
        return points, posed

    def _labels(self, vocabulary: Vocabulary) -> dict[int | str, int]:
        """Label of each category that the vocabulary has."""
        places = {name: label for label, name in enumerate(vocabulary.names)}
        known = {number: places[name] for number, name in self.file.categories.items() if name in places}
        if not known:
            raise ValueError(
                f'{self.file.path}: has keypoints of {listed(self.file.categories.values())}, none of which is among '
                f'the classes of the data set: {listed(vocabulary.names)}'
            )
        return known


def mirror_order(names: Sequence[str], mirrored: Mapping[str, str], where: str) -> NDArray[np.int64]:
    """Which keypoint each keypoint is in a mirrored image, ``[K]``.

    Raises:
        ValueError: The counterpart of a keypoint is not there.
    """
    others = {**mirrored, **{other: name for name, other in mirrored.items()}}
    order = []
    for name in names:
        other = others.get(name) or (swap_sides(name) if names_a_side(name) else name)
        if other not in names:
            raise ValueError(
                f'{where}: the keypoint {name!r} has no counterpart {other!r} for mirrored images; the keypoints are '
                f'{listed(names)}'
            )
        order.append(list(names).index(other))
    return np.array(order, dtype=np.int64)


@dataclass(frozen=True)
class Keypoints:
    """What :class:`LoadKeypoints` knows of a sample, in pixels of its file.

    Attributes:
        names (tuple[str, ...]): Names of the K keypoints.
        skeleton (tuple[tuple[int, int], ...]): Pairs of keypoints that lines connect.
        mirror (NDArray): int ``[K]``, which keypoint each is in a mirrored image.
        objects (Sequence[KeypointObject]): All objects of the image.
        labels (Sequence[int]): Their classes.
        size (tuple[int, int]): Height and width of the file.
        points (NDArray | None): float ``[n, K, 3]`` of every segment; None where the image was moved before.
        posed (NDArray | None): int8 ``[n]``: whether a segment has keypoints (1), has none (0), or may have some (-1).
    """

    names: tuple[str, ...]
    skeleton: tuple[tuple[int, int], ...]
    mirror: NDArray[np.int64]
    objects: Sequence[KeypointObject]
    labels: Sequence[int]
    size: tuple[int, int]
    points: NDArray[np.float32] | None
    posed: NDArray[np.int8] | None

    def moved(self, results: dict) -> NDArray[np.float32]:
        """Points ``[n, K, 3]`` of the segments in the image as it now is; unlabelled outside of it."""
        name = results.get('img_path')
        if self.points is None:
            raise ValueError(
                f'{name}: there are no segments whose keypoints are known; put LoadKeypoints directly after '
                'LoadSegments, before all that moves pixels'
            )
        shape = tuple(results['img'].shape[:2])
        recorded = results.get('homography_matrix')
        matrix = np.eye(3) if recorded is None else np.asarray(recorded, dtype=np.float64)
        mirrored = bool(np.linalg.det(matrix) < 0)
        flipped = bool(results.get('flip')) and results.get('flip_direction') != 'diagonal'
        if flipped != mirrored or (recorded is None and shape != self.size):
            raise ValueError(
                f'{name}: a transform moved the pixels without recording it as homography_matrix, so keypoints cannot '
                "follow; use mmdet's or xdet's transforms (mmdet.Resize, RandomFlipWithTexts, LargeScaleJitter)"
            )
        points = self.points[:, self.mirror] if mirrored else self.points.copy()
        places = np.concatenate([points[..., :2], np.ones_like(points[..., :1])], axis=-1) @ matrix.T
        points[..., :2] = places[..., :2] / places[..., 2:]
        outside = (points[..., :2] < 0) | (points[..., :2] > shape[::-1])
        points[outside.any(-1) | (points[..., 2] == 0)] = 0
        return points

    def add_to(self, segments: InstanceData, results: dict, rows: NDArray[np.bool_]) -> None:
        """Give packed segments, some rows of those that were loaded, their ``keypoints`` and ``posed``."""
        points = self.moved(results)
        if len(points) != len(rows):
            raise ValueError(
                f'{results.get("img_path")}: a transform left {len(rows)} of {len(points)} segments, without saying '
                'which ones, so keypoints cannot follow; LargeScaleJitter crops and keeps all of them'
            )
        assert self.posed is not None
        segments.keypoints = from_numpy(points[rows])
        segments.posed = from_numpy(self.posed[rows])
        segments.set_metainfo(dict(keypoint_names=self.names, skeleton=self.skeleton))

    def poses(self) -> InstanceData:
        """All objects with keypoints, in pixels of the file: ``keypoints``, ``bboxes`` (xyxy) and ``labels``."""
        kept = [index for index, found in enumerate(self.objects) if found.labelled and not found.crowd]
        boxes = np.array([self.objects[index].box for index in kept], dtype=np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        points = np.zeros((len(kept), len(self.names), 3), dtype=np.float32)
        for row, index in enumerate(kept):
            points[row] = self.objects[index].keypoints
        return InstanceData(
            metainfo=dict(keypoint_names=self.names, skeleton=self.skeleton),
            keypoints=from_numpy(points),
            bboxes=from_numpy(boxes),
            labels=from_numpy(np.array([self.labels[index] for index in kept], dtype=np.int64)),
        )


def _segments(results: dict) -> tuple[NDArray[np.float64], NDArray[np.int64]] | None:
    """Boxes ``[n, 4]`` (xyxy, zeros where there is no pixel) and labels of all segments with masks of a sample."""
    if 'gt_seg_map' in results:
        rows = results['segments_info']
        found = find_objects(results['gt_seg_map'].astype(np.int32), max_label=len(rows))
        boxes = [
            (0, 0, 0, 0) if box is None else (box[1].start, box[0].start, box[1].stop, box[0].stop) for box in found
        ]
        labels = np.array([segment['label'] for segment in rows], dtype=np.int64)
        return np.array(boxes, dtype=np.float64).reshape(-1, 4), labels
    if 'gt_masks' in results:
        labels = np.asarray(results['gt_bboxes_labels'], dtype=np.int64)
        return results['gt_bboxes'].tensor.numpy().astype(np.float64), labels
    return None
