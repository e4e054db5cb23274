"""Mask losses of matched queries, for segments and for phrases."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from . import points as point_sampling


def mask_bce_loss(logits: Tensor, targets: Tensor, num_masks: Tensor) -> Tensor:
    """Binary cross entropy, mean over points and summed over masks ``[n, P]`` / ``num_masks``."""
    return F.binary_cross_entropy_with_logits(logits, targets, reduction='none').mean(1).sum() / num_masks


def dice_loss(logits: Tensor, targets: Tensor, num_masks: Tensor) -> Tensor:
    """Dice distance without squares, smoothed by one point; summed over masks ``[n, P]`` / ``num_masks``."""
    probability = logits.sigmoid()
    overlap = 2 * (probability * targets).sum(1)
    return (1 - (overlap + 1) / (probability.sum(1) + targets.sum(1) + 1)).sum() / num_masks


class PointMaskLoss:
    """Cross entropy and dice of matched masks at sampled points, for every prediction layer.

    Full masks are made for matched queries only.

    Args:
        num_points (int): Points per mask.
        oversample_ratio (float): Candidates per point of importance sampling.
        importance_ratio (float): Share of the points chosen by importance.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(self, num_points: int = 12544, oversample_ratio: float = 3.0, importance_ratio: float = 0.75) -> None:
        if num_points < 1 or oversample_ratio < 1 or not 0 <= importance_ratio <= 1:
            raise ValueError(
                f'mask losses: num_points={num_points}, oversample_ratio={oversample_ratio}, '
                f'importance_ratio={importance_ratio}; accepted are num_points >= 1, oversample_ratio >= 1 and '
                'importance_ratio in [0, 1]'
            )
        self.num_points = num_points
        self.oversample_ratio = oversample_ratio
        self.importance_ratio = importance_ratio

    def __call__(
        self,
        embeds: Tensor,
        features: Tensor,
        masks: Sequence[Tensor],
        matches: Sequence[Tensor],
        num_masks: Tensor,
    ) -> list[tuple[Tensor, Tensor]]:
        """Losses of a batch.

        Args:
            embeds (Tensor): Mask embeddings ``[B, L, No, C]``.
            features (Tensor): Mask features ``[B, C, h, w]``.
            masks (Sequence[Tensor]): ``[n, H, W]`` float per image, all padded to the same size.
            matches (Sequence[Tensor]): ``[L, n]`` per image: the query of each mask, -1 where it has none.
            num_masks (Tensor): What sums over masks are divided by.

        Returns:
            list[tuple[Tensor, Tensor]]: Cross entropy and dice per layer.
        """
        # One product per image makes the masks of all layers; without targets it is empty but stays in the graph, so
        # that distributed training sees every parameter.
        layers = torch.arange(embeds.shape[1], device=embeds.device)[:, None]
        logits = [
            (embed[layers, match.clamp(min=0)] @ feature.flatten(1)).unflatten(-1, feature.shape[1:]).unbind()
            for embed, feature, match in zip(embeds, features, matches, strict=True)
        ]
        too_many = any(len(image) > embeds.shape[2] for image in masks)
        targets = torch.cat(list(masks))[:, None]
        losses = []
        for layer in range(embeds.shape[1]):
            layer_logits, layer_targets = torch.cat([image[layer] for image in logits]), targets
            if too_many:  # more masks than queries
                found = torch.cat([match[layer] for match in matches]) >= 0
                layer_logits, layer_targets = layer_logits[found], targets[found]
            losses.append(self._layer(layer_logits, layer_targets, num_masks))
        return losses

    def _layer(self, logits: Tensor, targets: Tensor, num_masks: Tensor) -> tuple[Tensor, Tensor]:
        """Losses of matched masks: logits ``[M, h, w]`` against targets ``[M, 1, H, W]``."""
        if not len(logits):
            return logits.sum(), logits.sum()
        points = point_sampling.uncertain_points(logits, self.num_points, self.oversample_ratio, self.importance_ratio)
        predicted = point_sampling.sample_points(logits[:, None], points)[:, 0]
        expected = point_sampling.sample_points(targets, points)[:, 0]
        return mask_bce_loss(predicted, expected, num_masks), dice_loss(predicted, expected, num_masks)
