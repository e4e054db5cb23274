"""Semantic segmentation from class probabilities and masks (docs/model.md, 6)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .resize import CHUNK_BYTES, query_chunks

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
    probabilities = class_logits.float().softmax(dim=-1)[:, :-1]
    scores = probabilities.new_zeros(probabilities.shape[1], size[0] * size[1])
    for part in query_chunks(len(class_logits), size):
        scores.addmm_(probabilities[part].T, masks(part).sigmoid().flatten(1))
    return scores.unflatten(1, size)


def semantic_labels(class_logits: Tensor, masks: MaskFn, size: tuple[int, int]) -> Tensor:
    """Most probable class of every pixel, in memory that does not grow with classes times pixels.

    Args:
        class_logits (Tensor): ``[n, K + 1]``, last column no-object.
        masks (MaskFn): Makes mask logits on demand.
        size (tuple[int, int]): Height and width.

    Returns:
        Tensor: int64 ``[H, W]`` labels below K.
    """
    num_classes, pixels = class_logits.shape[1] - 1, size[0] * size[1]
    if 4 * num_classes * pixels <= 8 * CHUNK_BYTES:
        return semantic_scores(class_logits, masks, size).argmax(dim=0)
    probabilities = class_logits.float().softmax(dim=-1)[:, :-1].T
    parts = [masks(part).sigmoid().flatten(1) for part in query_chunks(len(class_logits), size)]
    step = max(1, CHUNK_BYTES // (4 * num_classes))
    labels = []
    for start in range(0, pixels, step):
        column = torch.cat([part[:, start : start + step] for part in parts])
        labels.append((probabilities @ column).argmax(dim=0))
    return torch.cat(labels).unflatten(0, size)
