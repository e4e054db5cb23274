"""Average precision of instances, computed by COCO's evaluation code through mmdet."""

from __future__ import annotations

import os.path as osp
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmdet.evaluation import CocoMetric
from mmengine.logging import print_log

from xdet.registry import METRICS
from xdet.structures import Vocabulary

from .fields import field

AP_ITEMS = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')
"""Values that mmdet reports by default."""


@METRICS.register_module()
class InstanceAP(CocoMetric):
    """mmdet's ``CocoMetric`` with the category ids and images an open-vocabulary model needs.

    * Category ids follow from class *names*, in whatever order the vocabulary has them. Predictions of a class that the
      annotation file does not have (the stuff of a panoptic vocabulary) are left out; a thing it does not have is an
      error.
    * Precision is taken over the images that were evaluated, so a subset of a dataset gets its true value.
    * No predictions at all give zeros instead of no values.

    Args:
        ann_file (str): COCO instance annotation file.
        metric (str | Sequence[str]): ``'segm'``, ``'bbox'`` or both.
        prefix (str, optional): Put before the names of the values.
        kwargs: Arguments of :class:`mmdet.evaluation.CocoMetric`.

    Raises:
        FileNotFoundError: There is no annotation file.
        ValueError: Annotation file and vocabulary, or file and images, do not belong together.
    """

    default_prefix = 'instance'

    def __init__(
        self,
        ann_file: str,
        metric: str | Sequence[str] = ('segm', 'bbox'),
        prefix: str | None = None,
        **kwargs: Any,
    ) -> None:
        if not osp.isfile(ann_file):
            raise FileNotFoundError(f'{ann_file}: annotation file does not exist')
        metrics = [metric] if isinstance(metric, str) else list(metric)
        try:
            super().__init__(ann_file=ann_file, metric=metrics, prefix=prefix, **kwargs)
        except (ValueError, AssertionError, TypeError) as error:
            raise ValueError(f'{ann_file}: not a COCO annotation file ({error})') from error
        self.ann_file = ann_file
        for annotation in self._coco_api.dataset.get('annotations', ()):
            annotation.setdefault('iscrowd', 0)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Encode the predictions of a batch of images."""
        for sample in data_samples:
            field(sample, 'pred_instances')
        super().process(data_batch, data_samples)

    def compute_metrics(self, results: list[tuple[dict, dict]]) -> dict[str, float]:
        """Evaluate the predictions of all images.

        Returns:
            dict[str, float]: ``<metric>_mAP`` and so on in 0..1, rounded to three digits as mmdet reports them.
        """
        self.img_ids = [gt['img_id'] for gt, _ in results]
        unknown = sorted(set(self.img_ids) - set(self._coco_api.get_img_ids()), key=str)
        if unknown:
            raise ValueError(f'{self.ann_file}: image {unknown[0]} was evaluated but is not in the annotation file')
        self.cat_ids, position = self._categories()
        kept = [(gt, _relabel(pred, position)) for gt, pred in results]
        if not any(len(pred['labels']) for _, pred in kept):
            print_log('no instance of any class was predicted', logger='current')
            return {f'{metric}_{item}': 0.0 for metric in self.metrics for item in self.metric_items or AP_ITEMS}
        return super().compute_metrics(kept)

    def _categories(self) -> tuple[list[int], np.ndarray]:
        """Category ids of the classes that the annotation file has, and each label's position there, -1 for none."""
        vocabulary: Vocabulary = self.dataset_meta['vocabulary']
        id_of_name = {category['name']: category['id'] for category in self._coco_api.dataset['categories']}
        absent = [name for name in vocabulary.things if name not in id_of_name]
        if absent:
            raise ValueError(
                f'{self.ann_file}: has no category for the class(es) {", ".join(absent)}; '
                f'its categories are {", ".join(id_of_name)}'
            )
        ids = [id_of_name.get(name) for name in vocabulary.names]
        cat_ids = list(dict.fromkeys(cat_id for cat_id in ids if cat_id is not None))
        return cat_ids, np.array([-1 if cat_id is None else cat_ids.index(cat_id) for cat_id in ids])


def _relabel(pred: dict, position: np.ndarray) -> dict:
    """``pred`` with labels replaced by their ``position``, without the predictions that have none."""
    labels = position[pred['labels']]
    kept = np.flatnonzero(labels >= 0)
    relabelled = {**pred, 'labels': labels[kept]}
    for key in ('bboxes', 'scores', 'mask_scores'):
        if key in pred:
            relabelled[key] = pred[key][kept]
    if 'masks' in pred:
        relabelled['masks'] = [pred['masks'][index] for index in kept]
    return relabelled
