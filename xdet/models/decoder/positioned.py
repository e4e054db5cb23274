"""A decoder layer whose queries are told where what they see is."""

from __future__ import annotations

from torch import nn

from xdet.structures import KeysValues, Pixels

from .layers import DecoderLayer


class PositionedLayer(DecoderLayer):
    """A decoder layer in which the positions of pixels enter the values of the attention to the image.

    In :class:`DecoderLayer`, as published, positions enter queries and keys: they decide where a query looks, but what
    it finds there does not say where it was, unless the features do. Here a projection of the position is added to the
    value. It begins as zero, so weights without it give the same numbers.

    Args:
        embed_dims (int): As in :class:`DecoderLayer`.
        num_heads (int): Likewise.
        feedforward_channels (int): Likewise.
    """

    def __init__(self, embed_dims: int, num_heads: int, feedforward_channels: int) -> None:
        super().__init__(embed_dims, num_heads, feedforward_channels)
        self.value_position = nn.Linear(embed_dims, embed_dims, bias=False)
        nn.init.zeros_(self.value_position.weight)

    def image_keys(self, pixels: Pixels) -> KeysValues:
        """As in :class:`DecoderLayer`, with positions in the values."""
        if pixels.keys is not None:
            return pixels.keys
        values = pixels.tokens + self.value_position(pixels.position)
        return self.cross_attn.project(pixels.tokens + pixels.position, values)
