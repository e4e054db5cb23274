"""Panoptic segmentation from class probabilities and masks (docs/model.md, 6)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .instance import mask_areas
from .resize import query_chunks
from .semantic import MaskFn


def panoptic_segments(
    class_logits: Tensor,
    masks: MaskFn,
    size: tuple[int, int],
    is_thing: Sequence[bool],
    object_mask_threshold: float | Tensor = 0.8,
    overlap_threshold: float = 0.8,
    reported: Tensor | None = None,
    mask_threshold: float = 0.5,
) -> tuple[Tensor, list[dict]]:
    """Merge confident queries into one map of segments.

    Only masks of queries that pass the class threshold are made at all, in chunks that bound memory.

    Args:
        class_logits (Tensor): ``[n, K + 1]``, last column no-object.
        masks (MaskFn): Makes mask logits on demand.
        size (tuple[int, int]): Height and width.
        is_thing (Sequence[bool]): K flags; queries of one stuff class form one segment.
        object_mask_threshold (float | Tensor): A query counts when its best class is more probable than this; a tensor
            ``[K]`` has a value per class.
        overlap_threshold (float): A query is dropped when it keeps less than this share of its own mask.
        reported (Tensor, optional): Bool ``[K]``: classes of which segments are kept; those of the others take their
            pixels and are void.
        mask_threshold (float): Least probability of the pixels of a mask.

    Returns:
        tuple[Tensor, list[dict]]: int32 ``[H, W]`` segment ids from 1 (0 = void), and per segment its
        ``id, label, is_thing, score`` (score is the class probability of the query that founded it).
    """
    segments = torch.zeros(size, dtype=torch.int32, device=class_logits.device)
    infos: list[dict] = []
    scores, labels = class_logits.float().softmax(dim=-1).max(dim=-1)
    if isinstance(object_mask_threshold, Tensor):
        object_mask_threshold = torch.cat([object_mask_threshold, object_mask_threshold.new_ones(1)])[labels]
    keep = ((labels != class_logits.shape[-1] - 1) & (scores > object_mask_threshold)).nonzero()[:, 0]
    if len(keep) == 0:
        return segments, infos
    scores, labels, count = scores[keep], labels[keep], len(keep)
    owner, owned_inside, own_area = _owners(scores, lambda part: masks(keep[part]), size, mask_threshold)
    owned_area = owner.flatten().bincount(minlength=count).tolist()
    kept_area = owner[owned_inside].bincount(minlength=count).tolist()
    stuff_segment: dict[int, int] = {}
    segment_of_query = torch.zeros(count, dtype=torch.int32, device=segments.device)
    for query, (label, score) in enumerate(zip(labels.tolist(), scores.tolist(), strict=True)):
        if min(owned_area[query], own_area[query], kept_area[query]) == 0:
            continue
        if owned_area[query] / own_area[query] < overlap_threshold:
            continue
        if reported is not None and not reported[label]:
            continue
        if not is_thing[label] and label in stuff_segment:
            segment_of_query[query] = stuff_segment[label]
            continue
        infos.append(dict(id=len(infos) + 1, label=label, is_thing=bool(is_thing[label]), score=score))
        segment_of_query[query] = len(infos)
        if not is_thing[label]:
            stuff_segment[label] = len(infos)
    return torch.where(owned_inside, segment_of_query[owner], segments), infos


def _owners(
    scores: Tensor, masks: Callable[[slice], Tensor], size: tuple[int, int], mask_threshold: float = 0.5
) -> tuple[Tensor, Tensor, list[int]]:
    """Which query has the highest score times mask probability at every pixel; the first of equal ones.

    Returns:
        tuple[Tensor, Tensor, list[int]]: int64 ``[H, W]`` queries, bool ``[H, W]`` whether the pixel is inside the
        query's mask, and the areas of all masks.
    """
    best = scores.new_full(size, -1.0)
    owner = torch.zeros(size, dtype=torch.int64, device=scores.device)
    owned_inside = torch.zeros(size, dtype=torch.bool, device=scores.device)
    areas: list[int] = []
    for part in query_chunks(len(scores), size):
        probabilities = masks(part).sigmoid()
        inside = probabilities >= mask_threshold
        areas += mask_areas(inside).tolist()
        highest, query = probabilities.mul_(scores[part, None, None]).max(dim=0)
        better = highest > best
        best = torch.where(better, highest, best)
        owner = torch.where(better, query + part.start, owner)
        owned_inside = torch.where(better, inside.gather(0, query[None])[0], owned_inside)
    return owner, owned_inside, areas
