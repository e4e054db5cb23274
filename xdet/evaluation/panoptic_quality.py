"""Panoptic quality (Kirillov et al., "Panoptic Segmentation", arXiv 1801.00868).

Void and crowds are handled as by panopticapi, COCO's reference implementation, which mmdet's metric needs and PyPI does
not have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from torch import Tensor

from xdet.registry import METRICS
from xdet.structures import Vocabulary

from .fields import check_labels, distinct_names, field, name_of, require_results


@dataclass
class ClassCounts:
    """What panoptic quality sums up for one class.

    Attributes:
        iou (float): Sum of the IoU of matched pairs.
        tp (int): Matched pairs.
        fp (int): Predicted segments without a partner.
        fn (int): Ground-truth segments without a partner.
    """

    iou: float = 0.0
    tp: int = 0
    fp: int = 0
    fn: int = 0

    def __iadd__(self, other: ClassCounts) -> ClassCounts:
        self.iou += other.iou
        self.tp += other.tp
        self.fp += other.fp
        self.fn += other.fn
        return self

    @property
    def seen(self) -> bool:
        """Whether the class occurred at all; means are taken over such classes only."""
        return self.tp + self.fp + self.fn > 0

    @property
    def quality(self) -> tuple[float, float, float]:
        """PQ, SQ and RQ in 0..1, zeros where undefined."""
        recognised = self.tp + 0.5 * self.fp + 0.5 * self.fn
        if recognised == 0:
            return 0.0, 0.0, 0.0
        return self.iou / recognised, self.iou / self.tp if self.tp else 0.0, self.tp / recognised


def match_segments(
    gt_map: Tensor, gt_segments: Sequence[dict], pred_map: Tensor, pred_segments: Sequence[dict]
) -> dict[int, ClassCounts]:
    """Compare the segments of one image.

    A pair of one class matches if its IoU exceeds 0.5, where the prediction's pixels in void do not count towards the
    union. Crowds match nothing and are not missed. An unmatched prediction is not a false positive if more than half of
    it lies in void or in a crowd of its class (the last one, should a class have several: panopticapi keeps one).

    Args:
        gt_map (Tensor): Integer ``[H, W]`` segment ids; ids that ``gt_segments`` does not list are void.
        gt_segments (Sequence[dict]): ``id``, ``label`` and optionally ``iscrowd`` of each segment.
        pred_map (Tensor): Integer ``[H, W]`` segment ids, 0 for void.
        pred_segments (Sequence[dict]): ``id`` and ``label`` of each segment.

    Returns:
        dict[int, ClassCounts]: Counts by label, for the labels that occur.

    Raises:
        ValueError: The maps differ in size, or predicted map and list disagree about the segments.
    """
    overlap = _overlaps(gt_map, gt_segments, pred_map, pred_segments)
    gt_area, pred_area = overlap.sum(1), overlap.sum(0)
    empty = [segment['id'] for index, segment in enumerate(pred_segments, 1) if pred_area[index] == 0]
    if empty:
        raise ValueError(f'predicted segments {empty} are listed but have no pixel')
    counts: dict[int, ClassCounts] = {}
    for segment in (*gt_segments, *pred_segments):
        counts.setdefault(segment['label'], ClassCounts())
    matched = set()
    crowd_of_label = {}
    for gt_index, gt in enumerate(gt_segments, 1):
        if gt.get('iscrowd', False):
            crowd_of_label[gt['label']] = gt_index
            continue
        iou, pred_index = _partner(gt_index, gt['label'], overlap, gt_area, pred_area, pred_segments)
        if pred_index is None:
            counts[gt['label']].fn += 1
        else:
            matched.add(pred_index)
            counts[gt['label']] += ClassCounts(iou=iou, tp=1)
    for pred_index, pred in enumerate(pred_segments, 1):
        if pred_index in matched:
            continue
        forgiven = int(overlap[0, pred_index])
        if pred['label'] in crowd_of_label:
            forgiven += int(overlap[crowd_of_label[pred['label']], pred_index])
        if forgiven / int(pred_area[pred_index]) <= 0.5:
            counts[pred['label']].fp += 1
    return {label: count for label, count in counts.items() if count.seen}


def _partner(
    gt_index: int,
    label: int,
    overlap: np.ndarray,
    gt_area: np.ndarray,
    pred_area: np.ndarray,
    pred_segments: Sequence[dict],
) -> tuple[float, int | None]:
    """IoU and index of the prediction that matches a ground-truth segment; at most one can."""
    for pred_index in np.flatnonzero(overlap[gt_index, 1:]) + 1:
        if pred_segments[pred_index - 1]['label'] != label:
            continue
        intersection = int(overlap[gt_index, pred_index])
        union = int(gt_area[gt_index] + pred_area[pred_index] - overlap[0, pred_index]) - intersection
        if intersection / union > 0.5:
            return intersection / union, int(pred_index)
    return 0.0, None


def _overlaps(
    gt_map: Tensor, gt_segments: Sequence[dict], pred_map: Tensor, pred_segments: Sequence[dict]
) -> np.ndarray:
    """Pixels ``[num_gt + 1, num_pred + 1]`` that segments share; row and column 0 are void."""
    if gt_map.shape != pred_map.shape:
        raise ValueError(
            f'predicted segments are {tuple(pred_map.shape)} but ground truth is {tuple(gt_map.shape)}; '
            'they must be in the original resolution'
        )
    gt_index, pred_index = _to_indices(gt_map, gt_segments), _to_indices(pred_map, pred_segments)
    stray = pred_map[(pred_index == 0) & (pred_map != 0)]
    if stray.numel():
        raise ValueError(f'predicted segment id {int(stray[0])} is in the map but not in segments_info')
    columns = len(pred_segments) + 1
    flat = torch.bincount((gt_index * columns + pred_index).flatten(), minlength=(len(gt_segments) + 1) * columns)
    return flat.view(-1, columns).cpu().numpy()


def _to_indices(ids: Tensor, segments: Sequence[dict]) -> Tensor:
    """Position + 1 in the list of every pixel's segment, 0 where the list has none."""
    listed = torch.tensor([segment['id'] for segment in segments], dtype=torch.int64, device=ids.device)
    # Ids have at most 24 bits and are small in practice, so a table is faster than any search.
    table = ids.new_zeros(1 + max([int(ids.max()), *listed.tolist()]), dtype=torch.int64)
    table[listed] = torch.arange(1, len(segments) + 1, device=ids.device)
    return table[ids.long()]


