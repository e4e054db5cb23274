"""Resizing to the size a network sees, by the rules of the official data pipelines."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmdet.datasets.transforms import ResizeShortestEdge as MMDetResizeShortestEdge

from xdet.registry import TRANSFORMS

INTERPOLATION = dict(detectron2='bilinear', torchvision='bicubic')
"""Size rules and the interpolation that belongs to each."""


@TRANSFORMS.register_module()
class ResizeShortestEdge(MMDetResizeShortestEdge):
    """Resize so that the shortest edge has a given length, with Pillow.

    Two rules occur in the official evaluation:

    * ``'detectron2'`` (COCO, ADE20K, Cityscapes): bilinear; the longest edge is limited to ``max_size``; sides are
      rounded half up.
    * ``'torchvision'`` (the other benchmarks and all demos): bicubic; the long side is rounded down; no limit.

    No side becomes shorter than one pixel, where the originals fail.

    Args:
        scale (int): Length of the shortest edge in pixels.
        max_size (int, optional): Limit of the longest edge; the torchvision rule ignores it, as the official code does.
        rule (str): ``'detectron2'`` or ``'torchvision'``.
        resize_kwargs: Arguments of :class:`mmdet.datasets.transforms.Resize` such as ``backend`` or ``interpolation``.

    Raises:
        ValueError: ``rule`` is unknown, or a length is not positive.
    """

    def __init__(self, scale: int, max_size: int | None = None, rule: str = 'detectron2', **resize_kwargs: Any) -> None:
        if rule not in INTERPOLATION:
            raise ValueError(f'rule is {rule!r}; accepted are {" and ".join(map(repr, INTERPOLATION))}')
        if scale < 1 or (max_size is not None and max_size < 1):
            raise ValueError(f'scale is {scale} and max_size {max_size}; both must be at least 1 pixel')
        self.rule = rule
        # Named with its scope: mmcv has a Resize as well, which knows no masks.
        defaults = dict(resize_type='mmdet.Resize', backend='pillow', interpolation=INTERPOLATION[rule])
        super().__init__(scale, max_size, **{**defaults, **resize_kwargs})

    def _get_output_shape(self, img: np.ndarray, short_edge_length: int) -> tuple[int, int]:
        """New width and height of ``img``."""
        if self.rule == 'torchvision':
            return torchvision_size(img.shape[:2], short_edge_length)
        width, height = super()._get_output_shape(img, short_edge_length)
        return max(width, 1), max(height, 1)


def torchvision_size(shape: tuple[int, ...], short_edge_length: int) -> tuple[int, int]:
    """Width and height that torchvision's ``Resize(short_edge_length)`` gives an image of ``shape`` (height, width)."""
    height, width = shape
    long_edge_length = int(short_edge_length * max(height, width) / min(height, width))
    if width <= height:
        return short_edge_length, long_edge_length
    return long_edge_length, short_edge_length
