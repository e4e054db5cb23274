"""How poses are asked and reported, and their form in COCO's result files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, cast

from xdet.registry import TASK_FORMATS
from xdet.structures import MaskResult, TaskFormat, XDetDataSample, mask_results

from .segmentation_format import NAMES


class Keypoint(TypedDict):
    """A point in pixels, and the probability that it can be seen."""

    name: str
    x: float
    y: float
    score: float


class Pose(MaskResult):
    """An object with its mask, its box and its points; ``keypoints`` has all of them, in the order of the model."""

    label: int
    name: str
    score: float
    keypoints: list[Keypoint]


class PoseResult(TypedDict):
    """Result of ``pose``, best first; ``skeleton`` are pairs of names that lines connect."""

    poses: list[Pose]
    skeleton: list[list[str]]


class CocoPose(TypedDict):
    """A row of COCO's result file of the task ``keypoints``."""

    image_id: int | str
    category_id: int | str
    keypoints: list[float]
    score: float
    bbox: list[float]


@TASK_FORMATS.register_module(name='pose')
class PoseFormat(TaskFormat):
    """Objects with keypoints, best first."""

    field = 'pred_poses'
    prompts = NAMES
    builds_on = ('instance',)

    def results(self, sample: XDetDataSample) -> PoseResult:
        """A pose per object, best first."""
        found = sample.pred_poses
        names = list(found.keypoint_names)
        poses = []
        for row, (label, score) in enumerate(zip(found.labels.tolist(), found.scores.tolist(), strict=True)):
            points = zip(names, found.keypoints[row].tolist(), found.keypoint_scores[row].tolist(), strict=True)
            pose = dict(
                label=label,
                name=sample.vocabulary.names[label],
                score=score,
                **mask_results(found.masks[row].numpy()),
                keypoints=[dict(name=name, x=x, y=y, score=share) for name, (x, y), share in points],
            )
            poses.append(cast(Pose, pose))
        return dict(poses=poses, skeleton=[[names[first], names[second]] for first, second in found.skeleton])

    def summary(self, prediction: Mapping[str, Any], score_thr: float) -> list[str]:
        """Every object with the keypoints that can probably be seen."""
        lines = []
        for pose in prediction['poses']:
            if pose['score'] >= score_thr:
                seen = [f'{point["name"]} {point["x"]:.0f},{point["y"]:.0f}' for point in visible_points(pose)]
                lines.append(f'{pose["name"]}  score {pose["score"]:.2f}  {len(seen)} keypoints: {"  ".join(seen)}')
        return lines or ['nothing found']


def visible_points(pose: Mapping[str, Any]) -> list[Keypoint]:
    """Points of a reported pose that can more probably be seen than not."""
    return [point for point in pose['keypoints'] if point['score'] >= VISIBLE]


VISIBLE = 0.5
"""Least probability of a point to be visible for it to be drawn, printed, and marked visible (2) in COCO's files."""


def coco_pose(pose: Mapping[str, Any], image_id: int | str, category_id: int | str) -> CocoPose:
    """A reported pose as a row of COCO's result file, whose keypoints are x, y, v in turn.

    Evaluation reads x and y of all points; v is 2 for those that can probably be seen, else 1.
    """
    points = [(point['x'], point['y'], 2 if point['score'] >= VISIBLE else 1) for point in pose['keypoints']]
    return dict(
        image_id=image_id,
        category_id=category_id,
        keypoints=[value for point in points for value in point],
        score=pose['score'],
        bbox=[float(side) for side in pose['bbox']],
    )


def coco_poses(
    found: Mapping[str, Any], image_id: int | str, category_ids: Sequence[int | str | None]
) -> list[CocoPose]:
    """Predicted poses of an image as rows of COCO's result file, see :func:`coco_pose`.

    Args:
        found (Mapping[str, Any]): Fields of ``pred_poses``.
        image_id (int | str): Id of the image.
        category_ids (Sequence[int | str | None]): Id of the category of each class; poses of classes without one are
            left out.
    """
    rows: list[CocoPose] = []
    for row, (label, score) in enumerate(zip(found['labels'].tolist(), found['scores'].tolist(), strict=True)):
        category = category_ids[label]
        if category is None:
            continue
        points = zip(found['keypoints'][row].tolist(), found['keypoint_scores'][row].tolist(), strict=True)
        left, top, right, bottom = found['bboxes'][row].tolist()
        pose = dict(
            score=score,
            bbox=[left, top, right - left, bottom - top],
            keypoints=[dict(x=x, y=y, score=share) for (x, y), share in points],
        )
        rows.append(coco_pose(pose, image_id, category))
    return rows
