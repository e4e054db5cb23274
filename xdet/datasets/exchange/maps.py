"""Images of segments."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .annotated import AnnotatedImage


def without_overlap(image: AnnotatedImage) -> NDArray[np.int32]:
    """``[H, W]``: i + 1 in the pixels of segment i, 0 elsewhere; of segments that overlap, the smallest is on top."""
    indices = np.zeros(image.size, np.int32)
    order = sorted(range(len(image.segments)), key=lambda place: -image.segments[place].area)
    for place in order:
        indices[image.segments[place].array()] = place + 1
    return indices


def png(pixels: NDArray, palette: bytes | None = None) -> bytes:
    """PNG of uint8 or uint16 ``[H, W]``, bool ``[H, W]``, or RGB uint8 ``[H, W, 3]``; a palette is for 8 bits."""
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    if palette is not None:
        picture = picture.convert('P') if picture.mode != 'L' else picture
        picture.putpalette(palette)
    buffer = io.BytesIO()
    picture.save(buffer, format='PNG')
    return buffer.getvalue()
