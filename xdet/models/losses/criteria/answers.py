"""Cross entropy of answers."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from xdet.registry import MODELS


@MODELS.register_module()
class AnswerLoss(nn.Module):
    """Cross entropy between logits of answers and soft targets, averaged over questions.

    Args:
        sigmoid (bool): Judge every answer on its own and average over answers, too, as the release does; otherwise the
            answers of a question compete.
        loss_weight (float): Factor.
    """

    def __init__(self, sigmoid: bool = False, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.sigmoid, self.loss_weight = sigmoid, loss_weight

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Loss of ``[n, answers]`` logits and targets from 0 to 1."""
        if self.sigmoid:
            return self.loss_weight * F.binary_cross_entropy_with_logits(logits, targets, reduction='none').mean()
        return self.loss_weight * -(targets * logits.log_softmax(dim=-1)).sum(dim=-1).mean()
