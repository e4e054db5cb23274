"""Losses of retrieval: images against captions (docs/model.md, 8; CLIP, arXiv 2103.00020)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from xdet.models.losses.distributed import RowGather
from xdet.models.losses.supervision import supervised_layers
from xdet.models.losses.targets import RetrievalTargets
from xdet.models.numerics.precision import at_least_single
from xdet.models.similarity import normalize, temperature
from xdet.registry import MODELS


@MODELS.register_module()
class ImageTextContrastiveLoss(nn.Module):
    """Every image finds its caption among those of all ranks, and every caption its image.

    Collective: with several ranks all have to call it, also those without images. Runs in single precision.

    Args:
        official (bool): As the official code: images with equal captions are told apart although nothing tells them
            apart, and gradients through gathered embeddings are too small by the number of ranks. By default all images
            of equal captions are right answers, and gradients are those of one process with the whole batch.
    """

    def __init__(self, official: bool = False) -> None:
        super().__init__()
        self.official = official

    def forward(
        self, image_embeds: Tensor, text_embed: Tensor, logit_scale: Tensor, ids: Tensor | None = None
    ) -> Tensor:
        """Mean of both directions; this rank's n images may be none.

        Args:
            image_embeds (Tensor): ``[n, K, C]``, K embeddings per image that are compared one after the other.
            text_embed (Tensor): ``[n, C]``, the caption of each image.
            logit_scale (Tensor): Logarithm of the factor between cosines and logits.
            ids (Tensor, optional): int64 ``[n]``, equal for equal captions (:func:`text_ids`); without it all differ.

        Returns:
            Tensor: ``[K]``.
        """
        with torch.autocast(text_embed.device.type, enabled=False):
            gather = RowGather(len(text_embed), text_embed.device, self.official)
            images = normalize(gather(at_least_single(image_embeds))).transpose(0, 1)
            texts = normalize(gather(at_least_single(text_embed)))
            same = self._same(ids, gather, texts)
            logits = temperature(logit_scale) * images @ texts.T
            if not len(texts):
                return logits.sum((1, 2))
            target = same / same.sum(1, keepdim=True)
            there, back = soft_cross_entropy(logits, target), soft_cross_entropy(logits.transpose(1, 2), target)
            return (there + back) / 2

    def _same(self, ids: Tensor | None, gather: RowGather, texts: Tensor) -> Tensor:
        """Which of all ranks' captions are equal, ``[N, N]`` of ones and zeros."""
        if ids is None or self.official:
            return torch.eye(len(texts), dtype=texts.dtype, device=texts.device)
        return _equal(gather(ids.to(texts.device)), texts.dtype)


@MODELS.register_module()
class TokenContrastiveLoss(nn.Module):
    """Images against single caption tokens, within this rank's batch: the average object query stands for the image.

    Later tokens of a caption count more, in proportion to their position, since a causal encoder's later tokens know
    more of the caption. Runs in single precision.

    Args:
        image_weight (float): Weight of images choosing among tokens.
        token_weight (float): Weight of tokens choosing among images. This mean over tokens has the same target weights,
            which sum to one over the tokens of a caption and not for each token, as in the official code.
        official (bool): As the official code: images with equal captions are told apart although nothing tells them
            apart.
    """

    def __init__(self, image_weight: float = 0.7, token_weight: float = 0.3, official: bool = False) -> None:
        super().__init__()
        self.image_weight = image_weight
        self.token_weight = token_weight
        self.official = official

    def forward(
        self,
        object_embeds: Tensor,
        text_tokens: Tensor,
        text_valid: Tensor,
        logit_scale: Tensor,
        ids: Tensor | None = None,
    ) -> Tensor:
        """Weighted sum of both directions; n may be 0.

        Args:
            object_embeds (Tensor): ``[n, K, No, C]``, class embeddings of the object queries in K layers.
            text_tokens (Tensor): ``[n, L, C]`` caption tokens.
            text_valid (Tensor): bool ``[n, L]``, True up to and including the end token.
            logit_scale (Tensor): Logarithm of the factor between cosines and logits.
            ids (Tensor, optional): int64 ``[n]``, equal for equal captions (:func:`text_ids`); without it all differ.

        Returns:
            Tensor: ``[K]``.
        """
        with torch.autocast(text_tokens.device.type, enabled=False):
            # The mean cosine of the queries with a token is the product of the mean direction and the token.
            images = normalize(at_least_single(object_embeds)).mean(2).transpose(0, 1)
            tokens = normalize(at_least_single(text_tokens[text_valid]))
            logits = temperature(logit_scale) * images @ tokens.T  # [K, n, T]
            if not len(tokens):
                return logits.sum((1, 2))
            position = text_valid.to(logits.dtype).cumsum(1)[text_valid]
            caption = text_valid.nonzero()[:, 0]
            if ids is None or self.official:
                ids = torch.arange(len(text_valid), device=tokens.device)
            target = _equal(ids.to(tokens.device), logits.dtype)[:, caption] * position
            target = target / target.sum(1, keepdim=True)
            there, back = soft_cross_entropy(logits, target), soft_cross_entropy(logits.transpose(1, 2), target.T)
            return self.image_weight * there + self.token_weight * back


