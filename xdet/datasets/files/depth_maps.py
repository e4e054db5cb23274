"""Depth maps in files: whole numbers in an image of 8 or 16 bits, or floating-point numbers."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xdet.io.errors import cause
from xdet.io.reading import MAX_IMAGE_BYTES, read_bytes, shorten
from xdet.io.schema import number
from xdet.io.warnings import warn_once

from .segment_maps import read_pixels


def read_depth(path: str | Path, scale: float = 1000.0) -> NDArray[np.float32]:
    """Read a depth map.

    Args:
        path (str | Path): Image of one channel (PNG of 8 or 16 bits, TIFF also of floating-point numbers), or array of
            NumPy (``.npy``).
        scale (float): What the values are to be divided by for metres: 1000 for millimetres (NYUv2), 256 for KITTI.

    Returns:
        NDArray[np.float32]: ``[H, W]`` in metres; 0 where it is not known: where the file has 0, a negative number, NaN
        or infinity.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no such map, or ``scale`` is no such number.
    """
    scale = number('scale', scale, float, 1e-6, 1e9)
    values = _array(path) if str(path).lower().endswith('.npy') else read_pixels(str(path), 'depth map')
    if values.ndim != 2 or values.dtype.kind not in 'uif' or not values.size:
        raise ValueError(
            f'{shorten(str(path))}: not a depth map (one channel of numbers), it has shape {values.shape} and type '
            f'{values.dtype}'
        )
    depth = values.astype(np.float32) / np.float32(scale)
    depth[~(np.isfinite(depth) & (depth > 0))] = 0
    if not depth.any():
        warn_once(
            f'{path}: no depth is known in this map; further maps of this folder are not named',
            about=f'empty depth maps in {Path(path).parent}',
        )
    return depth


def _array(path: str | Path) -> NDArray:
    name = shorten(str(path))
    try:
        data = read_bytes(path, MAX_IMAGE_BYTES)
    except FileNotFoundError:
        raise FileNotFoundError(f'{name}: depth map does not exist') from None
    try:
        return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    except Exception as error:  # a header may claim any size, and other formats have errors of their own
        raise ValueError(f'{name}: depth map is damaged or no array ({shorten(cause(error))})') from error
