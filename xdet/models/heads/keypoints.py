"""Points of an object, from its query and the pixels around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchvision.ops import roi_align

from xdet.structures import ImageFeatures

from ..decoder.heads import MLP
from ..numerics.precision import at_least_single


class KeypointLogits(NamedTuple):
    """What is read of n objects.

    Attributes:
        heat (Tensor): ``[n, K, S, S]`` logits of where each point is, on a grid over the object's box.
        visible (Tensor): ``[n, K]`` logits of whether it can be seen at all.
    """

    heat: Tensor
    visible: Tensor


class KeypointHead(nn.Module):
    """Heat maps of K points on a grid of S x S cells over the box of each object.

    The maps are dot products: of K embeddings that are made of the query of the object, and of pixels that are cut out
    of the image features and mixed by a few convolutions. The pixels say where an eye is, the query whose.

    Args:
        num_keypoints (int): Number K of points.
        embed_dims (int): Width C of queries and of ``mask_features``.
        backbone_channels (Sequence[int]): Widths of the backbone's maps of strides 4, 8, ..., of which the first ones
            are read beside ``mask_features``, which know of whole objects only; may be empty.
        channels (int): Width of the pixels on the grid; a multiple of 8.
        grid_size (int): Number S of cells.
        dilations (Sequence[int]): Of the convolutions.
        margin (float): Share of its size by which a box is enlarged on every side.
    """

    def __init__(
        self,
        num_keypoints: int,
        embed_dims: int = 512,
        backbone_channels: Sequence[int] = (),
        channels: int = 64,
        grid_size: int = 16,
        dilations: Sequence[int] = (1, 2, 4, 1),
        margin: float = 0.1,
    ) -> None:
        super().__init__()
        self.backbone_channels = tuple(backbone_channels)
        self.grid_size = grid_size
        self.margin = margin
        # Two channels are the place in the box, one is the mask of the object.
        self.pixels = nn.Conv2d(embed_dims + sum(self.backbone_channels) + 3, channels, 1)
        self.mixing = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=by, dilation=by) for by in dilations)
        self.norms = nn.ModuleList(nn.GroupNorm(8, channels) for _ in range(1 + len(dilations)))
        self.point_embed = nn.Embedding(num_keypoints, embed_dims)
        self.embedding = MLP(embed_dims, embed_dims, channels)
        self.visible = MLP(2 * channels, channels, 1)
        nn.init.trunc_normal_(self.point_embed.weight, std=1.0)  # as large as the normalised state of a query

    def forward(
        self, features: ImageFeatures, boxes: Sequence[Tensor], state: Tensor, mask_embed: Tensor
    ) -> KeypointLogits:
        """Read n objects, those of the first image first.

        Args:
            features (ImageFeatures): Encoded images.
            boxes (Sequence[Tensor]): ``[n_b, 4]`` per image, xyxy in pixels of the padded input.
            state (Tensor): ``[n, C]`` of their queries.
            mask_embed (Tensor): ``[n, C]`` of their queries.
        """
        areas = [enlarged(own, self.margin) for own in boxes]
        maps = (features.mask_features, *features.backbone[: len(self.backbone_channels)])
        cut = [self._cut(at_least_single(level), areas, 4 * features.mask_features.shape[-2]) for level in maps]
        mask = torch.einsum('nc,nchw->nhw', mask_embed, cut[0]).sigmoid()[:, None]
        line = torch.linspace(-1, 1, self.grid_size, device=mask.device, dtype=mask.dtype)
        place = torch.stack(torch.meshgrid(line, line, indexing='xy')).expand(len(mask), -1, -1, -1)
        x = self.norms[0](self.pixels(torch.cat([*cut, mask, place], dim=1))).relu()
        for conv, norm in zip(self.mixing, self.norms[1:], strict=True):
            x = x + norm(conv(x)).relu()
        points = self.embedding(state[:, None] + self.point_embed.weight)  # [n, K, channels]
        heat = torch.einsum('nkc,nchw->nkhw', points, x)
        shares = heat.flatten(2).softmax(-1)
        there = shares @ x.flatten(2).transpose(1, 2)
        return KeypointLogits(heat, self.visible(torch.cat([there, points], dim=-1))[..., 0])

    def _cut(self, level: Tensor, boxes: Sequence[Tensor], height: int) -> Tensor:
        """A map ``[B, C, h, w]`` of images of a height, on the grid of each box: ``[n, C, S, S]``."""
        grid = (self.grid_size, self.grid_size)
        return roi_align(level, [own.to(level) for own in boxes], grid, level.shape[-2] / height, 2, aligned=True)


def enlarged(boxes: Tensor, margin: float) -> Tensor:
    """Boxes ``[n, 4]`` (xyxy) with a share of their size added on every side; no side is shorter than a pixel."""
    size = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1)
    return torch.cat([boxes[:, :2] - margin * size, boxes[:, :2] + (1 + margin) * size], dim=1)


def to_grid(points: Tensor, boxes: Tensor, margin: float) -> Tensor:
    """Points ``[n, K, 2]`` of an image as places in its enlarged boxes ``[n, 4]``, where 0 to 1 is inside."""
    area = enlarged(boxes, margin)
    return (points - area[:, None, :2]) / (area[:, None, 2:] - area[:, None, :2])


def from_grid(places: Tensor, boxes: Tensor, margin: float) -> Tensor:
    """Inverse of :func:`to_grid`."""
    area = enlarged(boxes, margin)
    return area[:, None, :2] + places * (area[:, None, 2:] - area[:, None, :2])


def peaks(heat: Tensor, reach: int = 2) -> Tensor:
    """Places ``[n, K, 2]`` (x, y, 0 to 1) of heat maps ``[n, K, S, S]``: the mean over the cells around the hottest.

    A mean over the whole map would lie between the left and the right paw wherever the model cannot tell them apart.

    Args:
        heat (Tensor): Logits.
        reach (int): Cells on every side of the hottest that count.
    """
    size = heat.shape[-1]
    shares = heat.flatten(2).softmax(-1)
    hottest = shares.argmax(-1, keepdim=True)
    cells = torch.arange(size, device=heat.device)
    rows = ((cells - hottest // size).abs() <= reach).unsqueeze(-1)
    columns = ((cells - hottest % size).abs() <= reach).unsqueeze(-2)
    near = shares.unflatten(-1, (size, size)) * (rows & columns)
    near = near / near.sum((-2, -1), keepdim=True)
    centres = (cells + 0.5).to(heat.dtype) / size
    return torch.stack([(near.sum(-2) * centres).sum(-1), (near.sum(-1) * centres).sum(-1)], dim=-1)
