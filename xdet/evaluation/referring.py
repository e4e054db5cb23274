"""Referring segmentation: how well the mask of each phrase is found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from mmengine.evaluator import BaseMetric

from xdet.registry import METRICS

from .fields import field, name_of, require_results

Areas = tuple[int, int]
"""Pixels of intersection and union of one phrase's masks."""


def iou(areas: Areas) -> float:
    """IoU of one phrase; nothing predicted where there is nothing to be found is right, hence 1."""
    intersection, union = areas
    return intersection / union if union else 1.0


def summarise_iou(areas: Sequence[Areas], thresholds: Sequence[float]) -> dict[str, float]:
    """``cIoU``, ``mIoU`` and ``P@t`` in percent from the areas of all phrases; sums do not depend on their order."""
    values = [iou(pair) for pair in areas]
    intersection, union = (sum(column) for column in zip(*areas, strict=True))
    summary = dict(cIoU=100 * iou((intersection, union)), mIoU=100 * math.fsum(values) / len(values))
    for threshold in thresholds:
        summary[f'P@{threshold:g}'] = 100 * sum(value >= threshold for value in values) / len(values)
    return summary


@METRICS.register_module()
class ReferringIoU(BaseMetric):
    """IoU of ``pred_phrases`` against ``gt_phrases``, in percent; every phrase counts once.

    ``cIoU`` (sum of intersections over sum of unions, so large masks count more; called oIoU elsewhere), ``mIoU`` (mean
    of the phrases' IoU) and ``P@t`` (share of phrases whose IoU is t or more, as in the official evaluation). If
    samples name ``phrase_kinds``, also ``cIoU_<kind>`` and ``mIoU_<kind>``.

    Args:
        thresholds (Sequence[float]): The t of ``P@t``.
        prefix (str, optional): Put before the names of the values.
        kwargs: Arguments of :class:`mmengine.evaluator.BaseMetric`.
    """

    default_prefix = 'referring'

    def __init__(
        self,
        thresholds: Sequence[float] = (0.5, 0.6, 0.7, 0.8, 0.9),
        prefix: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(prefix=prefix, **kwargs)
        self.thresholds = tuple(thresholds)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count the pixels of a batch of images."""
        for sample in data_samples:
            gt, pred = (field(sample, name)['masks'] for name in ('gt_phrases', 'pred_phrases'))
            if gt.shape != pred.shape:
                raise ValueError(
                    f'{name_of(sample)}: predicted masks of phrases are {tuple(pred.shape)} but ground truth is '
                    f'{tuple(gt.shape)}; there must be one per phrase, in the original resolution'
                )
            gt, pred = gt.to(pred.device).bool().flatten(1), pred.bool().flatten(1)
            areas = list(zip((gt & pred).sum(1).tolist(), (gt | pred).sum(1).tolist(), strict=True))
            kinds = sample.get('phrase_kinds')
            self.results.append((areas, [None] * len(areas) if kinds is None else list(kinds)))

    def compute_metrics(self, results: list[tuple[list[Areas], list[str | None]]]) -> dict[str, float]:
        """Sum over all phrases of all images.

        Raises:
            ValueError: There is no phrase.
        """
        require_results(self, results)
        areas = [pair for image, _ in results for pair in image]
        kinds = [kind for _, image in results for kind in image]
        if not areas:
            raise ValueError('no image has a phrase to be found; ReferringIoU needs at least one')
        summary = summarise_iou(areas, self.thresholds)
        for kind in sorted({kind for kind in kinds if kind is not None}):
            own = [pair for pair, name in zip(areas, kinds, strict=True) if name == kind]
            parts = summarise_iou(own, ())
            summary.update({f'cIoU_{kind}': parts['cIoU'], f'mIoU_{kind}': parts['mIoU']})
        return summary
