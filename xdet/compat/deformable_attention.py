"""Multi-scale deformable attention in plain PyTorch, for an mmcv that was installed without compiled operators.

`Deformable DETR <https://arxiv.org/abs/2010.04159>`_, equations 2 and 3. Signature, parameter names and results are
those of ``mmcv.ops.MultiScaleDeformableAttention``, so mmdet's layers and their weights work with either.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule, constant_init, xavier_init
from torch import Tensor, nn


class MultiScaleDeformableAttention(BaseModule):
    """Every query reads a few points of every map, at places and with weights that it predicts itself.

    Args:
        embed_dims (int): Channels ``C``, a multiple of ``num_heads``.
        num_heads (int): Heads.
        num_levels (int): Maps.
        num_points (int): Points per query, head and map.
        im2col_step (int): Setting of mmcv's kernels, without effect here.
        dropout (float): Dropout of the result, before the residual sum.
        batch_first (bool): Whether tokens are ``[B, N, C]``; else ``[N, B, C]``.
        norm_cfg (dict, optional): Accepted as in mmcv, where it has no effect either.
        init_cfg (dict | list[dict], optional): See mmengine.
        value_proj_ratio (float): Width of the values in units of ``embed_dims``.

    Raises:
        ValueError: ``embed_dims`` is no multiple of ``num_heads``.
    """

    def __init__(
        self,
        embed_dims: int = 256,
        num_heads: int = 8,
        num_levels: int = 4,
        num_points: int = 4,
        im2col_step: int = 64,
        dropout: float = 0.1,
        batch_first: bool = False,
        norm_cfg: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
        value_proj_ratio: float = 1.0,
    ) -> None:
        super().__init__(init_cfg)
        if embed_dims % num_heads:
            raise ValueError(f'embed_dims must be a multiple of num_heads, but they are {embed_dims} and {num_heads}')
        self.embed_dims, self.num_heads = embed_dims, num_heads
        self.num_levels, self.num_points = num_levels, num_points
        self.batch_first = batch_first
        samples = num_heads * num_levels * num_points
        self.sampling_offsets = nn.Linear(embed_dims, 2 * samples)
        self.attention_weights = nn.Linear(embed_dims, samples)
        self.value_proj = nn.Linear(embed_dims, int(embed_dims * value_proj_ratio))
        self.output_proj = nn.Linear(int(embed_dims * value_proj_ratio), embed_dims)
        self.dropout = nn.Dropout(dropout)
        self.init_weights()

    def init_weights(self) -> None:
        """At first head h looks into direction h of a star, its point p at a distance of p + 1 pixels, all alike."""
        device = self.sampling_offsets.bias.device
        angles = torch.arange(self.num_heads, dtype=torch.float32, device=device) * (2 * math.pi / self.num_heads)
        directions = torch.stack((angles.cos(), angles.sin()), dim=-1)
        directions = directions / directions.abs().amax(dim=-1, keepdim=True)
        distances = torch.arange(1, self.num_points + 1, dtype=torch.float32, device=device)
        offsets = (directions[:, None, None] * distances[:, None]).expand(-1, self.num_levels, -1, -1)
        constant_init(self.sampling_offsets, 0.0)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(offsets.reshape(-1))
        constant_init(self.attention_weights, 0.0)
        xavier_init(self.value_proj, distribution='uniform')
        xavier_init(self.output_proj, distribution='uniform')
        self._is_init = True

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        identity: Tensor | None = None,
        query_pos: Tensor | None = None,
        key_padding_mask: Tensor | None = None,
        reference_points: Tensor | None = None,
        spatial_shapes: Tensor | None = None,
        **kwargs,
    ) -> Tensor:
        """Attend and add the result to ``identity``.

        Args:
            query (Tensor): Tokens ``[B, Q, C]`` (if ``batch_first``).
            key (Tensor, optional): Not used: weights follow from the queries alone.
            value (Tensor, optional): Pixels ``[B, N, C]`` of all maps, one map after the other; by default ``query``.
            identity (Tensor, optional): What the result is added to; by default ``query``.
            query_pos (Tensor, optional): Added to the queries.
            key_padding_mask (Tensor, optional): bool ``[B, N]``, True for pixels that count as zeros.
            reference_points (Tensor): ``[B, Q, L, 2]`` x, y in 0..1 from corner to corner of a map, offsets being in
                pixels of it; or ``[B, Q, L, 4]`` boxes x, y, w, h, offsets being in units of the box.
            spatial_shapes (Tensor): int ``[L, 2]`` height and width of the maps.
            **kwargs: Ignored; what mmcv's operator or other kinds of attention take.

        Returns:
            Tensor: Shaped as ``query``.

        Raises:
            ValueError: Reference points have neither 2 nor 4 coordinates, or the maps do not have N pixels.
        """
        value = query if value is None else value
        identity = query if identity is None else identity
        query = query if query_pos is None else query + query_pos
        if not self.batch_first:
            query, value = query.transpose(0, 1), value.transpose(0, 1)
        batch, queries = query.shape[:2]
        maps = [(int(height), int(width)) for height, width in spatial_shapes.tolist()]
        if sum(height * width for height, width in maps) != value.shape[1]:
            raise ValueError(f'maps of sizes {maps} do not have {value.shape[1]} pixels')
        value = self.value_proj(value)
        if key_padding_mask is not None:
            value = value.masked_fill(key_padding_mask[..., None], 0.0)
        value = value.view(batch, value.shape[1], self.num_heads, -1)
        per_head = (batch, queries, self.num_heads, self.num_levels, self.num_points)
        weights = self.attention_weights(query).view(*per_head[:3], -1).softmax(dim=-1).view(per_head)
        offsets = self.sampling_offsets(query).view(*per_head, 2)
        output = self.output_proj(sample_maps(value, maps, self._locate(reference_points, offsets, maps), weights))
        return self.dropout(output if self.batch_first else output.transpose(0, 1)) + identity

    def _locate(self, reference: Tensor, offsets: Tensor, maps: Sequence[tuple[int, int]]) -> Tensor:
        """Places ``[B, Q, heads, L, P, 2]``, x and y in 0..1, of all points."""
        reference = reference[:, :, None, :, None]
        if reference.shape[-1] == 2:
            return reference + offsets / offsets.new_tensor([(width, height) for height, width in maps])[:, None]
        if reference.shape[-1] == 4:
            return reference[..., :2] + offsets / self.num_points * reference[..., 2:] * 0.5
        raise ValueError(f'reference points have {reference.shape[-1]} coordinates; accepted are 2 and 4')


def sample_maps(value: Tensor, maps: Sequence[tuple[int, int]], places: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums of bilinearly sampled pixels; outside of the maps there are zeros.

    Args:
        value (Tensor): Pixels ``[B, N, heads, D]`` of all maps, one map after the other.
        maps (Sequence[tuple[int, int]]): Height and width of the ``L`` maps.
        places (Tensor): ``[B, Q, heads, L, P, 2]``, x and y in 0..1 from corner to corner of a map.
        weights (Tensor): ``[B, Q, heads, L, P]``.

    Returns:
        Tensor: ``[B, Q, heads * D]``.
    """
    batch, _, heads, dim = value.shape
    total = value.new_zeros(batch * heads, dim, places.shape[1])
    pixels = value.split([height * width for height, width in maps], dim=1)
    for level, (height, width) in enumerate(maps):
        image = pixels[level].permute(0, 2, 3, 1).reshape(batch * heads, dim, height, width)
        grid = 2 * places[:, :, :, level].transpose(1, 2).flatten(0, 1) - 1
        sampled = F.grid_sample(image, grid, mode='bilinear', padding_mode='zeros', align_corners=False)
        total = total + (sampled * weights[:, :, :, level].transpose(1, 2).flatten(0, 1)[:, None]).sum(dim=-1)
    return total.view(batch, heads * dim, -1).transpose(1, 2)
