"""Accuracy of keypoints: PCK of the objects that were found, and COCO's average precision."""

from __future__ import annotations

import contextlib
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import from_numpy
from torchvision.ops import box_iou

from xdet.datasets.files.coco_keypoints import KeypointFile, KeypointObject
from xdet.io.reading import listed
from xdet.io.writing import write_json
from xdet.registry import METRICS
from xdet.tasks.pose_format import CocoPose, coco_poses

from .fields import check_finite, check_labels, field, name_of, require_results

COCO_SIGMAS = dict(
    nose=0.026, eye=0.025, ear=0.035, shoulder=0.079, elbow=0.072, wrist=0.062, hip=0.107, knee=0.087, ankle=0.089
)
"""How far annotations of a keypoint scatter, as a share of the size of a person; by the last word of its name."""

GROUPS = dict(AP=(None, 'all'), AP50=(0.5, 'all'), AP75=(0.75, 'all'), APm=(None, 'medium'), APl=(None, 'large'))
"""Reported means: threshold of the similarity (None: 0.5 to 0.95 in steps of 0.05), and range of areas."""


class Found(NamedTuple):
    """What became of the objects of an image: predictions as COCO's rows, and one entry per annotated object.

    ``correct`` has for each labelled keypoint whether it was right, nothing where the object was not found.
    """

    image_id: int | str
    rows: list[CocoPose]
    category_ids: list[int | str]
    found: list[bool]
    labelled: list[int]
    correct: list[list[bool]]


