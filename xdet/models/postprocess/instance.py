"""Instance segmentation from class probabilities and masks (docs/model.md, 6)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.structures import InstanceData
from torch import Tensor

from .resize import query_chunks
from .semantic import MaskFn


def instances(
    class_logits: Tensor,
    masks: MaskFn,
    size: tuple[int, int],
    is_thing: Sequence[bool],
    max_per_image: int = 100,
    things_only: bool = True,
    reported: Tensor | None = None,
    mask_logit: float = 0.0,
) -> InstanceData:
    """The most probable (query, class) pairs as instances, best first.

    Args:
        class_logits (Tensor): ``[n, K + 1]``, last column no-object.
        masks (MaskFn): Makes mask logits on demand.
        size (tuple[int, int]): Height and width.
        is_thing (Sequence[bool]): K flags.
        max_per_image (int): Pairs considered. As in the official model, stuff pairs are dropped after this choice.
        things_only (bool): Drop pairs of stuff classes.
        reported (Tensor, optional): Bool ``[K]``: classes that are considered; the others only compete.
        mask_logit (float): What the logits of the pixels of a mask are above.

    Returns:
        InstanceData: ``masks`` bool ``[m, H, W]``, ``labels`` int64, ``scores`` (class probability times the mean mask
        probability inside the mask), ``bboxes`` float ``[m, 4]`` (x1, y1, x2, y2), tight around the masks, and
        ``queries`` int64, which of the n made each.
    """
    probabilities = class_logits.float().softmax(dim=-1)[:, :-1]
    num_classes = probabilities.shape[1]
    if reported is not None:
        probabilities = probabilities * reported
    scores, pairs = probabilities.flatten().topk(min(max_per_image, probabilities.numel()))
    labels, queries = pairs % num_classes, pairs // num_classes
    if things_only:
        wanted = torch.tensor(list(is_thing), dtype=torch.bool, device=labels.device)[labels]
        scores, labels, queries = scores[wanted], labels[wanted], queries[wanted]
    if reported is not None:
        wanted = reported[labels]
        scores, labels, queries = scores[wanted], labels[wanted], queries[wanted]

    needed, which = queries.unique(return_inverse=True)
    binary = torch.zeros((len(needed), *size), dtype=torch.bool, device=labels.device)
    quality = scores.new_zeros(len(needed))
    for part in query_chunks(len(needed), size):
        logits = masks(needed[part])
        inside = logits > mask_logit
        binary[part] = inside
        quality[part] = mask_scores(logits, inside)

    scores = scores * quality[which]
    order = scores.argsort(descending=True, stable=True)
    which = which[order]
    return InstanceData(
        masks=binary[which],
        labels=labels[order],
        scores=scores[order],
        bboxes=mask_boxes(binary)[which],
        queries=needed[which],
    )


def mask_scores(logits: Tensor, masks: Tensor) -> Tensor:
    """Mean foreground probability inside masks.

    Args:
        logits (Tensor): Mask logits ``[n, H, W]``.
        masks (Tensor): Bool ``[n, H, W]``.

    Returns:
        Tensor: ``[n]``; 0 for an empty mask.
    """
    return (logits.sigmoid() * masks).flatten(1).sum(1) / (mask_areas(masks) + 1e-6)


def mask_areas(masks: Tensor) -> Tensor:
    """Pixels of masks.

    Args:
        masks (Tensor): Bool ``[n, H, W]``.

    Returns:
        Tensor: int64 ``[n]``.
    """
    if torch.compiler.is_compiling() or masks.device.type != 'cpu' or len(masks) == 0:
        return masks.flatten(1).sum(dim=1)
    return torch.stack([mask.count_nonzero() for mask in masks])  # a sum makes integers of all pixels first


def mask_boxes(masks: Tensor) -> Tensor:
    """Tight boxes of masks.

    Args:
        masks (Tensor): bool ``[n, H, W]``.

    Returns:
        Tensor: float ``[n, 4]``: x1, y1 of the first pixel and x2, y2 one past the last; zeros for an empty mask.
    """
    boxes = masks.new_zeros((len(masks), 4), dtype=torch.float32)
    if masks.numel() == 0:
        return boxes
    for axis, present in enumerate((masks.any(dim=1), masks.any(dim=2))):
        length = present.shape[1]
        boxes[:, axis] = present.float().argmax(dim=1)
        boxes[:, axis + 2] = length - present.flip(1).float().argmax(dim=1)
    return boxes * masks.flatten(1).any(dim=1)[:, None]
