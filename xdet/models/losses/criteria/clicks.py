"""Loss of masks of what was shown: the best of several answers, and how good each is said to be."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xdet.models.losses.distributed import mean_over_ranks
from xdet.models.numerics.precision import at_least_single
from xdet.registry import MODELS


@MODELS.register_module()
class ClickLoss(nn.Module):
    """Of the answers about an object the best one learns its mask, so that answers may differ; all learn their score.

    Args:
        mask_weight (float): Weight of the binary cross entropy, a mean over cells.
        dice_weight (float): Weight of the dice distance.
        score_weight (float): Weight of the squared error of the predicted IoU.
    """

    def __init__(self, mask_weight: float = 5.0, dice_weight: float = 5.0, score_weight: float = 1.0) -> None:
        super().__init__()
        self.mask_weight = mask_weight
        self.dice_weight = dice_weight
        self.score_weight = score_weight

    def forward(self, masks: Tensor, scores: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Losses of n objects; zero, but part of the graph, without any.

        Args:
            masks (Tensor): ``[n, A, h, w]`` logits of A answers.
            scores (Tensor): ``[n, A]`` logits of their IoU.
            targets (Tensor): ``[n, h, w]``, shares of cells that the object covers.

        Returns:
            dict[str, Tensor]: ``loss_click_mask``, ``loss_click_dice`` and ``loss_click_score``.
        """
        with torch.autocast(masks.device.type, enabled=False):
            masks, scores = at_least_single(masks), at_least_single(scores)
            expected = targets.to(masks)[:, None].expand_as(masks)
            bce = F.binary_cross_entropy_with_logits(masks, expected, reduction='none').mean((2, 3))
            probability = masks.sigmoid()
            overlap = 2 * (probability * expected).sum((2, 3))
            dice = 1 - (overlap + 1) / (probability.sum((2, 3)) + expected.sum((2, 3)) + 1)
            best = (self.mask_weight * bce + self.dice_weight * dice).argmin(1, keepdim=True)
            found, there = masks > 0, expected > 0.5
            iou = (found & there).sum((2, 3)) / (found | there).sum((2, 3)).clamp(min=1)
            objects = mean_over_ranks(len(masks), masks).clamp(min=1)
            wrong = (scores.sigmoid() - iou).square().mean(1)
            return dict(
                loss_click_mask=self.mask_weight * bce.gather(1, best).sum() / objects,
                loss_click_dice=self.dice_weight * dice.gather(1, best).sum() / objects,
                loss_click_score=self.score_weight * wrong.sum() / objects,
            )
