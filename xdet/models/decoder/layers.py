"""One decoder layer: cross-attention to the image, self-attention among queries, feed-forward; all post-norm."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xdet.structures import KeysValues, Pixels


class Attention(nn.Module):
    """Multi-head attention with the projection of keys and values as a step of its own.

    Parameters and numbers are those of ``torch.nn.MultiheadAttention``; that class cannot hand out projected keys and
    values, which incremental captioning reuses between steps, and wants masks repeated per head.

    Args:
        embed_dims (int): Width C.
        num_heads (int): Number of heads.
    """

    def __init__(self, embed_dims: int, num_heads: int) -> None:
        super().__init__()
        if embed_dims % num_heads:
            raise ValueError(f'embed_dims={embed_dims} is not a multiple of num_heads={num_heads}')
        self.num_heads = num_heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * embed_dims, embed_dims))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * embed_dims))
        self.out_proj = nn.Linear(embed_dims, embed_dims)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.xavier_uniform_(self.out_proj.weight)
        nn.init.zeros_(self.out_proj.bias)

    def _project(self, x: Tensor, part: int) -> Tensor:
        weight, bias = self.in_proj_weight.chunk(3)[part], self.in_proj_bias.chunk(3)[part]
        return F.linear(x, weight, bias).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

    def project(self, key: Tensor, value: Tensor) -> KeysValues:
        """Project keys and values, each ``[B, K, C]``."""
        return KeysValues(self._project(key, 1), self._project(value, 2))

    def project_query(self, query: Tensor) -> Tensor:
        """``[B, Q, C]`` -> ``[B, heads, Q, C / heads]``."""
        return self._project(query, 0)

    def forward(self, query: Tensor, keys_values: KeysValues, mask: Tensor | None = None) -> Tensor:
        """Attend.

        Args:
            query (Tensor): ``[B, Q, C]``.
            keys_values (KeysValues): From :meth:`project`.
            mask (Tensor, optional): Bool, broadcastable to ``[B, heads, Q, K]``; True where attending is allowed.

        Returns:
            Tensor: ``[B, Q, C]``.
        """
        attended = F.scaled_dot_product_attention(self.project_query(query), *keys_values, attn_mask=mask)
        return self.out_proj(attended.transpose(1, 2).flatten(2))


class DecoderLayer(nn.Module):
    """X-Decoder layer in Mask2Former's order: cross-attention, self-attention, feed-forward (docs/model.md, 5).

    Args:
        embed_dims (int): Width C.
        num_heads (int): Number of heads of both attentions.
        feedforward_channels (int): Hidden width of the feed-forward network.
    """

    def __init__(self, embed_dims: int, num_heads: int, feedforward_channels: int) -> None:
        super().__init__()
        self.cross_attn = Attention(embed_dims, num_heads)
        self.cross_norm = nn.LayerNorm(embed_dims)
        self.self_attn = Attention(embed_dims, num_heads)
        self.self_norm = nn.LayerNorm(embed_dims)
        self.linear1 = nn.Linear(embed_dims, feedforward_channels)
        self.linear2 = nn.Linear(feedforward_channels, embed_dims)
        self.ffn_norm = nn.LayerNorm(embed_dims)
        for linear in (self.linear1, self.linear2):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def attend_image(self, x: Tensor, position: Tensor, image: KeysValues, mask: Tensor | None) -> Tensor:
        """Cross-attention; ``x`` and ``position`` are ``[B, Q, C]``, ``mask`` as in :class:`Attention`."""
        return self.cross_norm(x + self.cross_attn(x + position, image, mask))

    def attend_image_in_rows(self, x: Tensor, position: Tensor, image: KeysValues, mask: Tensor) -> Tensor:
        """Cross-attention of rows that share images, whose keys exist once.

        Args:
            x (Tensor): ``[B * R, Q, C]``, R rows of every image next to each other.
            position (Tensor): Likewise.
            image (KeysValues): Of the B images.
            mask (Tensor): Bool ``[B * R, Q, HW]``; or ``[B, Q, HW]``, which says that the rows of an image are alike.

        Returns:
            Tensor: ``[B * R, Q, C]``.
        """
        # Lengths by shape: len() would fix them in an exported graph.
        images, alike = image.keys.shape[0], x.shape[0] // mask.shape[0]
        x, position = (part[::alike].reshape(images, -1, part.shape[-1]) for part in (x, position))
        attended = self.attend_image(x, position, image, mask.reshape(images, 1, -1, mask.shape[-1]))
        attended = attended.reshape(mask.shape[0], -1, attended.shape[-1])
        return attended if alike == 1 else attended.repeat_interleave(alike, dim=0)

    def attend_queries(self, x: Tensor, position: Tensor, others: KeysValues, mask: Tensor | None) -> Tensor:
        """Self-attention; ``others`` are the projected queries that may be seen."""
        return self.self_norm(x + self.self_attn(x + position, others, mask))

    def feed_forward(self, x: Tensor) -> Tensor:
        """Feed-forward network with ReLU."""
        return self.ffn_norm(x + self.linear2(F.relu(self.linear1(x))))

    def image_keys(self, pixels: Pixels) -> KeysValues:
        """Keys and values of the image, which depend on nothing else."""
        if pixels.keys is not None:
            return pixels.keys
        return self.cross_attn.project(pixels.tokens + pixels.position, pixels.tokens)

    def forward(
        self, x: Tensor, position: Tensor, pixels: Pixels, image_mask: Tensor, self_mask: Tensor
    ) -> tuple[Tensor, KeysValues]:
        """Run the layer.

        Args:
            x (Tensor): ``[B * R, N, C]`` content of all queries, R rows per image.
            position (Tensor): ``[B * R, N, C]`` their positions.
            pixels (Pixels): The images in this layer's level.
            image_mask (Tensor): Bool ``[B * R or B, n, HW]``; the first n queries attend the image, see
                :meth:`attend_image_in_rows`.
            self_mask (Tensor): Bool ``[1 or B * R, 1, N, N]``.

        Returns:
            tuple[Tensor, KeysValues]: New content ``[B * R, N, C]``, and the keys and values of the queries.
        """
        image, num_attending = self.image_keys(pixels), image_mask.shape[1]
        attending = self.attend_image_in_rows(x[:, :num_attending], position[:, :num_attending], image, image_mask)
        x = torch.cat([attending, x[:, num_attending:]], dim=1)
        others = self.self_attn.project(x + position, x)
        x = self.attend_queries(x, position, others, self_mask)
        return self.feed_forward(x), others
