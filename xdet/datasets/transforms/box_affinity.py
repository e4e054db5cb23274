"""Which neighbouring pixels look alike: what ``BoxMaskLoss`` learns masks from, beside boxes."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from xdet.structures.neighbours import NEIGHBOURS, neighbour_slices


def like_neighbours(image: np.ndarray, stride: int = 4, dilation: int = 2, threshold: float = 0.3) -> Tensor:
    """Where neighbouring cells of an image have like colours (BoxInst, arXiv 2012.02310, section 3.3).

    Colours are means of ``stride`` x ``stride`` pixels, in CIE Lab; they are alike if ``exp(-distance / 2)`` is at
    least ``threshold``.

    Args:
        image (np.ndarray): BGR uint8 ``[H, W, 3]``.
        stride (int): Side of a cell.
        dilation (int): Distance of neighbours in cells.
        threshold (float): See above.

    Returns:
        Tensor: bool ``[4, ceil(H / stride), ceil(W / stride)]``: whether each cell is like its right, lower, lower
        right and lower left neighbour; False at borders.
    """
    height, width = (-(-length // stride) for length in image.shape[:2])
    means = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    cells = torch.from_numpy(cv2.cvtColor(means, cv2.COLOR_BGR2Lab))
    alike = torch.zeros((len(NEIGHBOURS), height, width), dtype=torch.bool)
    for row, offset in zip(alike, NEIGHBOURS, strict=True):
        here, there = neighbour_slices(offset, (height, width), dilation)
        row[here] = torch.exp(-(cells[here] - cells[there]).norm(dim=-1) / 2) >= threshold
    return alike
