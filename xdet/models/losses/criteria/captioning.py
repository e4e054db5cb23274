"""Loss of captioning: the next token (docs/model.md, 8)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xdet.models.losses.supervision import supervised_layers
from xdet.models.numerics.precision import at_least_single
from xdet.registry import MODELS


@MODELS.register_module()
class CaptionLoss(nn.Module):
    """Cross entropy of every caption token given those before it; token embeddings serve as classifier.

    The sum over tokens is divided by their number in the batch plus one, as in the official code. Runs in single
    precision, also under autocast. Only real tokens are scored, so padding costs nothing.

    Args:
        weight (float): Weight of the loss.
        num_layers (int): How many of the last predictions are supervised.
    """

    def __init__(self, weight: float = 8.0, num_layers: int = 3) -> None:
        super().__init__()
        self.weight = weight
        self.num_layers = num_layers

    def forward(
        self, caption_embeds: Sequence[Tensor], token_embedding: Tensor, ids: Tensor, valid: Tensor
    ) -> dict[str, Tensor]:
        """Losses of a batch of captions, which may be empty.

        Args:
            caption_embeds (Sequence[Tensor]): Projected caption queries ``[B, L, C]`` per prediction layer, from the
                raw queries to the final one; position i predicts token i + 1.
            token_embedding (Tensor): ``[V, C]``.
            ids (Tensor): int64 ``[B, L]`` tokens, starting with the start token.
            valid (Tensor): bool ``[B, L]``, True up to and including the end token.

        Returns:
            dict[str, Tensor]: Weighted ``loss_captioning`` of the final layer and ``d{k}.loss_captioning`` of
            prediction layer k before it.

        Raises:
            ValueError: Shapes differ.
        """
        layers = supervised_layers(len(caption_embeds), self.num_layers)
        if not caption_embeds[-1].shape[:2] == ids.shape == valid.shape:
            raise ValueError(
                f'CaptionLoss: caption queries {tuple(caption_embeds[-1].shape)}, ids {tuple(ids.shape)} and valid '
                f'{tuple(valid.shape)} must agree in number and length of captions'
            )
        scored = valid[:, 1:]
        targets = ids[:, 1:][scored]
        losses = {}
        with torch.autocast(token_embedding.device.type, enabled=False):
            classifier = at_least_single(token_embedding)
            for layer, prefix in layers.items():
                logits = at_least_single(caption_embeds[layer][:, :-1][scored]) @ classifier.T
                loss = F.cross_entropy(logits, targets, reduction='sum') / (len(targets) + 1)
                losses[f'{prefix}loss_captioning'] = self.weight * loss
        return losses
