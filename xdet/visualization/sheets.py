"""Contact sheets: the best images for a text."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw

from .fonts import font
from .labels import fit_text
from .text_strip import wrap_text

_CELL, _GAP, _FONT = 220, 12, 14
_BESIDE = 6  # pixels between panels
_INK, _FAINT = (24, 24, 24), (110, 110, 110)


def ranking_sheet(
    text: str,
    images: Sequence[np.ndarray],
    scores: Sequence[float],
    names: Sequence[str] | None = None,
    columns: int = 4,
    cell: int = _CELL,
    score_format: str = '+.3f',
) -> np.ndarray:
    """The text on top, below it the images in the given order with rank, score and name.

    Args:
        text (str): What was searched.
        images (Sequence[np.ndarray]): RGB uint8 ``[H, W, 3]`` of any size, best first.
        scores (Sequence[float]): One per image.
        names (Sequence[str], optional): One per image; long ones lose their beginning.
        columns (int): Images per row.
        cell (int): Longer side of an image in pixels.
        score_format (str): How to write a score.

    Returns:
        np.ndarray: RGB uint8.

    Raises:
        ValueError: Images, scores and names differ in number.
    """
    names = list(names) if names is not None else [''] * len(images)
    if not len(images) == len(scores) == len(names):
        raise ValueError(
            f'{len(images)} images, {len(scores)} scores and {len(names)} names; there must be as many of each'
        )
    columns = max(1, columns)
    width = columns * (cell + _GAP) + _GAP
    title = wrap_text(text, width - 2 * _GAP, 18, bold=True)
    top = _GAP + 26 * len(title)
    cell_height = cell + 2 * 20 + _GAP
    rows = -(-len(images) // columns)
    sheet = Image.new('RGB', (width, top + rows * cell_height + _GAP), (255, 255, 255))
    draw = ImageDraw.Draw(sheet)
    for number, row in enumerate(title):
        draw.text((_GAP, _GAP + 26 * number), row, font=font(18, bold=True), fill=_INK)
    for index, (image, score, name) in enumerate(zip(images, scores, names, strict=True)):
        left, upper = _GAP + index % columns * (cell + _GAP), top + index // columns * cell_height
        picture = thumbnail(image, cell)
        x = left + (cell - picture.shape[1]) // 2
        y = upper + (cell - picture.shape[0]) // 2
        sheet.paste(Image.fromarray(picture), (x, y))
        place = f'{index + 1}   {score:{score_format}}'
        draw.text((left, upper + cell + 4), place, font=font(_FONT, bold=True), fill=_INK)
        draw.text((left, upper + cell + 22), _end_of(name, cell), font=font(_FONT - 2), fill=_FAINT)
    return np.asarray(sheet)


def thumbnail(image: np.ndarray, size: int = _CELL) -> np.ndarray:
    """The picture, RGB uint8, with its longer side at most ``size`` pixels."""
    height, width = image.shape[:2]
    factor = min(1.0, size / max(height, width))
    if factor == 1.0:
        return np.ascontiguousarray(image)
    shape = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(np.ascontiguousarray(image), shape, interpolation=cv2.INTER_AREA)


def beside(panels: Sequence[np.ndarray]) -> np.ndarray:
    """Images, RGB uint8, in a row with gaps; what is lower gets white below."""
    height = max(panel.shape[0] for panel in panels)
    padded = [np.pad(panel, ((0, height - len(panel)), (0, _BESIDE), (0, 0)), constant_values=255) for panel in panels]
    return np.concatenate(padded, axis=1)[:, :-_BESIDE]


def below(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Images, RGB uint8, one below the other; what is narrower gets white at its right."""
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    return np.concatenate(padded)


def _end_of(name: str, width: int) -> str:
    """A file name that fits under its picture; the end says more than the beginning."""
    backwards = fit_text(name[::-1], width, _FONT - 2) or ''
    return backwards[::-1]
