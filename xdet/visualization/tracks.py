"""Frames of films with their tracks."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .drawing import Style, enlarge, enlarge_factor, inner_point, paint_mask
from .labels import Label, draw_labels
from .palette import class_colors

_GOLDEN = 0.618034


def track_color(number: int) -> NDArray[np.uint8]:
    """RGB of a track: a function of its number alone, and far from those of the numbers beside it."""
    hue = number * _GOLDEN % 1.0
    value = (1.0, 0.8, 0.9)[number // 5 % 3]
    return np.array([round(255 * channel) for channel in colorsys.hsv_to_rgb(hue, 0.75, value)], np.uint8)


def draw_tracks(
    image: NDArray[np.uint8],
    masks: Sequence[NDArray[np.bool_]],
    names: Sequence[str],
    numbers: Sequence[int | None],
    alpha: float = 0.5,
    min_size: int = 480,
) -> NDArray[np.uint8]:
    """Draw the segments of a frame, each in the colour of its track.

    Args:
        image (NDArray): RGB uint8 ``[H, W, 3]``.
        masks (Sequence[NDArray]): Bool ``[H, W]`` each; later ones lie on top.
        names (Sequence[str]): What to write.
        numbers (Sequence[int | None]): Tracks; None for stuff, which has the colour of its class and no number.
        alpha (float): Opacity of the tint.
        min_size (int): Small frames are enlarged by a whole factor until their longer side has this many pixels.

    Returns:
        NDArray: RGB uint8 with even sides, which codecs need; all frames of one size give one size.
    """
    factor = enlarge_factor(image.shape[0], image.shape[1], min_size)
    canvas = np.ascontiguousarray(enlarge(np.ascontiguousarray(image), factor, smooth=True))
    canvas = canvas if factor > 1 else canvas.copy()
    style = Style.of(*canvas.shape[:2])
    marks = []
    # Stuff is beneath things.
    for index in sorted(range(len(masks)), key=lambda item: numbers[item] is not None):
        mask = enlarge(masks[index], factor)
        track = numbers[index]
        color = class_colors([names[index]])[0] if track is None else track_color(track)
        paint_mask(canvas, mask, color, alpha * (0.6 if track is None else 1), style.line)
        place = inner_point(mask)
        if place is not None:
            text = names[index] if track is None else f'{names[index]} #{track}'
            marks.append(Label(text, place[0], place[1], color, place[2]))
    drawn = draw_labels(canvas, marks, style.font)
    odd = [(0, side % 2) for side in drawn.shape[:2]]
    return np.pad(drawn, [*odd, (0, 0)], mode='edge')
