"""FocalNet backbone of X-Decoder in its two block variants.

Focal modulation: `Focal Modulation Networks <https://arxiv.org/abs/2203.11926>`_. The variants are those of the
X-Decoder release: ``focal`` (Focal-L) and ``focal_dw`` (Focal-T), which adds two depth-wise convolutions per block and
normalises after the residual sum. Parameter names are those of the release.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from xdet.models.numerics.convolutions import PointwiseConv2d
from xdet.registry import MODELS

_STEM_PADDING = {'focal': 2, 'focal_dw': 3}


class PatchEmbed(nn.Module):
    """Convolution that reduces the resolution by ``stride``, followed by a LayerNorm over channels.

    Args:
        in_channels (int): Channels of the input.
        embed_dims (int): Channels of the output.
        kernel_size (int): Kernel of the convolution.
        stride (int): Stride; the input is zero-padded at the right and the bottom to a multiple of it.
        padding (int): Padding of the convolution.
    """

    def __init__(self, in_channels: int, embed_dims: int, kernel_size: int, stride: int, padding: int) -> None:
        super().__init__()
        self.stride = stride
        self.proj = nn.Conv2d(in_channels, embed_dims, kernel_size, stride, padding)
        self.norm = nn.LayerNorm(embed_dims)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` -> ``[B, H/stride, W/stride, embed_dims]``."""
        height, width = x.shape[-2:]
        x = F.pad(x, (0, -width % self.stride, 0, -height % self.stride))
        return self.norm(self.proj(x).permute(0, 2, 3, 1))


class DropPath(nn.Module):
    """Drops a branch of some images in training and scales it up in the others; mmcv's, with its random numbers.

    Args:
        drop_prob (float): Probability of dropping.
    """

    def __init__(self, drop_prob: float) -> None:
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x: Tensor) -> Tensor:
        """``[B, ...]`` -> ``[B, ...]``."""
        if not self._drops:
            return x
        keep = 1 - self.drop_prob
        draws = torch.rand((x.shape[0],) + (1,) * (x.ndim - 1), dtype=x.dtype, device=x.device)
        return x.div(keep) * (keep + draws).floor()

    def add(self, x: Tensor, scale: Tensor, branch: Tensor) -> Tensor:
        """``x`` plus the scaled branch, dropped in some images; in one go where nothing is dropped."""
        return x + self(scale * branch) if self._drops else torch.addcmul(x, scale, branch)

    @property
    def _drops(self) -> bool:
        return self.training and self.drop_prob > 0


