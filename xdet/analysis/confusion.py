"""What is taken for what: confusion matrices of pixels and of segments, and tables of classes.

Matrices are int64 ``[K + 1, K + 1]``: rows are true labels, columns predicted ones; the last row is "nothing there" and
the last column "nothing found".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from xdet.evaluation import ClassCounts, match_segments
from xdet.io.writing import replacing
from xdet.structures import Vocabulary, XDetDataSample

from .tables import Cell

LEVELS = ('pixels', 'segments')
NOTHING = '(nothing)'
_IOU = 0.5  # above it at most one segment can be the partner of another


def pixel_confusion(pred: Tensor, gt: Tensor, num_classes: int) -> Tensor:
    """Matrix of the pixels that ground truth labels; their true "nothing" is background.

    Args:
        pred (Tensor): Integer ``[H, W]`` labels; values outside the classes count as nothing found.
        gt (Tensor): Integer ``[H, W]`` labels, :data:`XDetDataSample.IGNORE` where unlabelled and ``BACKGROUND`` where
            there is none of the classes.
        num_classes (int): Number of classes K.
    """
    _same_size(pred, gt)
    labelled = gt != XDetDataSample.IGNORE
    pred, gt = pred[labelled].long(), gt[labelled].long()
    pred = torch.where((pred >= 0) & (pred < num_classes), pred, num_classes)
    gt = torch.where(gt == XDetDataSample.BACKGROUND, num_classes, gt)
    side = num_classes + 1
    return torch.bincount(gt * side + pred, minlength=side * side).view(side, side)


def segment_confusion(
    gt_map: Tensor, gt_segments: Sequence[dict], pred_map: Tensor, pred_segments: Sequence[dict], num_classes: int
) -> Tensor:
    """Matrix of segments: pairs whose IoU exceeds 0.5, whatever their classes, then those without a partner.

    Pixels that ground truth leaves void do not count towards the IoU. Crowds are no true segments, and a prediction
    that lies mostly in void or crowds is left out.

    Args:
        gt_map (Tensor): Integer ``[H, W]`` segment ids.
        gt_segments (Sequence[dict]): ``id``, ``label`` and optionally ``iscrowd``.
        pred_map (Tensor): Integer ``[H, W]`` segment ids, 0 for void.
        pred_segments (Sequence[dict]): ``id`` and ``label``.
        num_classes (int): Number of classes K.
    """
    _same_size(pred_map, gt_map)
    true = [segment for segment in gt_segments if not segment.get('iscrowd', False)]
    gt = _indices(gt_map, true)
    pred = _indices(pred_map, pred_segments)
    columns = len(pred_segments) + 1
    overlap = torch.bincount((gt * columns + pred).flatten(), minlength=(len(true) + 1) * columns).view(-1, columns)
    inside = overlap[1:, 1:].double()
    counted = inside.sum(0)  # of predictions, without void and crowds
    union = overlap[1:].sum(1)[:, None] + counted[None] - inside
    pairs = (inside / union.clamp(min=1) > _IOU).nonzero().tolist()
    matrix = torch.zeros((num_classes + 1, num_classes + 1), dtype=torch.int64)
    for row, column in pairs:
        matrix[true[row]['label'], pred_segments[column]['label']] += 1
    found, used = {row for row, _ in pairs}, {column for _, column in pairs}
    for row, segment in enumerate(true):
        if row not in found:
            matrix[segment['label'], num_classes] += 1
    for column, segment in enumerate(pred_segments):
        if column not in used and counted[column] > 0.5 * overlap[:, column + 1].sum():
            matrix[num_classes, segment['label']] += 1
    return matrix


def predicted_labels(sample: XDetDataSample) -> Tensor:
    """Label map ``[H, W]`` of a sample: its semantic prediction, else the labels of its panoptic one (void: -1).

    Raises:
        ValueError: It has neither.
    """
    if 'pred_sem_seg' in sample:
        return sample.pred_sem_seg.sem_seg.squeeze(0)
    ids, segments = _panoptic(sample, 'pred_panoptic_seg')
    return _of_segments(ids, segments)


class Confusion:
    """Sums over images: the matrices and, where there are segments, what panoptic quality counts.

    Args:
        vocabulary (Vocabulary): Classes of all images.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        side = len(vocabulary) + 1
        self.pixels = torch.zeros((side, side), dtype=torch.int64)
        self.segments = torch.zeros((side, side), dtype=torch.int64)
        self.counts = [ClassCounts() for _ in vocabulary.names]
        self.has_segments = False

    def add(self, sample: XDetDataSample) -> None:
        """Count an image.

        Raises:
            ValueError: It has no ground truth or no prediction, or they do not fit.
        """
        name = str(sample.metainfo.get('img_path', sample.metainfo.get('img_id')))
        if 'gt_sem_seg' not in sample:
            raise ValueError(f'{name}: has no gt_sem_seg; the test pipeline must load and pack segments')
        sample = sample.cpu()
        classes = len(self.vocabulary)
        try:
            gt = sample.gt_sem_seg.sem_seg.squeeze(0)
            self.pixels += pixel_confusion(predicted_labels(sample), gt, classes)
            if 'gt_panoptic_seg' in sample and 'pred_panoptic_seg' in sample:
                both = (*_panoptic(sample, 'gt_panoptic_seg'), *_panoptic(sample, 'pred_panoptic_seg'))
                self.segments += segment_confusion(*both, classes)
                for label, count in match_segments(*both).items():
                    self.counts[label] += count
                self.has_segments = True
        except ValueError as error:
            raise ValueError(f'{name}: {error}') from error

    def matrix(self, level: str) -> Tensor:
        """The matrix of pixels or of segments.

        Raises:
            ValueError: No image had predicted segments.
        """
        if level == 'segments' and not self.has_segments:
            raise ValueError(
                "there are no segments to compare; use --level pixels, or ask for 'panoptic' in the test pipeline's "
                'PackXDetInputs(tasks=...)'
            )
        return self.segments if level == 'segments' else self.pixels

    def class_table(self) -> tuple[list[str], list[list[Cell]]]:
        """Header and one row per class: its share of the pixels, quality, and what it is most often taken for."""
        header = ['class', 'kind', 'pixels (%)', 'IoU', 'accuracy', 'precision']
        header += ['PQ', 'SQ', 'RQ', 'TP', 'FP', 'FN'] if self.has_segments else []
        header += ['most often taken for', '(%)']
        matrix = self.pixels.double()
        true, predicted, right = matrix.sum(1), matrix.sum(0), matrix.diagonal()
        rows = []
        for label, name in enumerate(self.vocabulary.names):
            values: list[Cell] = [
                name,
                'thing' if self.vocabulary.is_thing[label] else 'stuff',
                _percent(true[label], true.sum()),
                _percent(right[label], true[label] + predicted[label] - right[label]),
                _percent(right[label], true[label]),
                _percent(right[label], predicted[label]),
            ]
            if self.has_segments:
                count = self.counts[label]
                values += [100 * value if count.seen else None for value in count.quality]
                values += [count.tp, count.fp, count.fn]
            wrong = matrix[label].clone()
            wrong[label] = 0
            other = int(wrong.argmax())
            taken = wrong[other] > 0
            values.append([*self.vocabulary.names, NOTHING][other] if taken else None)
            values.append(_percent(wrong[other], true[label]) if taken else None)
            rows.append(values)
        return header, rows


