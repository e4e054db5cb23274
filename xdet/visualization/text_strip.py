"""A white strip of text below a picture: captions, answers, classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw

from xdet.structures import TextLine

from .fonts import drawable, font

_LEAST_LETTERS = 24  # a narrower picture gets white space at its right
_BAR, _INK = (206, 224, 244), (24, 24, 24)


def add_text_strip(image: np.ndarray, lines: Sequence[TextLine], font_size: int) -> np.ndarray:
    """Write paragraphs below a picture.

    Args:
        image (np.ndarray): RGB uint8 ``[H, W, 3]``, left unchanged.
        lines (Sequence[TextLine]): None leaves the picture as it is.
        font_size (int): Text height in pixels.

    Returns:
        np.ndarray: RGB uint8, higher than the picture, and wider when it is too narrow for text.
    """
    if not lines:
        return image
    height, width = image.shape[:2]
    width = max(width, _LEAST_LETTERS * font_size)
    pad = max(3, font_size // 2)
    rows = [
        TextLine(text, line.share if number == 0 else None, line.bold)
        for line in lines
        for number, text in enumerate(wrap_text(line.text, width - 2 * pad, font_size, line.bold))
    ]
    step = round(1.45 * font_size)
    picture = Image.new('RGB', (width, height + len(rows) * step + 2 * pad), (255, 255, 255))
    picture.paste(Image.fromarray(image), (0, 0))
    draw = ImageDraw.Draw(picture)
    top = height + pad
    for row in rows:
        if row.share is not None and row.share > 0:
            length = round(min(row.share, 1.0) * (width - 2 * pad))
            draw.rectangle((pad, top + 1, pad + length, top + step - 3), fill=_BAR)
        draw.text((pad + 2, top + step / 2), row.text, font=font(font_size, row.bold), fill=_INK, anchor='lm')
        top += step
    return np.asarray(picture)


def wrap_text(text: str, width: int, font_size: int, bold: bool = False) -> list[str]:
    """Rows of a text that are at most ``width`` pixels wide; words that are wider are cut."""
    measure = font(font_size, bold).getlength
    rows, row = [], ''
    for word in drawable(text).split(' '):
        longer = f'{row} {word}' if row else word
        if measure(longer) <= width:
            row = longer
            continue
        if row:
            rows.append(row)
        while measure(word) > width and len(word) > 1:
            cut = _letters_that_fit(word, width, measure)
            rows.append(word[:cut])
            word = word[cut:]
        row = word
    return [*rows, row]


def _letters_that_fit(word: str, width: int, measure: Callable[[str], float]) -> int:
    """Most letters of a word, at least one, that fit into a width; by bisection, as words can be very long."""
    low, high = 1, len(word)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if measure(word[:middle]) <= width else (low, middle - 1)
    return low
