"""Where pixels are, as sines and cosines."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_TEMPERATURE, _EPSILON = 10000, 1e-6


def sine_positions(channels: int, height: int, width: int, device: torch.device | None = None) -> Tensor:
    """Position of every pixel of a map: the first half of the channels is its row, the second its column.

    Rows and columns count from 1 and are scaled to 2 pi over the map, as in DETR; channels alternate between sine and
    cosine with wavelengths from 2 pi to 20000 pi.

    Args:
        channels (int): Width C, a multiple of 4.
        height (int): Of the map.
        width (int): Likewise.
        device (torch.device, optional): Where the result shall be.

    Returns:
        Tensor: float ``[1, H * W, C]``.
    """
    half = channels // 2
    pair = torch.arange(half, dtype=torch.float32, device=device) // 2
    wavelength = _TEMPERATURE ** (2 * pair / half)

    def encode(length: int) -> Tensor:
        place = torch.arange(1, length + 1, dtype=torch.float32, device=device)
        angle = (place / (place[-1:] + _EPSILON) * (2 * math.pi))[:, None] / wavelength
        return torch.stack((angle[:, 0::2].sin(), angle[:, 1::2].cos()), dim=2).flatten(1)

    rows = encode(height)[:, None].expand(height, width, half)
    columns = encode(width)[None].expand(height, width, half)
    return torch.cat((rows, columns), dim=2).flatten(0, 1)[None]