@METRICS.register_module()
class PoseAccuracy(BaseMetric):
    """PCK and OKS-AP of ``pred_poses``, in percent.

    ``PCK``: of the labelled keypoints of objects that were found, the share that was predicted within ``pck`` times the
    longer side of the object's box. An object is found by the best prediction of its class with a score of at least
    ``score_thr`` whose box overlaps its own by ``min_iou``, one object each. ``PCK_all`` counts the keypoints of other
    objects as wrong, ``found`` is the share of objects found; the objects are those with a labelled keypoint that are
    no crowd. ``PCK_<category>`` is that of one category.

    ``AP``, ``AP50``, ``AP75``, ``APm``, ``APl``: COCO's, by the similarity of keypoints (OKS), over all predictions and
    over the images that were evaluated; computed by COCO's evaluation code.

    Objects of categories that the vocabulary lacks are not counted, nor predictions of classes without keypoints.

    Args:
        ann_file (str): COCO annotation file with keypoints; images are recognised by the end of their path.
        keypoints (Sequence[str], optional): Names of the keypoints of the model, in their order; default is that of the
            file.
        pck (float): Tolerance as a share of the longer side of the box.
        min_iou (float): Least intersection over union of boxes.
        score_thr (float): Least score of a prediction that finds an object.
        sigmas (Mapping[str, float] | float, optional): Tolerance of OKS by keypoint, or by the last word of its name;
            one number for all. COCO's for people are known (:data:`COCO_SIGMAS`).
        result_file (str, optional): Write the predictions into this JSON file, in COCO's result format, with the ids of
            the annotation file.
        prefix (str, optional): Put before the names of the values.
        kwargs: Arguments of :class:`mmengine.evaluator.BaseMetric`.

    Raises:
        FileNotFoundError: There is no annotation file.
        ValueError: It is unusable, or an option is.
    """

    default_prefix = 'pose'
    result_types = (Found,)

    def __init__(
        self,
        ann_file: str,
        keypoints: Sequence[str] | None = None,
        pck: float = 0.2,
        min_iou: float = 0.5,
        score_thr: float = 0.3,
        sigmas: Mapping[str, float] | float | None = None,
        result_file: str | None = None,
        prefix: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(prefix=prefix, **kwargs)
        if result_file is not None and not result_file.endswith('.json'):
            raise ValueError(f'result_file is {result_file!r}; it must end in .json')
        self.file = KeypointFile(ann_file, keypoints)
        self.pck = pck
        self.min_iou = min_iou
        self.score_thr = score_thr
        self.sigmas = _sigmas(self.file.names, sigmas)
        self.result_file = result_file

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Compare the poses of a batch of images."""
        names = self.dataset_meta['vocabulary'].names
        ids = {name: number for number, name in self.file.categories.items()}
        for sample in data_samples:
            pred = field(sample, 'pred_poses')
            self._check(sample, pred, len(names))
            image = self.file.find(sample['img_path'])
            if image is None:
                raise ValueError(f'{name_of(sample)}: was evaluated but is not in {self.file.path}')
            objects = [found for found in image.objects if self.file.categories[found.category_id] in names]
            rows = coco_poses(pred, image.id, [ids.get(name) for name in names])
            self.results.append(self._compare(image.id, rows, objects))

    def compute_metrics(self, results: Sequence[Found]) -> dict[str, float]:
        """Average over all images, and write the file."""
        require_results(self, results)
        results = [Found(*result) for result in results]
        predictions = [row for result in results for row in result.rows]
        if self.result_file is not None:
            write_json(Path(self.result_file), predictions)
        groups: dict[str, list[tuple[bool, int, list[bool]]]] = defaultdict(list)
        for result in results:
            columns = zip(result.category_ids, result.found, result.labelled, result.correct, strict=True)
            for number, found, labelled, correct in columns:
                for name in ('', f'_{self.file.categories[number]}'):
                    groups[name].append((found, labelled, correct))
        summary = self._average_precision(predictions, [result.image_id for result in results])
        total = groups.pop('', [])
        summary['found'] = _percent(sum(found for found, _, _ in total), len(total))
        for name, rows in {'': total, **groups}.items():
            summary[f'PCK{name}'] = _percent(
                sum(map(sum, (correct for *_, correct in rows))), sum(labelled for found, labelled, _ in rows if found)
            )
        right = sum(sum(correct) for *_, correct in total)
        summary['PCK_all'] = _percent(right, sum(labelled for _, labelled, _ in total))
        print_log(f'PoseAccuracy: {len(total)} objects with keypoints in {len(results)} images', logger='current')
        return summary

    def _check(self, sample: dict, pred: Mapping[str, Any], num_classes: int) -> None:
        for key in ('scores', 'keypoints'):
            check_finite(sample, f'{key} of pose', pred[key])
        check_labels(sample, 'prediction', pred['labels'].tolist(), num_classes)
        if tuple(pred['keypoint_names']) != self.file.names:
            raise ValueError(
                f'{self.file.path}: has the keypoints {listed(self.file.names)}, but the model '
                f'{listed(pred["keypoint_names"])}; they must be the same, in the same order (keypoints=...)'
            )

    def _compare(self, image_id: int | str, rows: list[CocoPose], objects: Sequence[KeypointObject]) -> Found:
        counted = [found for found in objects if found.labelled and not found.crowd]
        match = match_boxes(rows, counted, self.min_iou, self.score_thr)
        correct: list[list[bool]] = []
        for found, row in zip(counted, match, strict=True):
            if row is None:
                correct.append([])
                continue
            points = np.reshape(rows[row]['keypoints'], (-1, 3))[:, :2]
            right = correct_keypoints(points, found.keypoints, self.pck * max(found.box[2:]))
            correct.append(right[found.keypoints[:, 2] > 0].tolist())
        return Found(
            image_id,
            rows,
            [found.category_id for found in counted],
            [row is not None for row in match],
            [found.labelled for found in counted],
            correct,
        )

    def _average_precision(self, predictions: list[CocoPose], image_ids: list[int | str]) -> dict[str, float]:
        """The :data:`GROUPS` in percent; NaN where nothing was to be found."""
        names = set(self.dataset_meta['vocabulary'].names)
        categories = sorted(number for number, name in self.file.categories.items() if name in names)
        evaluated = set(image_ids)
        annotations = [
            dict(
                id=0,
                image_id=image.id,
                category_id=found.category_id,
                keypoints=found.keypoints.flatten().tolist(),
                num_keypoints=found.labelled,
                bbox=list(found.box),
                area=found.area,
                iscrowd=int(found.crowd),
            )
            for image in self.file.images
            if image.id in evaluated
            for found in image.objects
        ]
        if not annotations or not predictions:
            value = 0.0 if annotations else float('nan')
            return dict.fromkeys(GROUPS, value)
        with contextlib.redirect_stdout(io.StringIO()):
            truth = COCO()
            # Ids from 1: COCOeval reads 0 as "no match".
            truth.dataset = dict(
                images=[dict(id=number) for number in sorted(evaluated, key=str)],
                annotations=[dict(row, id=number) for number, row in enumerate(annotations, start=1)],
                categories=[dict(id=number) for number in categories],
            )
            truth.createIndex()
            evaluation = COCOeval(truth, truth.loadRes([dict(row) for row in predictions]), 'keypoints')
            evaluation.params.kpt_oks_sigmas = self.sigmas
            evaluation.params.imgIds = list(dict.fromkeys(image_ids))
            evaluation.params.catIds = categories
            evaluation.evaluate()
            evaluation.accumulate()
        precision = evaluation.eval['precision'][..., -1]
        means = {}
        for name, (threshold, area) in GROUPS.items():
            part = precision[..., evaluation.params.areaRngLbl.index(area)]
            if threshold is not None:
                part = part[np.isclose(evaluation.params.iouThrs, threshold)]
            defined = part[part > -1]
            means[name] = 100 * float(defined.mean()) if defined.size else float('nan')
        return means


def match_boxes(
    rows: Sequence[CocoPose], objects: Sequence[KeypointObject], min_iou: float, score_thr: float
) -> list[int | None]:
    """For each object the row that finds it: by falling score, each row takes the best free object of its class."""
    taken: list[int | None] = [None] * len(objects)
    if not rows or not objects:
        return taken
    boxes = [np.array([one['bbox'] for one in rows]), np.array([found.box for found in objects], dtype=np.float64)]
    for own in boxes:
        own[:, 2:] += own[:, :2]
    overlaps = box_iou(*(from_numpy(own) for own in boxes)).numpy()
    for row in sorted(range(len(rows)), key=lambda row: -rows[row]['score']):
        free = [
            index
            for index, found in enumerate(objects)
            if taken[index] is None
            and found.category_id == rows[row]['category_id']
            and overlaps[row, index] >= min_iou
            and rows[row]['score'] >= score_thr
        ]
        if free:
            taken[max(free, key=lambda index: overlaps[row, index])] = row
    return taken


def correct_keypoints(points: NDArray[Any], truth: NDArray[Any], tolerance: float) -> NDArray[np.bool_]:
    """Whether points ``[K, 2]`` are within ``tolerance`` pixels of labelled ones ``[K, 3]``; False where unlabelled."""
    distances = np.linalg.norm(np.asarray(points, dtype=np.float64) - truth[:, :2], axis=1)
    return np.asarray((distances <= tolerance) & (truth[:, 2] > 0))


def _sigmas(names: Sequence[str], sigmas: Mapping[str, float] | float | None) -> NDArray[np.float64]:
    own = dict.fromkeys(names, float(sigmas)) if isinstance(sigmas, (int, float)) else dict(sigmas or {})
    known = {**COCO_SIGMAS, **own}
    found = {name: known.get(name, known.get(name.split('_')[-1].split(' ')[-1])) for name in names}
    if missing := [name for name, value in found.items() if value is None]:
        raise ValueError(
            f'PoseAccuracy: there is no sigma for the keypoint(s) {listed(missing)}; give sigmas=dict(NAME=...), or '
            'one number for all'
        )
    values = np.array([found[name] for name in names], dtype=np.float64)
    if not (np.isfinite(values) & (values > 0)).all():
        raise ValueError(f'PoseAccuracy: sigmas are {listed(values.tolist())}; accepted are positive numbers')
    return values


def _percent(part: float, whole: float) -> float:
    return 100 * part / whole if whole else float('nan')
