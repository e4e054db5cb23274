"""Incremental evaluation of a causal text transformer: every token is computed once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor

if TYPE_CHECKING:
    from .text_encoder import CausalTextEncoder


class TextStream:
    """Texts of equal length that grow at their ends, with the keys and values of all layers kept.

    In a causal transformer a token depends only on those before it, so what was computed never changes. Concatenated
    over the steps, the results equal ``encoder(ids).tokens``. There are no gradients.

    Args:
        encoder (CausalTextEncoder): The encoder; its weights must not change while the stream is used.
        rows (int): Number of texts R.
        length (int): Most tokens per text; memory for them is allocated by the first step.

    Raises:
        ValueError: ``length`` exceeds the encoder's ``context_length``.
    """

    def __init__(self, encoder: CausalTextEncoder, rows: int, length: int) -> None:
        if length > encoder.context_length:
            raise ValueError(
                f'a stream of {length} tokens was asked for; the text encoder reads up to {encoder.context_length} '
                '(context_length)'
            )
        self.encoder = encoder
        self.rows = rows
        self.length = length
        self.position = 0
        self._past: list[Tensor] = []  # per layer [2, R, heads, length, C / heads]: keys and values

    @torch.no_grad()
    def step(self, ids: Tensor) -> Tensor:
        """Append tokens.

        Args:
            ids (Tensor): int64 ``[R, n]``, the next n tokens of every text; the first step starts with the start token.

        Returns:
            Tensor: ``[R, n, C]`` projected features of these tokens, not normalised.

        Raises:
            ValueError: The number of rows differs, or the texts become longer than ``length``.
        """
        if len(ids) != self.rows:
            raise ValueError(f'step got tokens of {len(ids)} texts; the stream has {self.rows}')
        start, stop = self.position, self.position + ids.shape[1]
        if stop > self.length:
            raise ValueError(f'texts become {stop} tokens long; the stream was made for {self.length}')
        x = self.encoder.embed(ids, start)
        # A token sees those before it and itself; a single one sees everything there is.
        mask = x.new_ones(stop - start, stop, dtype=torch.bool).tril(start) if stop - start > 1 else None
        for layer, block in enumerate(self.encoder.transformer.resblocks):
            x = x + block.ls_1(self._attention(layer, block, block.ln_1(x), mask))
            x = x + block.ls_2(block.mlp(block.ln_2(x)))
        self.position = stop
        return self.encoder.project(x)

    def reorder(self, rows: Tensor) -> None:
        """Continue with other rows: the new row ``i`` is a copy of the old row ``rows[i]``.

        Args:
            rows (Tensor): int64 ``[R']``; rows may repeat, be left out, and be more or fewer than before.
        """
        self.rows = len(rows)
        for layer, past in enumerate(self._past):
            kept = past.new_empty(2, len(rows), *past.shape[2:])
            kept[..., : self.position, :] = past[:, rows.to(past.device), :, : self.position]
            self._past[layer] = kept

    def _attention(self, layer: int, block: ResidualAttentionBlock, x: Tensor, mask: Tensor | None) -> Tensor:
        """Self-attention ``[R, n, C]`` of the new tokens to all so far, whose keys and values it extends."""
        attention = block.attn
        new = F.linear(x, attention.in_proj_weight, attention.in_proj_bias)
        new = new.unflatten(-1, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)  # [3, R, heads, n, C / heads]
        if layer == len(self._past):
            self._past.append(new.new_empty(2, *new.shape[1:3], self.length, new.shape[-1]))
        past, stop = self._past[layer], self.position + x.shape[1]
        past[..., self.position : stop, :] = new[1:]
        keys, values = past[..., :stop, :]
        x = F.scaled_dot_product_attention(new[0], keys, values, attn_mask=mask)
        return attention.out_proj(x.transpose(1, 2).flatten(2))