@MODELS.register_module()
class RetrievalLoss(nn.Module):
    """All of retrieval: the image query and the object queries of the last layers, and the pooled backbone.

    Per layer ``weight * (image-text + fine_weight * image-token)``. Collective, see :class:`ImageTextContrastiveLoss`.

    Args:
        weight (float): Weight of the decoder's loss, per layer.
        backbone_weight (float): Weight of the backbone's loss.
        fine_weight (float): Factor of the image-token loss.
        num_layers (int): How many of the last predictions are supervised.
        official (bool): See :class:`ImageTextContrastiveLoss` and :class:`TokenContrastiveLoss`.
    """

    def __init__(
        self,
        weight: float = 8.0,
        backbone_weight: float = 8.0,
        fine_weight: float = 0.5,
        num_layers: int = 3,
        official: bool = False,
    ) -> None:
        super().__init__()
        self.weight = weight
        self.backbone_weight = backbone_weight
        self.fine_weight = fine_weight
        self.num_layers = num_layers
        self.image_text = ImageTextContrastiveLoss(official)
        self.image_token = TokenContrastiveLoss(official=official)

    def forward(
        self,
        image_embeds: Sequence[Tensor],
        object_embeds: Sequence[Tensor],
        backbone_embed: Tensor | None,
        targets: RetrievalTargets,
        logit_scale: Tensor,
    ) -> dict[str, Tensor]:
        """Losses of n images with one caption each; embeddings are of any length, n may be 0.

        Args:
            image_embeds (Sequence[Tensor]): Class embedding ``[n, C]`` of the image query per prediction layer, from
                the raw queries to the final one.
            object_embeds (Sequence[Tensor]): Class embeddings ``[n, No, C]`` of the object queries, likewise.
            backbone_embed (Tensor | None): ``[n, C]`` projected pooled backbone map; None without that half.
            targets (RetrievalTargets): The captions.
            logit_scale (Tensor): Logarithm of the factor between cosines and logits.

        Returns:
            dict[str, Tensor]: Weighted ``loss_retrieval`` of the final layer, ``d{k}.loss_retrieval`` of prediction
            layer k before it, and ``loss_retrieval_backbone``.
        """
        layers = supervised_layers(len(image_embeds), self.num_layers)
        images = [image_embeds[layer] for layer in layers]
        if backbone_embed is not None:
            images.append(backbone_embed)
        # Stacked, so that everything is gathered over ranks at once.
        coarse = self.image_text(torch.stack(images, 1), targets.pooled, logit_scale, targets.ids)
        objects = torch.stack([object_embeds[layer] for layer in layers], 1)
        fine = self.image_token(objects, targets.tokens, targets.valid, logit_scale, targets.ids)
        decoder = coarse[: len(layers)] + self.fine_weight * fine
        losses = {
            f'{prefix}loss_retrieval': self.weight * loss for prefix, loss in zip(layers.values(), decoder, strict=True)
        }
        if backbone_embed is not None:
            losses['loss_retrieval_backbone'] = self.backbone_weight * coarse[-1]
        return losses


def _equal(ids: Tensor, dtype: torch.dtype) -> Tensor:
    """Which of the ids ``[n]`` are equal, ``[n, n]`` of ones and zeros."""
    return (ids[:, None] == ids).to(dtype)


def soft_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Cross entropy ``[...]`` of logits ``[..., n, K]`` with target distributions over the last dimension, mean over n.

    Targets need not sum to one: a row counts as much as its targets do.
    """
    return -(target * logits.log_softmax(-1)).sum(-1).mean(-1)
