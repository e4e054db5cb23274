"""Average precision of instances, computed by COCO's evaluation code."""

from __future__ import annotations

import contextlib
import io
import os.path as osp
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmdet.structures.mask import encode_mask_results
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from pycocotools import mask as mask_util
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from xdet.datasets.files.coco_json import load_coco_json
from xdet.datasets.files.coco_objects import read_objects
from xdet.datasets.files.outlines import rasterize
from xdet.registry import METRICS
from xdet.structures import Vocabulary

from .fields import check_finite, check_labels, distinct_names, field, name_of, require_results

GROUPS = dict(AP=(None, 0), AP50=(0.5, 0), AP75=(0.75, 0), APs=(None, 1), APm=(None, 2), APl=(None, 3))
"""Reported means: IoU threshold (None: 0.5 to 0.95 in steps of 0.05), and index of the range of areas."""

_PREFIXES = dict(segm='', bbox='box_')


@METRICS.register_module()
class InstanceAP(BaseMetric):
    """COCO's mask AP and box AP, in percent, with the category ids and images an open-vocabulary model needs.

    What mmdet's ``CocoMetric`` gives, but not rounded and with these differences:

    * Category ids follow from class *names*, in whatever order the vocabulary has them. Predictions of a class that the
      annotation file does not have (the stuff of a panoptic vocabulary) are left out; a thing it does not have is an
      error.
    * Precision is taken over the images that were evaluated, so a subset of a dataset gets its true value.
    * No predictions at all give zeros. Classes without ground truth do not count; means over nothing are NaN.

    Args:
        ann_file (str): COCO instance annotation file.
        metric (str | Sequence[str]): ``'segm'`` (``AP``, ``AP50``, ``AP75``, ``APs``, ``APm``, ``APl``), ``'bbox'``
            (``box_AP`` and so on) or both.
        classwise (bool): Also log a table of all classes, and report ``AP_<class>`` or ``box_AP_<class>``.
        gt_boxes (str): Box of an object: ``'annotations'``, what the file says, or ``'masks'``, the tight box of its
            mask, as the boxes of predictions are. Objects without a box always get the latter.
        prefix (str, optional): Put before the names of the values.
        kwargs: Arguments of :class:`mmengine.evaluator.BaseMetric`.

    Raises:
        FileNotFoundError: There is no annotation file.
        ValueError: An argument is unknown, or annotation file and vocabulary, or file and images, do not belong
            together.
    """

    default_prefix = 'instance'

    def __init__(
        self,
        ann_file: str,
        metric: str | Sequence[str] = ('segm', 'bbox'),
        classwise: bool = False,
        gt_boxes: str = 'annotations',
        prefix: str | None = None,
        **kwargs: Any,
    ) -> None:
        if not osp.isfile(ann_file):
            raise FileNotFoundError(f'{ann_file}: annotation file does not exist')
        super().__init__(prefix=prefix, **kwargs)
        metrics = [metric] if isinstance(metric, str) else list(metric)
        if not metrics or set(metrics) - set(_PREFIXES):
            raise ValueError(f'InstanceAP: metric is {metric}; accepted are {", ".join(_PREFIXES)} and both')
        if gt_boxes not in ('annotations', 'masks'):
            raise ValueError(f"InstanceAP: gt_boxes is '{gt_boxes}'; accepted are annotations, masks")
        content = load_coco_json(ann_file)
        of_masks = gt_boxes == 'masks'
        boxes_only = 'segm' not in metrics and not of_masks
        self.annotations = _index(content, *read_objects(ann_file, content, boxes_only=boxes_only), of_masks)
        self.ann_file = ann_file
        self.metrics = metrics
        self.classwise = classwise

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Encode the predictions of a batch of images."""
        num_classes = len(self.dataset_meta['vocabulary'])
        for sample in data_samples:
            pred = field(sample, 'pred_instances')
            check_finite(sample, 'score of instance', pred['scores'])
            check_labels(sample, 'prediction', pred['labels'].tolist(), num_classes)
            self._check_size(sample, tuple(pred['masks'].shape[-2:]))
            kept = {key: pred[key].cpu().numpy() for key in ('labels', 'scores', 'bboxes')}
            if 'segm' in self.metrics:
                kept['masks'] = encode_mask_results(pred['masks'].cpu().numpy())
            self.results.append((sample['img_id'], kept))

    def compute_metrics(self, results: Sequence[tuple[Any, dict]]) -> dict[str, float]:
        """Evaluate the predictions of all images.

        Raises:
            ValueError: There is no image, or the annotation file lacks a class.
        """
        require_results(self, results)
        image_ids = [image_id for image_id, _ in results]
        id_of_label = self._categories()
        summary: dict[str, float] = {}
        for metric in self.metrics:
            predictions = [row for result in results for row in _rows(*result, id_of_label, metric)]
            if not predictions:
                print_log('InstanceAP: no instance of any class was predicted', logger='current')
            precision = coco_precision(self.annotations, predictions, image_ids, _known(id_of_label), metric)
            summary.update({_PREFIXES[metric] + name: value for name, value in _means(precision).items()})
            if self.classwise:
                self._report_classes(metric, precision, id_of_label, summary)
        return summary

    def _check_size(self, sample: dict, size: tuple[int, ...]) -> None:
        image = self.annotations.imgs.get(sample['img_id'])
        if image is None:
            raise ValueError(
                f'{self.ann_file}: image {sample["img_id"]} was evaluated but is not in the annotation file'
            )
        annotated = (image['height'], image['width'])
        if annotated != size:
            raise ValueError(
                f'{name_of(sample)}: predicted masks are {size} but {self.ann_file} says {annotated} (height, width); '
                'they must be in the original resolution'
            )

    def _categories(self) -> list[int | None]:
        """Category id of every label, None where the annotation file has none."""
        vocabulary: Vocabulary = self.dataset_meta['vocabulary']
        id_of_name = {category['name']: category['id'] for category in self.annotations.dataset['categories']}
        absent = [name for name in vocabulary.things if name not in id_of_name]
        if absent:
            raise ValueError(
                f'{self.ann_file}: has no category for the class(es) {", ".join(absent)}; '
                f'its categories are {", ".join(id_of_name)}'
            )
        return [id_of_name.get(name) for name in vocabulary.names]

    def _report_classes(
        self, metric: str, precision: np.ndarray, id_of_label: Sequence[int | None], summary: dict[str, float]
    ) -> None:
        position = {category: index for index, category in enumerate(_known(id_of_label))}
        lines = [f'{metric + " of class":<32}' + ''.join(f'{name:>8}' for name in GROUPS)]
        for name, category in zip(distinct_names(self.dataset_meta['vocabulary'].names), id_of_label, strict=True):
            if category is None:
                continue
            means = _means(precision[:, :, [position[category]]])
            lines.append(f'{name:<32}' + ''.join(f'{value:8.2f}' for value in means.values()))
            if not np.isnan(means['AP']):
                summary[f'{_PREFIXES[metric]}AP_{name}'] = means['AP']
        print_log('\n' + '\n'.join(lines), logger='current')


def coco_precision(
    ground_truth: COCO, predictions: list[dict], image_ids: Sequence, category_ids: Sequence[int], metric: str
) -> np.ndarray:
    """Run COCO's evaluation.

    Args:
        ground_truth (COCO): All annotations.
        predictions (list[dict]): ``image_id``, ``category_id``, ``score`` and ``bbox`` or ``segmentation``.
        image_ids (Sequence): Images to evaluate.
        category_ids (Sequence[int]): Categories to evaluate, in ascending order.
        metric (str): ``'segm'`` or ``'bbox'``.

    Returns:
        np.ndarray: float ``[10 IoU thresholds, 101 recalls, categories, 4 ranges of area]`` precision for at most 100
        predictions per image and class, -1 where there is no ground truth.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        if predictions:
            detections = ground_truth.loadRes(predictions)
        else:  # loadRes looks at the first prediction
            detections = COCO()
            detections.dataset = dict(ground_truth.dataset, annotations=[])
            detections.createIndex()
        evaluation = COCOeval(ground_truth, detections, metric)
        evaluation.params.imgIds = list(image_ids)
        evaluation.params.catIds = list(category_ids)
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval['precision'][..., -1]


