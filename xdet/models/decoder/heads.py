"""Prediction heads shared by all layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xdet.models.similarity import normalize
from xdet.structures import LayerPrediction

from .queries import PackedQueries


class MLP(nn.Module):
    """Linear layers with ReLU between them.

    Args:
        widths (int): Of the input, of what lies between layers, and of the output.
    """

    def __init__(self, *widths: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in zip(widths, widths[1:], strict=False))

    def forward(self, x: Tensor) -> Tensor:
        """``[..., widths[0]]`` -> ``[..., widths[-1]]``."""
        for layer in self.layers[:-1]:
            x = layer(x).relu()
        return self.layers[-1](x)


class PredictionHeads(nn.Module):
    """Class and mask embeddings of the queries that predict masks.

    Args:
        embed_dims (int): Width C of queries, of class embeddings and of mask embeddings.
    """

    def __init__(self, embed_dims: int) -> None:
        super().__init__()
        self.decoder_norm = nn.LayerNorm(embed_dims)
        self.class_embed = nn.Parameter(torch.empty(embed_dims, embed_dims))
        self.mask_embed = MLP(embed_dims, embed_dims, embed_dims, embed_dims)
        nn.init.trunc_normal_(self.class_embed, std=0.02)

    def read_out(self, x: Tensor, queries: PackedQueries) -> LayerPrediction:
        """Read the predictions out of query states ``x`` ``[B, N, C]``."""
        state = self.decoder_norm(x)
        readout = state[:, : queries.num_masked]
        for group in queries.groups:
            if group.pools is not None:
                readout = _pool(readout, queries.slices[group.name], queries.slices[group.pools])
        return LayerPrediction(
            slices=queries.slices,
            class_embed=readout @ self.class_embed,
            mask_embed=self.mask_embed(readout),
            state=state,
        )


def _pool(state: Tensor, rows: slice, source: slice) -> Tensor:
    """Replace ``rows`` by averages of ``source`` weighted by the softmax of their cosine similarity.

    The temperature is 1 and the averaged states are not normalised, both as in the official model.
    """
    directions = normalize(state)
    weights = (directions[:, rows] @ directions[:, source].transpose(1, 2)).softmax(dim=-1)
    return torch.cat([state[:, : rows.start], weights @ state[:, source], state[:, rows.stop :]], dim=1)
