"""From mask embeddings to mask logits in the size of the original image."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from xdet.models.numerics.resizing import resize, resizing_matrix

CHUNK_BYTES = 64 * 2**20
"""Full-size masks are made in pieces of about this many bytes, so that large images need little memory."""


def resize_logits(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Bicubic resizing with anti-aliasing, also when enlarging (docs/model.md, 5).

    Args:
        logits (Tensor): ``[n, h, w]``.
        size (tuple[int, int]): Height and width of the result.
    """
    if tuple(logits.shape[-2:]) == tuple(size):
        return logits
    return resize(logits[None], size)[0]


def mask_logits(
    mask_embed: Tensor,
    mask_features: Tensor,
    img_shape: tuple[int, int],
    ori_shape: tuple[int, int],
    stride: int = 4,
) -> Tensor:
    """Mask logits of some queries in the original size, in the official two steps (docs/model.md, 6).

    The logits are resized to the padded network input, cut to the un-padded image, and resized to the original. All of
    that is linear and the same in every row and every column, so it is one matrix per axis. Two products with them are
    faster than two resizings, equal to rounding, and have no limit of sizes: CUDA's kernel refuses to make an image
    more than about 47 times smaller.

    Args:
        mask_embed (Tensor): ``[n, C]`` mask embeddings of the queries that are needed.
        mask_features (Tensor): ``[C, h, w]`` of one image.
        img_shape (tuple[int, int]): Un-padded network input size.
        ori_shape (tuple[int, int]): Size of the result.
        stride (int): Stride of ``mask_features``.

    Returns:
        Tensor: float ``[n, *ori_shape]``.
    """
    height, width = mask_features.shape[-2:]
    pixels = mask_features.permute(1, 2, 0)  # as they lie in memory in channels-last layout
    pixels = pixels.flatten(0, 1).T if pixels.is_contiguous() else mask_features.flatten(1)  # neither copies
    logits = (mask_embed @ pixels).unflatten(-1, (height, width)).float()
    if tuple(img_shape) == tuple(ori_shape):  # without a second step the kernel is faster
        return resize_logits(logits, (height * stride, width * stride))[:, : img_shape[0], : img_shape[1]]
    rows, columns = (
        resizing_matrix((small, small * stride, int(size)), int(cut)).to(logits.device)
        for small, cut, size in zip((height, width), img_shape, ori_shape, strict=True)
    )
    with torch.autocast(logits.device.type, enabled=False):
        return rows @ (logits @ columns.T)


def query_chunks(num_queries: int, size: tuple[int, int]) -> Iterator[slice]:
    """Slices over queries whose float masks of ``size`` take about :data:`CHUNK_BYTES` each."""
    step = max(1, CHUNK_BYTES // (4 * size[0] * size[1]))
    for start in range(0, num_queries, step):
        yield slice(start, min(start + step, num_queries))
