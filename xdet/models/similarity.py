"""How queries are compared with texts."""

from __future__ import annotations

import torch
from torch import Tensor

from .numerics.precision import at_least_single

EPS = 1e-7
"""Added to norms before division, as the official model does."""
MAX_SCALE = 100.0
"""Largest factor between a cosine and a logit; class logits of segmentation alone are not limited."""


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


def geometric_mixture(logits: Tensor, said: Tensor, share: float | Tensor) -> Tensor:
    """Class logits in which somebody else has a say in the names, not in whether there is an object.

    Args:
        logits (Tensor): ``[..., K + 1]``, "no object" last.
        said (Tensor): ``[..., K]`` logits of the other.
        share (float | Tensor): Weight of the other's logarithms of probabilities in [0, 1], one or ``[K]``; 0 changes
            nothing beyond rounding.

    Returns:
        Tensor: ``[..., K + 1]``; the probability of "no object" is as before.
    """
    own, there = logits[..., :-1].log_softmax(-1), logits[..., :-1].logsumexp(-1, keepdim=True)
    mixed = ((1 - share) * own + share * said.log_softmax(-1)).log_softmax(-1) + there
    return torch.cat([mixed, logits[..., -1:]], -1)


def cosines(left: Tensor, right: Tensor) -> Tensor:
    """Cosines ``[n, m]`` of embeddings ``[n, C]`` and ``[m, C]`` of any length; precision as :func:`cosine_logits`."""
    with torch.autocast(left.device.type, enabled=False):
        return normalize(at_least_single(left)) @ normalize(at_least_single(right)).T


def temperature(logit_scale: Tensor) -> Tensor:
    """Factor between cosines and logits, from its logarithm; at most :data:`MAX_SCALE`."""
    return at_least_single(logit_scale).exp().clamp(max=MAX_SCALE)
