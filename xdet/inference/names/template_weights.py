"""Weights of the templates that a class name is put into, learned for every name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from xdet.models.similarity import normalize

if TYPE_CHECKING:  # open_clip is slow to import
    from xdet.models.text.vocabulary import ClassNameEncoder


class TemplateWeights(nn.Module):
    """Embeddings of names as weighted means over the templates, with weights of their own for every name.

    Weights are positive and sum to 1, so an embedding stays among those that the text encoder makes of the name. Equal
    weights, as at first, are the embedding of the name itself.

    Args:
        encoder (ClassNameEncoder): Encodes the names, once; nothing of it is trained.
        names (Sequence[str]): Class names.
    """

    rate = 0.1
    """Of Adam: about ten steps can make a weight e times another."""

    def __init__(self, encoder: ClassNameEncoder, names: Sequence[str]) -> None:
        super().__init__()
        self._embedded = encoder.by_template(names)
        self.logits = nn.Parameter(torch.zeros(self._embedded.shape[:2], device=self._embedded.device))

    def forward(self) -> Tensor:
        """Embeddings ``[n, C]`` of unit length, with gradient for the weights alone."""
        return normalize(torch.einsum('nt,ntc->nc', self.logits.softmax(1), self._embedded.float()))

    def shares(self) -> list[dict[str, float]]:
        """By name, the weight of every template, the largest first."""
        from xdet.structures import TEMPLATES  # whose texts are slow to import

        rows = self.logits.detach().softmax(1).tolist()
        return [dict(sorted(zip(TEMPLATES, row, strict=True), key=lambda entry: -entry[1])) for row in rows]
