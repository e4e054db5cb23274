"""Semantic segmentation from class probabilities and masks (docs/model.md, 6)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from xdet.structures import XDetDataSample

from .resize import query_chunks

SCORE_BYTES = 2**30
"""Class scores are computed, and masks are kept, in blocks of at most about this many bytes."""

MaskFn = Callable[[Tensor | slice], Tensor]
"""Gives the mask logits ``[n, H, W]`` of the queries selected by an index or a slice."""


def semantic_scores(class_logits: Tensor, masks: MaskFn, size: tuple[int, int]) -> Tensor:
    """Score of every class at every pixel: the sum over queries of class probability times mask probability.

    Args:
        class_logits (Tensor): ``[n, K + 1]``, last column no-object.
        masks (MaskFn): Makes mask logits on demand.
        size (tuple[int, int]): Height and width.

    Returns:
        Tensor: ``[K, H, W]``. Large for many classes; :func:`semantic_labels` does not build it.
    """
    return _scores(class_logits.float().softmax(dim=-1)[:, :-1], masks, size)


def semantic_labels(
    class_logits: Tensor, masks: MaskFn, size: tuple[int, int], background_score: float | None = None
) -> Tensor:
    """Class of the highest score at every pixel, in memory that does not grow with the number of classes.

    Args:
        class_logits (Tensor): ``[n, K + 1]``, last column no-object.
        masks (MaskFn): Makes mask logits on demand.
        size (tuple[int, int]): Height and width.
        background_score (float, optional): Pixels where no single query is surer than this of a class and of its mask
            (product of both probabilities) are background. The sums over queries do not tell it: many queries that are
            hardly sure add up.

    Returns:
        Tensor: int64 ``[H, W]`` labels below K; ``XDetDataSample.BACKGROUND`` where it is background.
    """
    labels = _labels(class_logits, masks, size)
    if background_score is None:
        return labels
    probabilities = class_logits.float().softmax(dim=-1)[:, :-1].amax(dim=1)
    surest = probabilities.new_zeros(size)
    for part in query_chunks(len(probabilities), size):
        surest = torch.maximum(surest, (probabilities[part, None, None] * masks(part).sigmoid()).amax(dim=0))
    return torch.where(surest > background_score, labels, XDetDataSample.BACKGROUND)


def _labels(class_logits: Tensor, masks: MaskFn, size: tuple[int, int]) -> Tensor:
    num_classes, pixels = class_logits.shape[1] - 1, size[0] * size[1]
    step = max(1, SCORE_BYTES // (4 * pixels))
    if num_classes <= step:
        return semantic_scores(class_logits, masks, size).argmax(dim=0)
    probabilities = class_logits.float().softmax(dim=-1)[:, :-1]
    if 4 * len(probabilities) * pixels <= SCORE_BYTES:
        return _labels_from_kept_masks(probabilities, masks, size)
    # The masks would not fit, so they are made anew for every block of classes.
    best = class_logits.new_full(size, -1.0, dtype=torch.float32)
    labels = torch.zeros(size, dtype=torch.int64, device=class_logits.device)
    for start in range(0, num_classes, step):
        scores, found = _scores(probabilities[:, start : start + step], masks, size).max(dim=0)
        better = scores > best
        best = torch.where(better, scores, best)
        labels = torch.where(better, found + start, labels)
    return labels


def label_scores(class_logits: Tensor, masks: MaskFn, labels: Tensor) -> Tensor:
    """Score of the label of every pixel, one of :func:`semantic_scores`; memory does not grow with the classes.

    Args:
        class_logits (Tensor): ``[n, K + 1]``, last column no-object.
        masks (MaskFn): Makes mask logits on demand.
        labels (Tensor): int64 ``[H, W]`` labels below K.

    Returns:
        Tensor: ``[H, W]``.
    """
    probabilities = class_logits.float().softmax(dim=-1)
    scores = probabilities.new_zeros(labels.shape)
    for part in query_chunks(len(probabilities), (labels.shape[0], labels.shape[1])):
        scores += (probabilities[part][:, labels] * masks(part).sigmoid()).sum(dim=0)
    return scores


def _labels_from_kept_masks(probabilities: Tensor, masks: MaskFn, size: tuple[int, int]) -> Tensor:
    """Labels, pixels by pixels: resizing masks is most of the work for many classes, so each is made once."""
    num_queries, num_classes = probabilities.shape
    kept = probabilities.new_empty(num_queries, size[0] * size[1])
    for part in query_chunks(num_queries, size):
        kept[part] = masks(part).sigmoid().flatten(1)
    step = max(1, SCORE_BYTES // (8 * num_classes))
    labels = [(probabilities.T @ block).argmax(dim=0) for block in kept.split(step, dim=1)]
    return torch.cat(labels).unflatten(0, size)


def _scores(probabilities: Tensor, masks: MaskFn, size: tuple[int, int]) -> Tensor:
    """Scores ``[K, H, W]`` from class probabilities ``[n, K]``, chunk by chunk of queries."""
    scores = probabilities.new_zeros(probabilities.shape[1], size[0] * size[1])
    for part in query_chunks(len(probabilities), size):
        scores.addmm_(probabilities[part].T, masks(part).sigmoid().flatten(1))
    return scores.unflatten(1, size)
