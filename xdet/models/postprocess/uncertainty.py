"""How unsure a model is of the names of pixels, from class logits and masks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .resize import mask_logits


def name_shares(class_logits: Tensor, masks: Tensor, temperature: float = 1.0) -> Tensor:
    """Probability of every name at every pixel, and last that of none of them.

    The score of a name is that of semantic segmentation: the sum over queries of class probability times mask
    probability. None of the names has what the scores leave of 1; where they exceed 1, they are divided by their sum.

    Args:
        class_logits (Tensor): ``[n, K + 1]``, last column no-object.
        masks (Tensor): Mask logits ``[n, ...]``.
        temperature (float): Logarithms of these probabilities are divided by it, which changes no order. It
            acts on what the queries say together: class logits alone cannot mend unsure masks.

    Returns:
        Tensor: ``[K + 1, ...]``, of sum 1.
    """
    probabilities = class_logits.float().softmax(dim=-1)[:, :-1]
    scores = (probabilities.T @ masks.float().sigmoid().flatten(1)).unflatten(1, masks.shape[1:])
    shares = torch.cat([scores, (1 - scores.sum(0, keepdim=True)).clamp(min=0)])
    shares = shares / shares.sum(0, keepdim=True)
    if temperature == 1:
        return shares
    shares = (shares / shares.amax(0, keepdim=True)) ** (1 / temperature)
    return shares / shares.sum(0, keepdim=True)


def entropy(shares: Tensor) -> Tensor:
    """Entropy of :func:`name_shares` in units of its maximum: 0 is sure, 1 is as unsure as can be."""
    return torch.special.entr(shares).sum(0) / math.log(len(shares))


def uncertainty(
    class_logits: Sequence[Tensor],
    mask_embeds: Sequence[Tensor],
    mask_features: Tensor,
    img_shape: tuple[int, int],
    ori_shape: tuple[int, int],
    temperature: float = 1.0,
) -> dict[str, Tensor]:
    """Maps of how unsure a model is, computed on the grid of the mask features and enlarged.

    Args:
        class_logits (Sequence[Tensor]): ``[n, K + 1]`` after every layer of the decoder, the last one final.
        mask_embeds (Sequence[Tensor]): ``[n, C]`` likewise.
        mask_features (Tensor): ``[C, h, w]`` of one image.
        img_shape (tuple[int, int]): Un-padded network input size.
        ori_shape (tuple[int, int]): Size of the maps.
        temperature (float): As in :func:`name_shares`.

    Returns:
        dict[str, Tensor]: ``[1, *ori_shape]`` each, from 0 to 1: ``entropy`` of the names; ``confidence``, the
        probability of the most probable one; ``agreement``, the share of the earlier layers with the same one.
    """
    grid = grid_of(img_shape)
    shares = [
        name_shares(logits, mask_logits(embed, mask_features, img_shape, grid), temperature)
        for logits, embed in zip(class_logits, mask_embeds, strict=True)
    ]
    confidence, named = shares[-1].max(0)
    earlier = [(layer.argmax(0) == named).float() for layer in shares[:-1]] or [torch.ones_like(confidence)]
    maps = torch.stack([entropy(shares[-1]), confidence, torch.stack(earlier).mean(0)])
    maps = F.interpolate(maps[None], ori_shape, mode='bilinear', align_corners=False)[0].clamp(0, 1)
    return dict(zip(('entropy', 'confidence', 'agreement'), maps[:, None], strict=True))


def grid_of(img_shape: tuple[int, int]) -> tuple[int, int]:
    """Height and width on which names of pixels are compared: a quarter of the network's image."""
    return -(-img_shape[0] // 4), -(-img_shape[1] // 4)
