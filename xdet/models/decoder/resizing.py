"""Resizing as a matrix, for exported graphs."""

from __future__ import annotations

import torch
from torch import Tensor

_A = -0.5  # of the cubic kernel, where it is anti-aliased


def shrinking_matrix(length: int, size: int) -> Tensor:
    """What torch's anti-aliased bicubic resizing does to one axis that becomes shorter by a whole factor.

    Args:
        length (int): Of the axis, a multiple of ``size``.
        size (int): New length.

    Returns:
        Tensor: float ``[size, length]``.
    """
    factor = length // size
    centers = (torch.arange(size) + 0.5) * factor
    distance = (torch.arange(length) + 0.5 - centers[:, None]).abs() / factor
    near = ((_A + 2) * distance - (_A + 3)) * distance**2 + 1
    far = ((distance - 5) * distance + 8) * distance * _A - 4 * _A
    weights = torch.where(distance < 1, near, torch.where(distance < 2, far, 0.0))
    return weights / weights.sum(dim=1, keepdim=True)