class FocalModulation(nn.Module):
    """Gated aggregation of context at growing scales, modulating a query per pixel.

    Args:
        dim (int): Channels.
        focal_level (int): Number of depth-wise convolutions; a global average follows them.
        focal_window (int): Kernel size of the first one; each further one is larger by 2.
    """

    def __init__(self, dim: int, focal_level: int, focal_window: int) -> None:
        super().__init__()
        self.dim = dim
        self.focal_level = focal_level
        self.f = nn.Linear(dim, 2 * dim + focal_level + 1)
        self.h = PointwiseConv2d(dim, dim, 1)
        self.proj = nn.Linear(dim, dim)
        self.focal_layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(dim, dim, kernel, padding=kernel // 2, groups=dim, bias=False), nn.GELU())
            for kernel in range(focal_window, focal_window + 2 * focal_level, 2)
        )

    def forward(self, x: Tensor) -> Tensor:
        """``[B, H, W, C]`` -> ``[B, H, W, C]``."""
        query, context, gates = self._parts(x)
        gates = gates / (self.focal_level + 1)
        aggregate = torch.zeros((), dtype=x.dtype, device=x.device)
        for level, layer in enumerate(self.focal_layers):
            context = layer(context.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
            aggregate = torch.addcmul(aggregate, context, gates[..., level : level + 1])
        global_context = F.gelu(context.mean(dim=(1, 2), keepdim=True))
        aggregate = torch.addcmul(aggregate, global_context, gates[..., self.focal_level :])
        return self.proj(query * self.h(aggregate.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))

    def _parts(self, x: Tensor) -> Sequence[Tensor]:
        """Query, context and gates from three products, so that each is dense, channels of a pixel side by side."""
        parts = (self.dim, self.dim, self.focal_level + 1)
        if type(self.f) is not nn.Linear:  # wrapped, by an adapter for example, which its weights know nothing of
            return self.f(x).split(parts, dim=-1)
        weights, biases = self.f.weight.split(parts), self.f.bias.split(parts)
        return [F.linear(x, weight, bias) for weight, bias in zip(weights, biases, strict=True)]


class Mlp(nn.Module):
    """Two linear layers with a GELU between them."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """``[..., C]`` -> ``[..., C]``."""
        return self.fc2(F.gelu(self.fc1(x)))


class FocalBlock(nn.Module):
    """Block ``focal``: focal modulation and MLP, each normalised on its branch before the residual sum.

    Args:
        dim (int): Channels.
        focal_level (int): See :class:`FocalModulation`.
        focal_window (int): See :class:`FocalModulation`.
        mlp_ratio (float): Hidden width of the MLP in units of ``dim``.
        drop_path (float): Probability of dropping a branch of one image in training.
        layer_scale_init (float): Initial value of the scale of each branch.
    """

    def __init__(
        self,
        dim: int,
        focal_level: int,
        focal_window: int,
        mlp_ratio: float = 4.0,
        drop_path: float = 0.0,
        layer_scale_init: float = 1e-4,
    ) -> None:
        super().__init__()
        self.modulation = FocalModulation(dim, focal_level, focal_window)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.gamma_1 = nn.Parameter(torch.full((dim,), layer_scale_init))
        self.gamma_2 = nn.Parameter(torch.full((dim,), layer_scale_init))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, H, W, C]`` -> ``[B, H, W, C]``."""
        x = self.drop_path.add(x, self.gamma_1, self.norm1(self.modulation(x)))
        return self.drop_path.add(x, self.gamma_2, self.norm2(self.mlp(x)))


class FocalDWBlock(FocalBlock):
    """Block ``focal_dw``: a depth-wise convolution before each branch, normalisation after the residual sum.

    Args:
        dim (int): Channels.
        **kwargs: As in :class:`FocalBlock`.
    """

    def __init__(self, dim: int, **kwargs: Any) -> None:
        super().__init__(dim, **kwargs)
        self.dw1 = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.dw2 = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, H, W, C]`` -> ``[B, H, W, C]``."""
        x = x + self._depthwise(self.dw1, x)
        x = self.norm1(self.drop_path.add(x, self.gamma_1, self.modulation(x)))
        x = x + self._depthwise(self.dw2, x)
        return self.norm2(self.drop_path.add(x, self.gamma_2, self.mlp(x)))

    @staticmethod
    def _depthwise(conv: nn.Conv2d, x: Tensor) -> Tensor:
        return conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class FocalStage(nn.Module):
    """Blocks of one resolution and the convolution that leads to the next.

    Args:
        blocks (Sequence[nn.Module]): The blocks.
        downsample (nn.Module, optional): What follows them; None in the last stage.
        with_cp (bool): Recompute the blocks' activations in the backward pass instead of keeping them.
    """

    def __init__(self, blocks: Sequence[nn.Module], downsample: nn.Module | None, with_cp: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample
        self.with_cp = with_cp

    def forward(self, x: Tensor) -> Tensor:
        """``[B, H, W, C]`` -> ``[B, H, W, C]``, before down-sampling."""
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False) if self.with_cp and x.requires_grad else block(x)
        return x


@MODELS.register_module()
class FocalNet(BaseModule):
    """FocalNet with one normalised output per stage.

    Focal-T of X-Decoder is the default; Focal-L is ``block='focal', embed_dims=192, depths=(2, 2, 18, 2),
    focal_levels=(4, 4, 4, 4)``.

    Args:
        block (str): ``'focal'`` (Focal-L) or ``'focal_dw'`` (Focal-T); also decides the padding of the stem.
        in_channels (int): Channels of the image.
        embed_dims (int): Channels of the first stage; every further stage doubles them.
        depths (Sequence[int]): Blocks per stage.
        focal_levels (Sequence[int]): Context levels per stage.
        focal_windows (Sequence[int]): Smallest kernel per stage.
        mlp_ratio (float): Hidden width of the MLPs in units of the channels.
        drop_path_rate (float): Stochastic depth of the last block; it grows linearly from 0 over all blocks.
        layer_scale_init (float): Initial value of the scale of each residual branch.
        with_cp (bool): Recompute activations in the backward pass to save memory.
        init_cfg (dict | list[dict], optional): Initialisation; by default linear weights are drawn from a truncated
            normal distribution of standard deviation 0.02.

    Raises:
        ValueError: ``block`` is unknown or the per-stage settings are not equally many.
    """

    def __init__(
        self,
        block: str = 'focal_dw',
        in_channels: int = 3,
        embed_dims: int = 96,
        depths: Sequence[int] = (2, 2, 6, 2),
        focal_levels: Sequence[int] = (3, 3, 3, 3),
        focal_windows: Sequence[int] = (3, 3, 3, 3),
        mlp_ratio: float = 4.0,
        drop_path_rate: float = 0.3,
        layer_scale_init: float = 1e-4,
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg or dict(type='TruncNormal', layer='Linear', std=0.02, bias=0.0))
        if block not in _STEM_PADDING:
            raise ValueError(f"FocalNet block is {block!r}; accepted are 'focal' and 'focal_dw'")
        if not len(depths) == len(focal_levels) == len(focal_windows):
            raise ValueError(
                f'FocalNet needs as many depths ({len(depths)}) as focal_levels ({len(focal_levels)}) '
                f'and focal_windows ({len(focal_windows)})'
            )
        if min(depths) < 1:
            raise ValueError(f'FocalNet depths is {tuple(depths)}; every stage needs a block or more')
        block_class = FocalDWBlock if block == 'focal_dw' else FocalBlock
        self.num_features = tuple(embed_dims * 2**stage for stage in range(len(depths)))
        self.patch_embed = PatchEmbed(in_channels, embed_dims, kernel_size=7, stride=4, padding=_STEM_PADDING[block])
        drop_rates = iter(torch.linspace(0, drop_path_rate, sum(depths), device='cpu').tolist())
        self.layers = nn.ModuleList()
        for stage, (dim, depth) in enumerate(zip(self.num_features, depths, strict=True)):
            blocks = [
                block_class(
                    dim,
                    focal_level=focal_levels[stage],
                    focal_window=focal_windows[stage],
                    mlp_ratio=mlp_ratio,
                    drop_path=next(drop_rates),
                    layer_scale_init=layer_scale_init,
                )
                for _ in range(depth)
            ]
            last = stage == len(depths) - 1
            downsample = None if last else PatchEmbed(dim, 2 * dim, kernel_size=3, stride=2, padding=1)
            self.layers.append(FocalStage(blocks, downsample, with_cp))
            self.add_module(f'norm{stage}', nn.LayerNorm(dim))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the feature maps.

        Args:
            x (Tensor): Normalised images ``[B, in_channels, H, W]``.

        Returns:
            tuple[Tensor, ...]: One map ``[B, C_i, H/s, W/s]`` per stage, strides s = 4, 8, 16, 32.
        """
        x = self.patch_embed(x)
        outputs = []
        for stage, layer in enumerate(self.layers):
            x = layer(x)
            # Only the output is normalised; the next stage continues from the un-normalised features.
            feat = getattr(self, f'norm{stage}')(x).permute(0, 3, 1, 2)
            # On CPUs the layout stays as it is, outside of graphs; what follows goes on in it.
            kept = feat.device.type == 'cpu' and not torch.compiler.is_compiling()
            outputs.append(feat if kept else feat.contiguous())
            downsample = layer.downsample
            if isinstance(downsample, PatchEmbed):
                x = downsample(x.permute(0, 3, 1, 2))
        return tuple(outputs)
