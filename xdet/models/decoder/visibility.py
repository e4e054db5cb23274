"""Turns what query groups declare (``sees``, ``causal``, ``valid``) into the self-attention mask."""

from __future__ import annotations

import torch
from torch import Tensor

from .queries import PackedQueries


def self_attention_mask(queries: PackedQueries) -> Tensor:
    """Who may attend whom in self-attention.

    Args:
        queries (PackedQueries): The packed sequence of N queries.

    Returns:
        Tensor: Bool ``[1, 1, N, N]``, or ``[B, 1, N, N]`` when a group has padding; True where the row's query may
        attend the column's. Every query of padding still sees itself, so that no row is empty.
    """
    device = queries.content.device
    total = queries.content.shape[1]
    allowed = torch.zeros(1, total, total, dtype=torch.bool, device=device)
    for group in queries.groups:
        rows = queries.slices[group.name]
        for name in group.sees:
            allowed[:, rows, queries.slices[name]] = True
        if group.causal and group.name in group.sees:
            allowed[:, rows, rows] = allowed[:, rows, rows].tril()
    padded = {group.name: group.valid for group in queries.groups if group.valid is not None}
    if padded:
        allowed = allowed.repeat(queries.content.shape[0], 1, 1)
        for name, valid in padded.items():
            allowed[:, :, queries.slices[name]] &= valid[:, None, :].to(device)
        allowed |= torch.eye(total, dtype=torch.bool, device=device)
    return allowed[:, None]
