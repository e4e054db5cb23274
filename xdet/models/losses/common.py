"""Small pieces that several losses share."""

from __future__ import annotations

import torch
from torch import Tensor

from xdet.models.precision import at_least_single

MAX_SCALE = 100.0
"""Largest factor between a cosine and a logit; class logits of segmentation alone are not limited."""


def temperature(logit_scale: Tensor) -> Tensor:
    """Factor between cosines and logits, from its logarithm; at most :data:`MAX_SCALE`."""
    return at_least_single(logit_scale).exp().clamp(max=MAX_SCALE)


def supervised_layers(num_predictions: int, num_layers: int) -> dict[int, str]:
    """The last ``num_layers`` of ``num_predictions`` predictions and what their losses' names start with.

    Returns:
        dict[int, str]: ``d{k}.`` for prediction k (0: raw queries), nothing for the final one.

    Raises:
        ValueError: ``num_layers`` is not positive.
    """
    if num_layers < 1:
        raise ValueError(f'num_layers is {num_layers}; a loss needs at least 1 prediction layer')
    last = num_predictions - 1
    first = max(0, num_predictions - num_layers)
    return {layer: '' if layer == last else f'd{layer}.' for layer in range(first, num_predictions)}


def pad_masks(masks: Tensor, size: tuple[int, int], dtype: torch.dtype) -> Tensor:
    """Masks ``[n, H, W]`` as ``dtype``, padded with zeros at the right and the bottom."""
    height, width = masks.shape[-2:]
    padded = masks.new_zeros((len(masks), *size), dtype=dtype)
    padded[:, :height, :width] = masks
    return padded


def check_mask_size(masks: Tensor, size: tuple[int, int], name: str) -> None:
    """Raise ValueError if masks ``[n, H, W]`` exceed the padded input."""
    if masks.shape[-2] > size[0] or masks.shape[-1] > size[1]:
        raise ValueError(f'{name}: masks of {tuple(masks.shape[-2:])} do not fit into the padded input {tuple(size)}')


def soft_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Cross entropy ``[...]`` of logits ``[..., n, K]`` with target distributions over the last dimension, mean over n.

    Targets need not sum to one: a row counts as much as its targets do.
    """
    return -(target * logits.log_softmax(-1)).sum(-1).mean(-1)
