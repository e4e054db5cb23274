"""How queries are compared with texts."""

from __future__ import annotations

import torch
from torch import Tensor

from .precision import at_least_single

EPS = 1e-7
"""Added to norms before division, as the official model does."""


def normalize(x: Tensor) -> Tensor:
    """``x`` divided by its norm over the last dimension plus :data:`EPS`."""
    return x / (x.norm(dim=-1, keepdim=True) + EPS)


def cosine_logits(embeddings: Tensor, text: Tensor, logit_scale: Tensor) -> Tensor:
    """Class logits: scaled cosine between query embeddings and text embeddings (scale not clamped).

    At least in single precision, also under autocast: rounded to half, similar classes would become equal.

    Args:
        embeddings (Tensor): ``[..., C]`` un-normalised class embeddings.
        text (Tensor): ``[K, C]`` normalised text embeddings.
        logit_scale (Tensor): Logarithm of the scale, a scalar.

    Returns:
        Tensor: ``[..., K]``.
    """
    with torch.autocast(embeddings.device.type, enabled=False):
        embeddings, text, logit_scale = map(at_least_single, (embeddings, text, logit_scale))
        return (logit_scale.exp() * normalize(embeddings)) @ text.transpose(-1, -2)


def cosines(left: Tensor, right: Tensor) -> Tensor:
    """Cosines ``[n, m]`` of embeddings ``[n, C]`` and ``[m, C]`` of any length; precision as :func:`cosine_logits`."""
    with torch.autocast(left.device.type, enabled=False):
        return normalize(at_least_single(left)) @ normalize(at_least_single(right)).T
