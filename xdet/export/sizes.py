"""In which size each task sees images: the inference pipelines of a model as plain rules."""

from __future__ import annotations

from typing import Any

from mmcv.transforms import Resize
from mmengine.dataset import Compose

from xdet.datasets.transforms import LoadXDetImage, PackXDetInputs, ResizeShortestEdge

_METHODS = dict(bilinear='bilinear', bicubic='bicubic', nearest='nearest', lanczos='lanczos', box='box')


def size_rule(pipeline: Compose) -> dict[str, Any]:
    """What :func:`xdet.runtime.resizing.network_image` needs to know of a pipeline.

    Raises:
        ValueError: The pipeline does something else than loading, resizing once with Pillow, and packing.
    """
    steps = [step for step in pipeline.transforms if not isinstance(step, (LoadXDetImage, PackXDetInputs))]
    if len(steps) != 1:
        names = ', '.join(type(step).__name__ for step in steps) or 'none'
        raise ValueError(f'exported models resize images once; the inference pipeline has {names} beside loading')
    [step] = steps
    resize = step.resize if isinstance(step, ResizeShortestEdge) else step
    method = getattr(resize, 'interpolation', None)
    if not isinstance(resize, Resize) or resize.backend != 'pillow' or method not in _METHODS:
        raise ValueError(f'exported models resize images with Pillow, which {type(step).__name__} does not')
    if isinstance(step, ResizeShortestEdge):
        kind = 'torchvision' if step.rule == 'torchvision' else 'shortest'
        return dict(kind=kind, scale=step.scale, max_size=step.max_size, interpolation=method)
    if resize.keep_ratio or resize.scale is None:
        raise ValueError('exported models know ResizeShortestEdge and Resize to a fixed size (keep_ratio=False)')
    width, height = resize.scale
    return dict(kind='exact', width=int(width), height=int(height), interpolation=method)
