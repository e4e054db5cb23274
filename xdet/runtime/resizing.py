"""Sizes and resizing: of images with Pillow, of masks by a matrix per axis."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float32]


def network_image(image: NDArray[np.uint8], rule: Mapping[str, Any]) -> NDArray[np.uint8]:
    """An image ``[H, W, 3]`` in the size that a network sees.

    Args:
        image (np.ndarray): uint8.
        rule (Mapping[str, Any]): ``kind`` is ``'shortest'`` (edge, rounded half up, with a limit of the longest),
            ``'torchvision'`` (shortest edge, long one rounded down) or ``'exact'``; see :mod:`xdet.export.sizes`.

    Raises:
        ValueError: Pillow cannot resize it so.
    """
    size = _size(image.shape[0], image.shape[1], rule)
    method = getattr(Image.Resampling, rule['interpolation'].upper())
    return np.asarray(Image.fromarray(image).resize(size, method))


def _size(height: int, width: int, rule: Mapping[str, Any]) -> tuple[int, int]:
    """New width and height."""
    if rule['kind'] == 'exact':
        return rule['width'], rule['height']
    short = rule['scale']
    if rule['kind'] == 'torchvision':
        long = int(short * max(height, width) / min(height, width))
        return (short, long) if width <= height else (long, short)
    scale = short / min(height, width)
    new_height, new_width = (float(short), scale * width) if height < width else (scale * height, float(short))
    longest = rule['max_size']
    if longest and max(new_height, new_width) > longest:
        scale = longest / max(new_height, new_width)
        new_height, new_width = new_height * scale, new_width * scale
    return max(int(new_width + 0.5), 1), max(int(new_height + 0.5), 1)


@lru_cache(maxsize=16)
def resizing_matrix(length: int, enlarged: int, cut: int, size: int) -> Floats:
    """What both resizings of a mask and the cut between them do to one axis.

    Args:
        length (int): Of the mask features.
        enlarged (int): Of the padded network input.
        cut (int): Of the network input without padding.
        size (int): Of the original image.

    Returns:
        np.ndarray: float32 ``[size, length]``.
    """
    matrix = _bicubic(length, enlarged)[:cut]
    return np.ascontiguousarray((matrix if cut == size else _bicubic(cut, size) @ matrix).astype(np.float32))


def _bicubic(length: int, size: int) -> NDArray[np.float64]:
    """torch's anti-aliased bicubic resizing of one axis, ``[size, length]``."""
    if length == size:
        return np.eye(size)
    step = length / size
    stretch = max(step, 1.0)
    reach = 2 * stretch
    centers = (np.arange(size) + 0.5)[:, None] * step
    places = np.arange(length)[None]
    x = np.abs(places - centers + 0.5) / stretch
    near = ((1.5 * x - 2.5) * x) * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    weights = np.where(x < 1, near, np.where(x < 2, far, 0.0))
    # The window is in whole pixels.
    first, last = (centers - reach + 0.5).astype(np.int64), (centers + reach + 0.5).astype(np.int64)
    weights[(places < np.maximum(first, 0)) | (places >= last)] = 0
    return weights / weights.sum(axis=1, keepdims=True)
