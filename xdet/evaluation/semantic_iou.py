"""Mean intersection over union of semantic maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from torch import Tensor

from xdet.registry import METRICS
from xdet.structures import XDetDataSample

from .fields import field, name_of


def class_areas(pred: Tensor, gt: Tensor, num_classes: int) -> Tensor:
    """Pixels of one image by class, without those that ground truth leaves unlabelled.

    Args:
        pred (Tensor): Integer ``[H, W]`` labels; values outside the classes count as no prediction.
        gt (Tensor): Integer ``[H, W]`` labels, :data:`XDetDataSample.IGNORE` where unlabelled.
        num_classes (int): Number of classes K.

    Returns:
        Tensor: int64 ``[3, K]``: intersection, prediction and ground truth.

    Raises:
        ValueError: The maps differ in size.
    """
    if pred.shape != gt.shape:
        raise ValueError(
            f'predicted labels are {tuple(pred.shape)} but ground truth is {tuple(gt.shape)}; '
            'they must be in the original resolution'
        )
    labelled = gt != XDetDataSample.IGNORE
    pred, gt = pred[labelled], gt[labelled]
    predicted = pred[(pred >= 0) & (pred < num_classes)]
    return torch.stack([torch.bincount(part, minlength=num_classes) for part in (gt[pred == gt], predicted, gt)])


def summarise_areas(areas: Tensor) -> dict[str, float]:
    """``mIoU``, ``mAcc`` and ``aAcc`` in percent from summed :func:`class_areas`.

    The IoU is averaged over the classes in ground truth or prediction, accuracy over those in ground truth.
    """
    intersection, predicted, labelled = areas.double()
    union = predicted + labelled - intersection
    return dict(
        mIoU=100 * (intersection / union)[union > 0].mean().item(),
        mAcc=100 * (intersection / labelled)[labelled > 0].mean().item(),
        aAcc=100 * (intersection.sum() / labelled.sum()).item(),
    )


@METRICS.register_module()
class SemanticIoU(BaseMetric):
    """IoU of ``pred_sem_seg`` against ``gt_sem_seg``, in percent.

    mmseg's ``IoUMetric`` expects other field names, rounds, and adds pixels in float32, which is inexact beyond 2^24
    pixels of a class; its per-image numbers are the same (a test compares them).

    Args:
        classwise (bool): Also log a table of all classes, and report ``IoU_<class>``.
        prefix (str, optional): Put before the names of the values.
        kwargs: Arguments of :class:`mmengine.evaluator.BaseMetric`.
    """

    default_prefix = 'semantic'

    def __init__(self, classwise: bool = False, prefix: str | None = None, **kwargs: Any) -> None:
        super().__init__(prefix=prefix, **kwargs)
        self.classwise = classwise

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count the pixels of a batch of images."""
        num_classes = len(self.dataset_meta['classes'])
        for sample in data_samples:
            gt, pred = (field(sample, name)['sem_seg'].squeeze(0) for name in ('gt_sem_seg', 'pred_sem_seg'))
            try:
                self.results.append(class_areas(pred, gt.to(pred.device), num_classes).cpu())
            except ValueError as error:
                raise ValueError(f'{name_of(sample)}: {error}') from error

    def compute_metrics(self, results: list[Tensor]) -> dict[str, float]:
        """Sum the pixels of all images and average over classes."""
        areas = torch.stack(results).sum(0)
        summary = summarise_areas(areas)
        if self.classwise:
            self._report_classes(areas, summary)
        return summary

    def _report_classes(self, areas: Tensor, summary: dict[str, float]) -> None:
        intersection, predicted, labelled = areas.double()
        iou = 100 * intersection / (predicted + labelled - intersection)
        lines = [f'{"class":<32}{"IoU":>8}{"Acc":>8}']
        for label, name in enumerate(self.dataset_meta['classes']):
            accuracy = 100 * (intersection / labelled)[label].item()
            lines.append(f'{name:<32}{iou[label].item():8.2f}{accuracy:8.2f}')
            if not iou[label].isnan():
                summary[f'IoU_{name}'] = iou[label].item()
        print_log('\n' + '\n'.join(lines), logger='current')
