"""The font of everything that is written into pictures."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from PIL import ImageFont


@lru_cache(maxsize=64)
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which every installation of matplotlib carries: Latin, Greek, Cyrillic, Arabic, symbols.

    Args:
        size (int): Height in pixels.
        bold (bool): The bold cut.
    """
    import matplotlib

    name = 'DejaVuSans-Bold.ttf' if bold else 'DejaVuSans.ttf'
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / 'fonts' / 'ttf' / name), size)


def drawable(text: str) -> str:
    """The text in one line, without what cannot be drawn at all: control characters and halves of surrogate pairs.

    Characters that the font lacks stay; they appear as boxes.
    """
    words = ' '.join(text.split())
    return ''.join(letter if letter.isprintable() else '\N{REPLACEMENT CHARACTER}' for letter in words)
