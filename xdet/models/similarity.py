"""How queries are compared with texts."""

from __future__ import annotations

from torch import Tensor

EPS = 1e-7
"""Added to norms before division, as the official model does."""


def normalize(x: Tensor) -> Tensor:
    """``x`` divided by its norm over the last dimension plus :data:`EPS`."""
    return x / (x.norm(dim=-1, keepdim=True) + EPS)


def cosine_logits(embeddings: Tensor, text: Tensor, logit_scale: Tensor) -> Tensor:
    """Class logits: scaled cosine between query embeddings and text embeddings (scale not clamped).

    Args:
        embeddings (Tensor): ``[..., C]`` un-normalised class embeddings.
        text (Tensor): ``[K, C]`` normalised text embeddings.
        logit_scale (Tensor): Logarithm of the scale, a scalar.

    Returns:
        Tensor: ``[..., K]``.
    """
    return (logit_scale.exp() * normalize(embeddings)) @ text.transpose(-1, -2)