def summarise(counts: dict[int, ClassCounts], vocabulary: Vocabulary) -> dict[str, float]:
    """Means in percent over the classes that occur: ``PQ SQ RQ`` of all, ``_th`` of things, ``_st`` of stuff.

    A group of which no class occurs is NaN; a group that the vocabulary does not have is left out.
    """
    groups = {'': list(range(len(vocabulary)))}
    groups['_th'] = [label for label, thing in enumerate(vocabulary.is_thing) if thing]
    groups['_st'] = [label for label, thing in enumerate(vocabulary.is_thing) if not thing]
    summary = {}
    for suffix, labels in groups.items():
        if not labels:
            continue
        seen = [counts[label].quality for label in labels if label in counts and counts[label].seen]
        means = [sum(values) / len(seen) for values in zip(*seen, strict=True)] if seen else [float('nan')] * 3
        summary.update({f'{name}{suffix}': 100 * mean for name, mean in zip(('PQ', 'SQ', 'RQ'), means, strict=True)})
    return summary


@METRICS.register_module()
class PanopticQuality(BaseMetric):
    """Panoptic quality of ``pred_panoptic_seg`` against ``gt_panoptic_seg``, in percent.

    Every image yields one entry of results, so evaluation on several processes counts every image exactly once. Classes
    that neither ground truth nor predictions have do not count; where all images are void everywhere, nothing does, and
    the values are NaN.

    Args:
        classwise (bool): Also log a table of all classes, and report ``PQ_<class>``.
        company (bool): Also report ``recall_alone`` and ``recall_among``: how many things are found where they are the
            only one of their class in their image, and where there are others; with ``classwise`` of each class, too.
        prefix (str, optional): Put before the names of the values.
        kwargs: Arguments of :class:`mmengine.evaluator.BaseMetric`.
    """

    default_prefix = 'panoptic'
    result_types = (ClassCounts,)

    def __init__(
        self, classwise: bool = False, company: bool = False, prefix: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(prefix=prefix, **kwargs)
        self.classwise = classwise
        self.company = company

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Match the segments of a batch of images."""
        num_classes = len(self.dataset_meta['vocabulary'])
        for sample in data_samples:
            gt, pred = field(sample, 'gt_panoptic_seg'), field(sample, 'pred_panoptic_seg')
            for name, segmentation in (('ground truth', gt), ('prediction', pred)):
                check_labels(sample, name, [segment['label'] for segment in segmentation['segments_info']], num_classes)
            try:
                counts = match_segments(
                    gt['sem_seg'].squeeze(0).to(pred['sem_seg'].device),
                    gt['segments_info'],
                    pred['sem_seg'].squeeze(0),
                    pred['segments_info'],
                )
            except ValueError as error:
                raise ValueError(f'{name_of(sample)}: {error}') from error
            self.results.append(counts)

    def compute_metrics(self, results: Sequence[dict[int, ClassCounts]]) -> dict[str, float]:
        """Sum the counts of all images and average over classes.

        Raises:
            ValueError: There is no image.
        """
        require_results(self, results)
        vocabulary: Vocabulary = self.dataset_meta['vocabulary']
        total = {label: ClassCounts() for label in range(len(vocabulary))}
        for counts in results:
            for label, count in counts.items():
                total[label] += count
        summary = summarise(total, vocabulary)
        if self.classwise:
            self._report_classes(total, vocabulary, summary)
        if self.company:
            summary.update(self._recalls(results, vocabulary))
        return summary

    def _recalls(self, results: Sequence[dict[int, ClassCounts]], vocabulary: Vocabulary) -> dict[str, float]:
        """Recall in percent of things alone and among others of their class; NaN where there are none."""
        found: dict[str, list[bool]] = {'recall_alone': [], 'recall_among': []}
        names = distinct_names(vocabulary.names)
        for counts in results:
            for label, count in counts.items():
                there = count.tp + count.fn
                if not there or not vocabulary.is_thing[label]:
                    continue
                key = 'recall_alone' if there == 1 else 'recall_among'
                for name in (key, f'{key}_{names[label]}') if self.classwise else (key,):
                    found.setdefault(name, []).extend([True] * count.tp + [False] * count.fn)
        return {name: 100 * sum(each) / len(each) if each else float('nan') for name, each in found.items()}

    @staticmethod
    def _report_classes(total: dict[int, ClassCounts], vocabulary: Vocabulary, summary: dict[str, float]) -> None:
        lines = [f'{"class":<32}{"PQ":>8}{"SQ":>8}{"RQ":>8}{"TP":>8}{"FP":>8}{"FN":>8}']
        for label, name in enumerate(distinct_names(vocabulary.names)):
            counts = total[label]
            if counts.seen:
                values = ''.join(f'{100 * value:8.2f}' for value in counts.quality)
                lines.append(f'{name:<32}{values}{counts.tp:8d}{counts.fp:8d}{counts.fn:8d}')
                summary[f'PQ_{name}'] = 100 * counts.quality[0]
        print_log('\n' + '\n'.join(lines), logger='current')
