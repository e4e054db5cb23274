"""Depth maps as images."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .labels import Label, draw_labels


def paint_depth(depth: NDArray[np.float32], factor: int, font: int) -> NDArray[np.uint8]:
    """A depth map as colours, near ones warm and far ones cold, with the least and the greatest depth written in.

    Args:
        depth (NDArray): ``[H, W]`` in metres; black where it is not positive.
        factor (int): By which the image is enlarged.
        font (int): Height of the numbers in pixels.

    Returns:
        NDArray: RGB uint8 ``[factor * H, factor * W, 3]``.
    """
    known = np.isfinite(depth) & (depth > 0)
    values = np.where(known, depth, np.nan)
    least, most = (float(np.nanmin(values)), float(np.nanmax(values))) if known.any() else (0.0, 0.0)
    near = np.where(known, (most - np.nan_to_num(values)) / max(most - least, 1e-6), 0)
    colours = cv2.applyColorMap(np.clip(255 * near, 0, 255).astype(np.uint8), cv2.COLORMAP_TURBO)
    picture: NDArray[np.uint8] = np.ascontiguousarray(colours[..., ::-1], dtype=np.uint8)
    picture[~known] = 0
    picture = picture.repeat(factor, axis=0).repeat(factor, axis=1)
    if not known.any():
        return picture
    marks = []
    for place, value in ((np.nanargmin(values), least), (np.nanargmax(values), most)):
        row, column = np.unravel_index(int(place), depth.shape)
        x, y = (int(column) + 0.5) * factor, (int(row) + 0.5) * factor
        colour = picture[int(y), int(x)].copy()
        marks.append(Label(f'{value:.2f} m', x, y, colour, value))
    return draw_labels(picture, marks, font)