def _means(precision: np.ndarray) -> dict[str, float]:
    """The :data:`GROUPS` of :func:`coco_precision` in percent, NaN where nothing was to be found."""
    thresholds = np.linspace(0.5, 0.95, len(precision))
    means = {}
    for name, (threshold, area) in GROUPS.items():
        part = precision if threshold is None else precision[np.isclose(thresholds, threshold)]
        defined = part[..., area][part[..., area] > -1]
        means[name] = 100 * float(defined.mean()) if defined.size else float('nan')
    return means


def _known(id_of_label: Sequence[int | None]) -> list[int]:
    return sorted({category for category in id_of_label if category is not None})


def _rows(image_id: Any, pred: dict, id_of_label: Sequence[int | None], metric: str) -> list[dict]:
    """Predictions of one image in COCO's result format."""
    rows = []
    for index, (label, score) in enumerate(zip(pred['labels'].tolist(), pred['scores'].tolist(), strict=True)):
        category = id_of_label[label]
        if category is None:
            continue
        row = dict(image_id=image_id, category_id=category, score=score)
        if metric == 'bbox':
            x1, y1, x2, y2 = pred['bboxes'][index].tolist()
            row['bbox'] = [x1, y1, x2 - x1, y2 - y1]
        else:
            row['segmentation'] = pred['masks'][index]
        rows.append(row)
    return rows


def _index(content: dict, images: dict, objects: list[dict], boxes_of_masks: bool) -> COCO:
    """What COCO's evaluation reads."""
    for found in objects if boxes_of_masks else ():
        size = (images[found['image_id']]['height'], images[found['image_id']]['width'])
        found['bbox'] = mask_util.toBbox(rasterize(found['segmentation'], size)).tolist()
    annotations = COCO()
    # COCOeval writes the id of a matched object and reads 0 as "no match", so it never finds an object whose id is 0.
    numbered = [dict(found, id=number) for number, found in enumerate(objects, start=1)]
    annotations.dataset = dict(content, images=list(images.values()), annotations=numbered)
    with contextlib.redirect_stdout(io.StringIO()):
        annotations.createIndex()
    return annotations
