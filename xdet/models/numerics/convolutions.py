"""Shorter ways to the results of convolutions: 3x3 with a quarter of the multiplications, and 1x1 as a product.

The former is Winograd's minimal filtering F(4x4, 3x3) (`Fast Algorithms for Convolutional Neural Networks
<https://arxiv.org/abs/1509.09308>`_): an output tile of 4x4 pixels needs the 6x6 pixels around it, and in the space of
polynomials' values at six points the convolution is a product at each of the 36 pairs of points. So the work is 36
matrix products. It is written with public functions of torch and equals the direct convolution up to rounding: with the
points 0, +-3/4, +-3/2 and infinity the largest difference is about 1e-5 of the results' RMS.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

_TILE, _KERNEL = 4, 3
_POINTS = (0.0, 0.75, -0.75, 1.5, -1.5)  # and infinity; 1 and 2 in their place cost four times the precision
_SPAN = _TILE + _KERNEL - 1
_STRIP_FLOATS = 2**22
_LEAST_CHANNELS, _LEAST_PIXELS = 256, 2048  # below, there is little to gain

_allowed: ContextVar[bool] = ContextVar('winograd_allowed', default=True)


@contextmanager
def direct_convolutions() -> Iterator[None]:
    """Inside, every convolution is the direct one: to count operations, or to compare."""
    token = _allowed.set(False)
    try:
        yield
    finally:
        _allowed.reset(token)


class PointwiseConv2d(nn.Conv2d):
    """A 1x1 convolution that is a matrix product where pixels lie in memory as its rows (channels-last)."""

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` -> ``[B, C', H, W]``."""
        if torch.compiler.is_compiling() or x.is_contiguous() or not x.is_contiguous(memory_format=torch.channels_last):
            return super().forward(x)
        return F.linear(x.permute(0, 2, 3, 1), self.weight[:, :, 0, 0], self.bias).permute(0, 3, 1, 2)


class WinogradConv2d(nn.Conv2d):
    """A 3x3 convolution of stride 1 and padding 1 that takes the short way where it can.

    That is on CPUs, in single precision, without gradients, for enough channels and pixels; not while a graph is
    traced, exported or compiled. Everywhere else it is ``torch.nn.Conv2d``. Parameters and their names are the same.
    """

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` -> ``[B, C', H, W]``."""
        return winograd(x, self.weight, self.bias) if self._can(x) else super().forward(x)

    def _can(self, x: Tensor) -> bool:
        return (
            not torch.compiler.is_compiling()
            and not torch.jit.is_tracing()  # type: ignore[attr-defined]
            and _allowed.get()
            and x.device.type == 'cpu'
            and x.dtype == self.weight.dtype == torch.float32
            and not torch.is_autocast_enabled('cpu')
            and not (torch.is_grad_enabled() and (x.requires_grad or self.weight.requires_grad))
            and min(self.weight.shape[:2]) >= _LEAST_CHANNELS
            and x.shape[-2] * x.shape[-1] >= _LEAST_PIXELS
        )


def quicker(conv: nn.Conv2d) -> nn.Conv2d:
    """The convolution as one of the classes above with the same parameters; another kind comes back as it is."""
    about = (conv.stride, conv.dilation, conv.groups, conv.padding_mode)
    if about != ((1, 1), (1, 1), 1, 'zeros'):
        return conv
    if conv.kernel_size == (3, 3) and conv.padding == (1, 1):
        kind: type[nn.Conv2d] = WinogradConv2d
    elif conv.kernel_size == (1, 1) and conv.padding == (0, 0):
        kind = PointwiseConv2d
    else:
        return conv
    # On no device, since drawing weights would change the random numbers of all that is built later.
    shape = conv.in_channels, conv.out_channels, conv.kernel_size
    made = kind(*shape, padding=conv.padding, bias=conv.bias is not None, device='meta')
    made.weight, made.bias = conv.weight, conv.bias
    return made


def winograd(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A 3x3 convolution with padding 1, without gradients.

    Args:
        x (Tensor): float32 ``[B, C, H, W]``, in any layout.
        weight (Tensor): ``[C', C, 3, 3]``.
        bias (Tensor, optional): ``[C']``.

    Returns:
        Tensor: ``[B, C', H, W]`` in channels-last layout.
    """
    to_values, kernel_to_values, to_pixels = (torch.from_numpy(matrix) for matrix in _matrices())
    out_channels, channels = weight.shape[:2]
    batch, _, height, width = x.shape
    down, across = -(-height // _TILE), -(-width // _TILE)
    kernel = kernel_to_values @ weight.detach().reshape(-1, _KERNEL**2).T
    kernel = kernel.view(_SPAN**2, out_channels, channels).transpose(1, 2)
    result = x.new_empty(batch, down * _TILE, across * _TILE, out_channels)
    pixels = x.detach().permute(0, 2, 3, 1)
    # Strips of tiles that stay in the cache, in memory that all of them share.
    rows = min(down, max(1, _STRIP_FLOATS // (_SPAN**2 * across * channels)))
    strip = x.new_zeros(rows * _TILE + 2, across * _TILE + 2, channels)
    tiles = strip.unfold(0, _SPAN, _TILE).unfold(1, _SPAN, _TILE).permute(3, 4, 0, 1, 2)
    gathered = x.new_empty(_SPAN, _SPAN, rows, across, channels)
    values, products = (x.new_empty(_SPAN**2, rows * across, size) for size in (channels, out_channels))
    tile_pixels = x.new_empty(_TILE**2, rows * across * out_channels)
    out_rows = tile_pixels.view(_TILE, _TILE, rows, across, out_channels).permute(2, 0, 3, 1, 4)
    for image, made in zip(pixels, result, strict=True):
        for start in range(0, down * _TILE, rows * _TILE):
            first, last = max(0, start - 1), min(height, start + rows * _TILE + 1)
            above = first - (start - 1)
            strip[:above] = 0
            strip[above : above + last - first, 1 : width + 1] = image[first:last]
            strip[above + last - first :] = 0
            torch.mm(to_values, gathered.copy_(tiles).view(_SPAN**2, -1), out=values.view(_SPAN**2, -1))
            torch.bmm(values, kernel, out=products)
            torch.mm(to_pixels, products.view(_SPAN**2, -1), out=tile_pixels)
            place = made[start : start + rows * _TILE].unflatten(0, (-1, _TILE)).unflatten(2, (across, _TILE))
            place.copy_(out_rows[: len(place)])
    if bias is not None:
        result += bias.detach()
    return result[:, :height, :width].permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


@lru_cache(maxsize=1)
def _matrices() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """From 6x6 pixels to values, from 3x3 weights to values, from values to 4x4 pixels, both axes at once."""
    points = np.array(_POINTS)
    others = [np.delete(points, index) for index in range(len(points))]
    # Lagrange's polynomials, lowest power first; that of infinity is zero at all other points.
    to_values = np.zeros((_SPAN, _SPAN))
    for index, (point, rest) in enumerate(zip(points, others, strict=True)):
        to_values[index, :-1] = np.poly(rest)[::-1] / np.prod(point - rest)
    to_values[-1] = np.poly(points)[::-1]

    def at_points(powers: int) -> np.ndarray:
        return np.vstack([np.vander(points, powers, increasing=True), np.eye(powers)[-1]])

    first, second, third = (
        np.kron(part, part).astype(np.float32) for part in (to_values, at_points(_KERNEL), at_points(_TILE).T)
    )
    return first, second, third
