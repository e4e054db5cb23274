"""Mean intersection over union of semantic maps."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from torch import Tensor

from xdet.io.reading import listed
from xdet.registry import METRICS
from xdet.structures import BACKGROUND, XDetDataSample

from .fields import distinct_names, field, name_of, require_results


def class_areas(pred: Tensor, gt: Tensor, num_classes: int, ignore: Sequence[int] = (XDetDataSample.IGNORE,)) -> Tensor:
    """Pixels of one image by class, without those that ground truth leaves unlabelled.

    Args:
        pred (Tensor): Integer ``[H, W]`` labels; values outside the classes count as no prediction.
        gt (Tensor): Integer ``[H, W]`` labels.
        num_classes (int): Number of classes K.
        ignore (Sequence[int]): Labels of ``gt`` that mean unlabelled.

    Returns:
        Tensor: int64 ``[3, K]``: intersection, prediction and ground truth.

    Raises:
        ValueError: The maps differ in size, or ground truth has another label.
    """
    if pred.shape != gt.shape:
        raise ValueError(
            f'predicted labels are {tuple(pred.shape)} but ground truth is {tuple(gt.shape)}; '
            'they must be in the original resolution'
        )
    pred, gt = pred.long(), gt.long()  # PyTorch compares 16-bit labels with nothing
    labelled = torch.ones_like(gt, dtype=torch.bool)
    for label in ignore:
        labelled &= gt != label
    pred, gt = pred[labelled], gt[labelled]
    stray = gt[(gt < 0) | (gt >= num_classes)]
    if stray.numel():
        background = int(stray[0]) == XDetDataSample.BACKGROUND
        raise ValueError(
            f'ground truth has label {int(stray[0])}; accepted are 0 to {num_classes - 1}, and '
            f'{", ".join(map(str, ignore))} for unlabelled pixels'
            + ('; SemanticIoU(background=True) counts background' if background else '')
        )
    predicted = pred[(pred >= 0) & (pred < num_classes)]
    return torch.stack([torch.bincount(part, minlength=num_classes) for part in (gt[pred == gt], predicted, gt)])


def summarise_areas(areas: Tensor) -> dict[str, float]:
    """``mIoU``, ``mAcc``, ``aAcc`` and ``fwIoU`` in percent from summed :func:`class_areas`.

    The IoU is averaged over the classes in ground truth or prediction, accuracy over those in ground truth. ``fwIoU``
    weighs the classes by their pixels in ground truth. All are NaN where nothing is labelled.
    """
    intersection, predicted, labelled = areas.double()
    union = predicted + labelled - intersection
    iou = (intersection / union)[union > 0]
    return dict(
        mIoU=100 * iou.mean().item(),
        mAcc=100 * (intersection / labelled)[labelled > 0].mean().item(),
        aAcc=100 * (intersection.sum() / labelled.sum()).item(),
        fwIoU=100 * (iou @ (labelled / labelled.sum())[union > 0]).item() if len(iou) else float('nan'),
    )


@METRICS.register_module()
class SemanticIoU(BaseMetric):
    """IoU of ``pred_sem_seg`` against ``gt_sem_seg``, in percent.

    mmseg's ``IoUMetric`` expects other field names, rounds, and adds pixels in float32, which is inexact beyond 2^24
    pixels of a class; its per-image numbers are the same (a test compares them).

    Of every image only the classes that occur are kept, so a large vocabulary costs no memory.

    With ``background`` there is one class more, ``background``, for data whose labels say where none of the classes is
    (``background_label`` of the data set). The model does not name it: it is what is left where no query is surer of a
    class than ``SegmentationTask(background_score=...)``.

    Args:
        classwise (bool): Also log a table of all classes, and report ``IoU_<class>``.
        ignore (int | Sequence[int]): Labels of unlabelled pixels, such as 255, which need not lie outside the classes.
            The default is what this library's datasets make of the label that they ignore.
        background (bool): Count background as a class, the last one.
        classes (Sequence[str], optional): Average over these classes only, of which ``background`` may be one. A pixel
            of theirs for which another class is predicted stays wrong.
        prefix (str, optional): Put before the names of the values.
        kwargs: Arguments of :class:`mmengine.evaluator.BaseMetric`.
    """

    default_prefix = 'semantic'

    def __init__(
        self,
        classwise: bool = False,
        ignore: int | Sequence[int] = XDetDataSample.IGNORE,
        background: bool = False,
        classes: Sequence[str] | None = None,
        prefix: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(prefix=prefix, **kwargs)
        self.classwise = classwise
        self.background = background
        self.classes = None if classes is None else tuple(classes)
        if self.classes == ():
            raise ValueError('SemanticIoU: classes is empty; name at least one, or leave it out for all')
        self.ignore = (ignore,) if isinstance(ignore, int) else tuple(ignore)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count the pixels of a batch of images."""
        num_classes = len(self._names)
        for sample in data_samples:
            gt, pred = (field(sample, name)['sem_seg'].squeeze(0) for name in ('gt_sem_seg', 'pred_sem_seg'))
            if self.background:
                gt, pred = (
                    torch.where(labels == XDetDataSample.BACKGROUND, num_classes - 1, labels.long())
                    for labels in (gt, pred)
                )
            try:
                areas = class_areas(pred, gt.to(pred.device), num_classes, self.ignore).cpu()
            except ValueError as error:
                raise ValueError(f'{name_of(sample)}: {error}') from error
            present = areas.any(0).nonzero()[:, 0]
            self.results.append((present, areas[:, present]))

    def compute_metrics(self, results: Sequence[tuple[Tensor, Tensor]]) -> dict[str, float]:
        """Sum the pixels of all images and average over classes.

        Raises:
            ValueError: There is no image.
        """
        require_results(self, results)
        names = self._names
        total = torch.zeros(3, len(names), dtype=torch.int64)
        for present, areas in results:
            total[:, present] += areas
        chosen = self._chosen(names)
        if self.background and total[2, -1] and not total[1, -1]:
            print_log(
                'SemanticIoU: no pixel was found to be background; models look for it with '
                'tasks.segmentation.background_score=0.4 in their config',
                logger='current',
                level=logging.WARNING,
            )
        summary = summarise_areas(total[:, chosen])
        if self.classwise:
            self._report_classes(total[:, chosen], [names[label] for label in chosen], summary)
        return summary

    @property
    def _names(self) -> list[str]:
        names = distinct_names(self.dataset_meta['classes'])
        return [*names, BACKGROUND] if self.background else names

    def _chosen(self, names: Sequence[str]) -> list[int]:
        if self.classes is None:
            return list(range(len(names)))
        unknown = [name for name in self.classes if name not in names]
        if unknown:
            raise ValueError(f"SemanticIoU: classes has '{unknown[0]}'; the data set has {listed(names)}")
        return [names.index(name) for name in self.classes]

    @staticmethod
    def _report_classes(areas: Tensor, names: Sequence[str], summary: dict[str, float]) -> None:
        intersection, predicted, labelled = areas.double()
        iou = 100 * intersection / (predicted + labelled - intersection)
        lines = [f'{"class":<32}{"IoU":>8}{"Acc":>8}']
        for label, name in enumerate(names):
            accuracy = 100 * (intersection / labelled)[label].item()
            lines.append(f'{name:<32}{iou[label].item():8.2f}{accuracy:8.2f}')
            if not iou[label].isnan():
                summary[f'IoU_{name}'] = iou[label].item()
        print_log('\n' + '\n'.join(lines), logger='current')
