"""Masks from boxes alone: the projection and affinity losses of BoxInst (Tian et al., CVPR 2021, arXiv 2012.02310)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xdet.registry import MODELS
from xdet.structures.neighbours import NEIGHBOURS, neighbour_slices

Profiles = tuple[Tensor, Tensor]
"""How much of each row ``[..., h]`` and of each column ``[..., w]`` is covered, in [0, 1]."""


def box_profiles(boxes: Tensor, size: tuple[int, ...], stride: int = 4) -> Profiles:
    """Profiles of boxes on a grid of cells; cells that a box covers in part count in part.

    Args:
        boxes (Tensor): ``[n, 4]`` xyxy in pixels.
        size (tuple[int, ...]): Cells ``(h, w)``.
        stride (int): Pixels per cell.
    """
    profiles = []
    for length, low, high in ((size[0], boxes[:, 1], boxes[:, 3]), (size[1], boxes[:, 0], boxes[:, 2])):
        start = torch.arange(length, device=boxes.device, dtype=boxes.dtype) * stride
        covered = torch.minimum(high[:, None], start + stride) - torch.maximum(low[:, None], start)
        profiles.append((covered / stride).clamp(0, 1))
    return profiles[0], profiles[1]


def mask_profiles(logits: Tensor) -> Profiles:
    """Profiles of masks ``[..., h, w]``: the largest probability of every row and column."""
    return logits.amax(-1).sigmoid(), logits.amax(-2).sigmoid()


def profile_distance(predicted: Tensor, target: Tensor) -> Tensor:
    """Dice distance with squares over the last dimension, the others broadcast."""
    overlap = 2 * (predicted * target).sum(-1)
    return 1 - overlap / (predicted.square().sum(-1) + target.square().sum(-1)).clamp(min=1e-6)


def projection_cost(logits: Tensor, boxes: Tensor, stride: int = 4) -> Tensor:
    """Sum of both profile distances ``[Q, n]`` of every mask ``[Q, h, w]`` with every box ``[n, 4]``."""
    pairs = zip(mask_profiles(logits), box_profiles(boxes, logits.shape[-2:], stride), strict=True)
    rows, columns = (profile_distance(predicted[:, None], target) for predicted, target in pairs)
    return rows + columns


def affinity_loss(logits: Tensor, alike: Tensor, inside: Tensor, dilation: int = 2) -> Tensor:
    """How little pixels of like colour agree on being in the mask: ``-log P(same)``, mean over pairs, per mask ``[n]``.

    Args:
        logits (Tensor): ``[n, h, w]``.
        alike (Tensor): bool ``[4, h, w]``: whether a pixel and its neighbour (:data:`NEIGHBOURS`) have like colours.
        inside (Tensor): bool ``[n, h, w]``: pixels in the box; pairs that begin or end there count.
        dilation (int): Distance of neighbours.
    """
    foreground, background = F.logsigmoid(logits), F.logsigmoid(-logits)
    total = logits.new_zeros(len(logits))
    count = logits.new_zeros(len(logits))
    for offset, like in zip(NEIGHBOURS, alike, strict=True):
        here, there = neighbour_slices(offset, logits.shape[-2:], dilation)
        # Both in the mask, or both not.
        both, neither = (
            part[..., here[0], here[1]] + part[..., there[0], there[1]] for part in (foreground, background)
        )
        touched = inside[:, here[0], here[1]] | inside[:, there[0], there[1]]
        counted = (like[here] & touched).to(logits.dtype)
        same = torch.logaddexp(both, neither)
        total = total - (same * counted).sum((1, 2))
        count = count + counted.sum((1, 2))
    return total / count.clamp(min=1)


@MODELS.register_module()
class BoxMaskLoss(nn.Module):
    """Losses of matched masks that have a box instead of a mask to learn from.

    The projection loss makes a mask exactly as wide and high as its box; the affinity loss makes neighbouring pixels of
    like colour agree, so that it ends where colours change. Differs from the paper in that the weight of the affinity
    loss does not grow over the first iterations.

    Args:
        projection_weight (float): Weight of the projection loss, and of its matching cost.
        affinity_weight (float): Weight of the affinity loss; 0 leaves it out. Needs samples packed with
            ``PackXDetInputs(box_affinity=True)``; those without learn by projection only.
    """

    def __init__(self, projection_weight: float = 5.0, affinity_weight: float = 1.0) -> None:
        super().__init__()
        self.projection_weight = projection_weight
        self.affinity_weight = affinity_weight

    @torch.no_grad()
    def cost(self, embeds: Tensor, features: Tensor, boxes: Tensor) -> Tensor:
        """Weighted matching cost ``[L, Q, n]`` of masks ``[L, Q, C] . [C, h, w]`` with boxes ``[n, 4]``."""
        costs = [projection_cost(torch.einsum('qc,chw->qhw', embed, features), boxes) for embed in embeds]
        return self.projection_weight * torch.stack(costs)

    def forward(
        self,
        embeds: Tensor,
        features: Sequence[Tensor],
        boxes: Sequence[Tensor],
        alike: Sequence[Tensor | None],
        matches: Sequence[Tensor],
        num_boxes: Tensor,
    ) -> list[dict[str, Tensor]]:
        """Losses of the images of a batch that have boxes only; there may be none.

        Args:
            embeds (Tensor): Mask embeddings ``[B, L, No, C]``.
            features (Sequence[Tensor]): Mask features ``[C, h, w]`` per image.
            boxes (Sequence[Tensor]): ``[n, 4]`` per image, xyxy in pixels of the padded input.
            alike (Sequence[Tensor | None]): bool ``[4, h_b, w_b]`` per image, see :func:`affinity_loss`; smaller than
                the features where the image was padded.
            matches (Sequence[Tensor]): ``[L, n]`` per image: the query of each box, -1 where it has none.
            num_boxes (Tensor): What sums over boxes are divided by.

        Returns:
            list[dict[str, Tensor]]: Weighted ``loss_projection`` and, unless its weight is 0, ``loss_affinity`` per
            layer.
        """
        nothing = embeds[:0].sum()
        projection = [nothing] * embeds.shape[1]
        affinity = [nothing] * embeds.shape[1]
        for embed, feature, box, like, match in zip(embeds, features, boxes, alike, matches, strict=True):
            size = feature.shape[-2:]
            targets = box_profiles(box, size)
            like = _padded(like.to(feature.device), size) if like is not None and self.affinity_weight else None
            inside = (targets[0][:, :, None] * targets[1][:, None]) > 0.5
            for layer, queries in enumerate(match):
                found = queries >= 0
                logits = torch.einsum('nc,chw->nhw', embed[layer, queries[found]], feature)
                for predicted, target in zip(mask_profiles(logits), targets, strict=True):
                    projection[layer] = projection[layer] + profile_distance(predicted, target[found]).sum()
                if like is not None:
                    affinity[layer] = affinity[layer] + affinity_loss(logits, like, inside[found]).sum()
        losses = [dict(loss_projection=self.projection_weight * loss / num_boxes) for loss in projection]
        if self.affinity_weight:
            for named, loss in zip(losses, affinity, strict=True):
                named['loss_affinity'] = self.affinity_weight * loss / num_boxes
        return losses


def _padded(alike: Tensor, size: Sequence[int]) -> Tensor:
    return F.pad(alike, (0, size[1] - alike.shape[-1], 0, size[0] - alike.shape[-2]))