def matrix_table(matrix: Tensor, names: Sequence[str]) -> tuple[list[str], list[list[Cell]]]:
    """Header and rows of a matrix with its classes."""
    labels = [*names, NOTHING]
    return ['true \\ predicted', *labels], [[name, *row] for name, row in zip(labels, matrix.tolist(), strict=True)]


def most_confused(matrix: Tensor, number: int) -> list[int]:
    """Labels that take part in most of what is wrong relative to the size of their class, in label order."""
    wrong = matrix.double() / matrix.sum(1, keepdim=True).clamp(min=1)
    wrong.fill_diagonal_(0)
    score = (wrong.sum(0) + wrong.sum(1))[:-1]
    return sorted(score.argsort(descending=True, stable=True)[:number].tolist())


def draw_matrix(matrix: Tensor, names: Sequence[str], path: Path, title: str, number: int = 40) -> None:
    """Picture of a matrix in percent of each row.

    Args:
        matrix (Tensor): ``[K + 1, K + 1]`` counts.
        names (Sequence[str]): K class names.
        path (Path): File to write.
        title (str): Above the picture.
        number (int): Of more classes than this, only the most confused ones are shown; percentages stay those of all.
    """
    share = 100 * matrix.double() / matrix.sum(1, keepdim=True).clamp(min=1)
    kept = most_confused(matrix, number) if len(names) > number else list(range(len(names)))
    if len(kept) < len(names):
        title = f'{title}; the {len(kept)} most confused of {len(names)} classes'
    order = [*kept, len(names)]
    labels = [[*names, NOTHING][label] for label in order]
    rows = order if matrix[-1].any() else kept
    values = share[rows][:, order].numpy()
    side = 3 + 0.33 * len(order)
    figure = Figure(figsize=(side + 1, side * (len(rows) + 6) / (len(order) + 6)), layout='constrained')
    axes = figure.add_subplot()
    picture = axes.imshow(values, cmap='viridis', vmin=0, vmax=100)
    axes.set_xticks(range(len(order)), labels, rotation=90)
    axes.set_yticks(range(len(rows)), labels[: len(rows)])
    axes.set_xlabel('predicted')
    axes.set_ylabel('true (row: 100 %)')
    axes.set_title(title, fontsize=10)
    for row, column in np.argwhere(values >= 0.5):
        value = values[row, column]
        ink = 'black' if value > 60 else 'white'
        axes.text(column, row, f'{value:.0f}', ha='center', va='center', fontsize=7, color=ink)
    figure.colorbar(picture, ax=axes, shrink=0.6, label='%')
    with replacing(path) as file:
        figure.savefig(file, dpi=120, format=path.suffix[1:] or 'png')


def _panoptic(sample: XDetDataSample, field: str) -> tuple[Tensor, list[dict]]:
    if field not in sample:
        raise ValueError(f'has neither pred_sem_seg nor {field}; ask for "semantic" or "panoptic" in the test pipeline')
    data = sample.get(field)
    return data.sem_seg.squeeze(0), data.segments_info


def _of_segments(ids: Tensor, segments: Iterable[dict]) -> Tensor:
    labels = torch.full_like(ids, -1, dtype=torch.int64)
    for segment in segments:
        labels[ids == segment['id']] = segment['label']
    return labels


def _indices(ids: Tensor, segments: Sequence[dict]) -> Tensor:
    """Position + 1 of every pixel's segment in the list, 0 elsewhere."""
    indices = torch.zeros_like(ids, dtype=torch.int64)
    for position, segment in enumerate(segments, start=1):
        indices[ids == segment['id']] = position
    return indices


def _same_size(pred: Tensor, gt: Tensor) -> None:
    if pred.shape != gt.shape:
        raise ValueError(f'prediction is {tuple(pred.shape)} but ground truth {tuple(gt.shape)} pixels')


def _percent(part: Tensor, whole: Tensor) -> float | None:
    return 100 * float(part) / float(whole) if whole > 0 else None
