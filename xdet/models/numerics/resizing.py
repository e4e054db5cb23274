"""Resizing of maps as products with matrices, one per axis."""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor


def resize(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """Bicubic resizing with anti-aliasing by torch's kernel, which refuses scales beyond about 47 on CUDA.

    Args:
        maps (Tensor): ``[B, C, H, W]``.
        size (tuple[int, ...]): Height and width of the result.
    """
    return F.interpolate(maps, size=size, mode='bicubic', align_corners=False, antialias=True)


def resize_by_products(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """The same as :func:`resize` up to rounding, for any scale; twice as fast where channels lie together.

    Args:
        maps (Tensor): float32 ``[B, C, H, W]``.
        size (tuple[int, ...]): Height and width of the result.

    Returns:
        Tensor: ``[B, C, *size]`` in the layout of the maps.
    """
    rows, columns = (
        resizing_matrix((old, new)).to(maps.device) for old, new in zip(maps.shape[-2:], size, strict=True)
    )
    with torch.autocast(maps.device.type, enabled=False):
        if maps.is_contiguous(memory_format=torch.channels_last):
            pixels = rows @ maps.permute(0, 2, 3, 1).flatten(2)
            return (columns @ pixels.unflatten(2, (maps.shape[3], -1))).permute(0, 3, 1, 2)
        return rows @ (maps @ columns.T)


@lru_cache(maxsize=64)
def resizing_matrix(lengths: tuple[int, ...], cut: int | None = None) -> Tensor:
    """What resizing does to one axis, from torch's own kernel.

    Args:
        lengths (tuple[int, ...]): The length, and what it becomes step by step.
        cut (int, optional): Only so many entries are left after the first step.

    Returns:
        Tensor: float32 ``[lengths[-1], lengths[0]]`` on the CPU, which others share.
    """
    with torch.inference_mode(False), torch.no_grad():
        impulses = torch.eye(lengths[0], dtype=torch.float64, device='cpu')[None, None]
        for step, length in enumerate(lengths[1:]):
            impulses = impulses if impulses.shape[-1] == length else resize(impulses, (lengths[0], length))
            impulses = impulses[..., :cut] if step == 0 else impulses
        return impulses[0, 0].T.float().contiguous()
