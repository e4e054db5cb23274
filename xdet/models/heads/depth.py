"""How far away every pixel is, from the image features alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xdet.structures import ImageFeatures

from ..numerics.precision import at_least_single


class DepthHead(nn.Module):
    """Logarithms of depths from what the decoder attends to: ``mask_features``, ``memory`` and perhaps the backbone.

    All maps are brought to stride 4 and added, a few dilated convolutions mix them, and every cell says the depths of
    its 4 x 4 pixels, so that borders can be as sharp as the image.

    Args:
        embed_dims (int): Width C of ``mask_features`` and ``memory``.
        backbone_channels (Sequence[int]): Widths of the backbone's maps of strides 4, 8, ..., of which the first ones
            are read, too; may be empty.
        channels (int): Width of the head; a multiple of 8.
        dilations (Sequence[int]): Of the convolutions.
        typical (float): The depth, in metres, that an untrained head gives about.
    """

    def __init__(
        self,
        embed_dims: int = 512,
        backbone_channels: Sequence[int] = (),
        channels: int = 64,
        dilations: Sequence[int] = (1, 2, 4, 1),
        typical: float = 3.0,
    ) -> None:
        super().__init__()
        self.backbone_channels = tuple(backbone_channels)
        widths = (embed_dims, embed_dims, embed_dims, embed_dims, *self.backbone_channels)
        self.inputs = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in widths)
        self.place = nn.Conv2d(2, channels, 1)
        self.mixing = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=by, dilation=by) for by in dilations)
        self.norms = nn.ModuleList(nn.GroupNorm(8, channels) for _ in range(1 + len(dilations)))
        self.output = nn.Conv2d(channels, 16, 1)
        assert self.output.bias is not None
        nn.init.constant_(self.output.bias, math.log(typical))

    def forward(self, features: ImageFeatures) -> Tensor:
        """Logarithms of metres ``[B, H, W]`` for every pixel of the padded input.

        Args:
            features (ImageFeatures): Encoded images.
        """
        maps = (features.mask_features, *features.memory, *features.backbone[: len(self.backbone_channels)])
        size = features.mask_features.shape[-2:]
        lines = [torch.linspace(-1, 1, side, device=maps[0].device) for side in reversed(size)]
        place = torch.stack(torch.meshgrid(*lines, indexing='xy'))[None].to(self.place.weight.dtype)
        x = self.place(place)
        for level, conv in zip(maps, self.inputs, strict=True):
            x = x + F.interpolate(conv(at_least_single(level)), size, mode='bilinear', align_corners=False)
        x = self.norms[0](x).relu()
        for conv, norm in zip(self.mixing, self.norms[1:], strict=True):
            x = x + norm(conv(x)).relu()
        return F.pixel_shuffle(self.output(x), 4)[:, 0]
