"""Places and writes the labels of segments: readable, inside the picture, never on top of each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from .fonts import drawable, font
from .palette import readable_on

_MAX_LETTERS = 40


@dataclass(frozen=True)
class Label:
    """Text that belongs to a point of the picture.

    Attributes:
        text (str): What to write.
        x (float): Column of the preferred centre, in pixels.
        y (float): Row of the preferred centre, in pixels.
        color (np.ndarray): uint8 ``[3]`` RGB of the segment; the text's background.
        weight (float): Importance, such as the segment's area; when room is scarce the heavier label stays.
    """

    text: str
    x: float
    y: float
    color: np.ndarray
    weight: float


def draw_labels(image: np.ndarray, labels: Sequence[Label], font_size: int) -> np.ndarray:
    """Write labels on a picture.

    Every label keeps inside the picture and clear of the others. A label moves up to two lines to find room; one that
    finds none is left out, the lightest first.

    Args:
        image (np.ndarray): RGB uint8 ``[H, W, 3]``, left unchanged.
        labels (Sequence[Label]): Labels in any order.
        font_size (int): Text height in pixels.

    Returns:
        np.ndarray: The labelled picture.
    """
    if not labels:
        return image
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture, 'RGBA')
    boxes: list[tuple[int, int, int, int]] = []
    for label in sorted(labels, key=lambda item: -item.weight):
        placed = _place(label, picture.size, boxes, font_size)
        if placed is None:
            continue
        text, box, pad = placed
        boxes.append(box)
        red, green, blue = (int(channel) for channel in label.color)
        draw.rounded_rectangle((box[0], box[1], box[2] - 1, box[3] - 1), radius=pad, fill=(red, green, blue, 225))
        middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        draw.text(middle, text, font=font(font_size), fill=(*readable_on(label.color), 255), anchor='mm')
    return np.asarray(picture)


def _place(
    label: Label, size: tuple[int, int], taken: list[tuple[int, int, int, int]], font_size: int
) -> tuple[str, tuple[int, int, int, int], int] | None:
    """Text, box ``(x1, y1, x2, y2)`` and padding of a label, or None when there is no room."""
    pad = max(2, round(0.2 * font_size))
    text = fit_text(label.text, size[0] - 2 * pad, font_size)
    if text is None:
        return None
    width = int(np.ceil(font(font_size).getlength(text))) + 2 * pad
    height = sum(font(font_size).getmetrics()) + pad // 2
    if height > size[1]:
        return None
    for lines in (0, -1, 1, -2, 2):
        left = min(max(0, round(label.x - width / 2)), size[0] - width)
        top = min(max(0, round(label.y - height / 2 + lines * height)), size[1] - height)
        box = (left, top, left + width, top + height)
        if not any(_overlap(box, other) for other in taken):
            return text, box, pad
    return None


def fit_text(text: str, width: int, font_size: int) -> str | None:
    """Text cut to a width in pixels (and 40 letters) with an ellipsis; None when not even one letter fits."""
    text = drawable(text)
    if len(text) > _MAX_LETTERS:
        text = text[: _MAX_LETTERS - 1] + '…'
    measure = font(font_size).getlength
    while measure(text) > width:
        text = text.rstrip('…')[:-1]
        if not text:
            return None
        text += '…'
    return text


def _overlap(left: tuple[int, int, int, int], right: tuple[int, int, int, int]) -> bool:
    return left[0] < right[2] and right[0] < left[2] and left[1] < right[3] and right[1] < left[3]
