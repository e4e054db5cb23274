"""DaViT backbone of X-Decoder: timm's layers with the settings and the outputs of the release.

`DaViT: Dual Attention Vision Transformers <https://arxiv.org/abs/2204.03645>`_. timm's DaViT computes the same values
as the release's; :mod:`xdet.compat.official_weights` translates the names of the parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from timm.layers.drop import DropPath
from timm.models.davit import DaVit
from torch import Tensor

from xdet.registry import MODELS


@MODELS.register_module()
class DaViT(BaseModule):
    """DaViT with one output per stage, none of them normalised.

    A block is a spatial half (attention in windows) followed by a channel half (attention between channels). DaViT-d3
    of X-Decoder is the default; DaViT-d5 is ``embed_dims=(256, 512, 1024, 2048), num_heads=(8, 16, 32, 64),
    down_kernel_size=3``.

    Args:
        in_channels (int): Channels of the image.
        embed_dims (Sequence[int]): Channels per stage.
        depths (Sequence[int]): Blocks per stage.
        num_heads (Sequence[int]): Heads of window attention and groups of channel attention, per stage.
        window_size (int): Side of the windows; maps are zero-padded at the right and the bottom to multiples of it.
        down_kernel_size (int): Kernel of the convolutions between stages; their stride is 2.
        mlp_ratio (float): Hidden width of the MLPs in units of the channels.
        drop_path_rate (float): Stochastic depth of the last half-block; it grows linearly from 0 over all of them.
        with_cp (bool): Recompute activations in the backward pass to save memory.
        init_cfg (dict | list[dict], optional): Initialisation; by default linear weights are drawn from a truncated
            normal distribution of standard deviation 0.02.

    Raises:
        ValueError: The per-stage settings are not equally many.
    """

    def __init__(
        self,
        in_channels: int = 3,
        embed_dims: Sequence[int] = (128, 256, 512, 1024),
        depths: Sequence[int] = (1, 1, 9, 1),
        num_heads: Sequence[int] = (4, 8, 16, 32),
        window_size: int = 7,
        down_kernel_size: int = 2,
        mlp_ratio: float = 4.0,
        drop_path_rate: float = 0.3,
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg or dict(type='TruncNormal', layer='Linear', std=0.02, bias=0.0))
        if not len(embed_dims) == len(depths) == len(num_heads):
            raise ValueError(
                f'DaViT needs as many embed_dims ({len(embed_dims)}) as depths ({len(depths)}) '
                f'and num_heads ({len(num_heads)})'
            )
        self.num_features = tuple(embed_dims)
        model: Any = DaVit(  # as a type, its parts are just modules
            in_chans=in_channels,
            depths=tuple(depths),
            embed_dims=tuple(embed_dims),
            num_heads=tuple(num_heads),
            window_size=window_size,
            mlp_ratio=mlp_ratio,
            down_kernel_size=down_kernel_size,
            channel_attn_v2=True,
            named_blocks=True,
            num_classes=0,
        )
        self.stem, self.stages = model.stem, model.stages  # without timm's classification head
        for stage in self.stages:
            stage.set_grad_checkpointing(with_cp)
        self._set_drop_path(drop_path_rate)

    def _set_drop_path(self, rate: float) -> None:
        """One rate per half-block as in the release; timm gives both halves of a block the same."""
        halves = [half for stage in self.stages for block in stage.blocks for half in block]
        for half, drop_prob in zip(halves, torch.linspace(0, rate, len(halves), device='cpu').tolist(), strict=True):
            half.drop_path1, half.drop_path2 = DropPath(drop_prob), DropPath(drop_prob)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the feature maps.

        Args:
            x (Tensor): Normalised images ``[B, in_channels, H, W]``.

        Returns:
            tuple[Tensor, ...]: One map ``[B, C_i, H/s, W/s]`` per stage, strides s = 4, 8, 16, 32.
        """
        x = self.stem(x)
        outputs = []
        for stage in self.stages:
            x = stage(x)
            outputs.append(x)
        return tuple(outputs)
