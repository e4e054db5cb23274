"""How far away every pixel is: an output of the pixel side of the decoder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from torch import Tensor

from xdet.models.context import TaskContext
from xdet.models.heads.depth import DepthHead
from xdet.registry import MODELS, TASKS
from xdet.structures import DecoderOutput, XDetDataSample

from .base import TaskAdapter, describe


@TASKS.register_module()
class DepthTask(TaskAdapter):
    """Depth maps (docs/depth.md). The task has no queries, and reads what the decoder reads of an image.

    Args:
        embed_dims (int): Width C of the decoder.
        head (Mapping, optional): Options of :class:`~xdet.models.heads.depth.DepthHead`.
        detach (bool): Read the features without changing what makes them, so that the other tasks stay as they are.
            Otherwise the loss trains the image encoder, as far as it is not frozen.
        min_depth (float): Least depth that is reported, in metres.
        max_depth (float): Greatest depth that is reported.
        loss (dict, optional): Config of the criterion; None for a model that is only used, not trained.

    Raises:
        ValueError: The range of depths is empty or not positive.
    """

    names = ('depth',)
    targets = 'depths'

    def __init__(
        self,
        embed_dims: int = 512,
        head: Mapping[str, Any] | None = None,
        detach: bool = True,
        min_depth: float = 0.001,
        max_depth: float = 100.0,
        loss: dict | None = None,
    ) -> None:
        super().__init__()
        if not 0 < min_depth < max_depth:
            raise ValueError(f'DepthTask: min_depth is {min_depth} and max_depth {max_depth}; needed is 0 < min < max')
        self.head = DepthHead(embed_dims, **(head or {}))
        self.detach = detach
        self.range = (math.log(min_depth), math.log(max_depth))
        self.criterion = MODELS.build(loss) if loss is not None else None

    def trains(self, sample: XDetDataSample) -> bool:
        """Whether it has ``gt_depth``, and the adapter a criterion."""
        return self.criterion is not None and 'gt_depth' in sample

    def loss(self, context: TaskContext, outputs: DecoderOutput) -> dict[str, Tensor]:
        """Loss of the maps; see the criterion for its name.

        Raises:
            ValueError: A map is larger than its image.
        """
        assert self.criterion is not None
        rows = [row for row, sample in enumerate(context.samples) if self.trains(sample)]
        features = context.features.select(rows)
        found = self.head(features.detached() if self.detach else features)
        maps, parts = [context.samples[row].gt_depth.depth[0] for row in rows], []
        for row, true, own in zip(rows, maps, found, strict=True):
            seen = tuple(context.samples[row].img_shape[:2])
            if tuple(true.shape) != seen:
                raise ValueError(
                    f'{describe(context.samples[row])}: depth map is {tuple(true.shape)} but the image {seen} (height, '
                    'width)'
                )
            parts.append(own[: seen[0], : seen[1]])
        losses: dict[str, Tensor] = self.criterion(parts, maps)
        return losses

    @torch.no_grad()
    def predict(self, context: TaskContext) -> None:
        """Write ``pred_depth`` in the original size."""
        for sample, found in zip(context.samples, self.head(context.features), strict=True):
            height, width = sample.img_shape[:2]
            part = found[None, None, :height, :width].float()
            size = tuple(int(side) for side in sample.ori_shape[:2])
            if size != (height, width):
                part = F.interpolate(part, size, mode='bilinear', align_corners=False)
            sample.pred_depth = PixelData(depth=part[0].clamp(*self.range).exp())
