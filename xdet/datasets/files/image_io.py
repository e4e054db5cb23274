"""Reads any image a user may hand in, or says in one line why not.

Pillow decodes, as in the official data pipeline, so that pixels are equal to the ones the official model saw.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from xdet.io.errors import cause
from xdet.io.reading import MAX_IMAGE_BYTES, read_bytes, shorten
from xdet.io.warnings import warn_once

ACCEPTED = 'accepted are 8 and 16-bit grey, RGB, RGBA, palette and CMYK images (JPEG, PNG, BMP, TIFF, WebP, GIF, ...)'


IMAGE_SUFFIXES = (
    *('.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.bmp', '.dib', '.webp', '.tif', '.tiff', '.gif', '.avif', '.jp2'),
    *('.j2k', '.jpx', '.ppm', '.pgm', '.pbm', '.pnm', '.tga'),
)
"""Files of a folder that count as images: what Pillow reads by itself and photographs and drawings are kept in."""


def is_clutter(name: str) -> bool:
    """Whether a file or folder called ``name`` is one that systems add: hidden ones, ``__MACOSX``, ``Thumbs.db``."""
    return name.startswith('.') or name.lower() in _CLUTTER


def tell_of_hidden(folder: str | os.PathLike, names: Iterable[str]) -> None:
    """Say in one line that hidden files of a folder are left out; those that macOS adds (``._a.jpg``) are not told."""
    hidden = sorted(name for name in names if name.startswith('.') and not name.startswith('._'))
    if hidden:
        told = f'{len(hidden)} hidden files are left out, first {shorten(hidden[0])!r}'
        warn_once(f'{shorten(str(folder))}: {told}; rename those that count')


_CLUTTER = (
    *('__macosx', '@eadir', '#recycle', '$recycle.bin', 'system volume information', 'lost+found'),
    *('thumbs.db', 'ehthumbs.db', 'desktop.ini', 'icon\r'),
)


class ImageReadError(ValueError):
    """An image cannot be used.

    Args:
        path (str): Which image: its path or URL, or words such as ``'array'``.
        reason (str): What is wrong with it. Empty when ``path`` is already the whole message (exceptions that cross a
            process border are rebuilt from their message alone).
    """

    def __init__(self, path: str, reason: str = '') -> None:
        super().__init__(f'{path}: {reason}' if reason else path)
        self.path = path
        self.reason = reason


def read_image(path: str | Path, backend_args: dict | None = None) -> np.ndarray:
    """Read an image file.

    Args:
        path (str | Path): Path, or any address that MMEngine's file backends understand.
        backend_args (dict, optional): Of MMEngine's file backend.

    Returns:
        np.ndarray: uint8 ``[H, W, 3]`` in BGR order, see :func:`decode_image`.

    Raises:
        ImageReadError: The file is missing, empty, truncated, or no image.
    """
    name = shorten(str(path))
    try:
        data = read_bytes(path, MAX_IMAGE_BYTES, backend_args=backend_args)
    except IsADirectoryError:
        raise ImageReadError(name, 'is a folder, not an image file') from None
    except (OSError, ValueError) as error:  # their messages begin with the name already
        raise ImageReadError(name, str(error).removeprefix(f'{name}: ')) from error
    return decode_image(data, name)


def decode_image(data: bytes, name: str = 'image') -> np.ndarray:
    """Decode the bytes of an image file.

    The first frame of an animation is taken and the EXIF orientation is applied. Transparency is dropped without
    compositing and 16-bit grey keeps its high byte: both as the official pipeline or Pillow itself treat them.

    Args:
        data (bytes): Content of the file.
        name (str): What to call the image in errors.

    Returns:
        np.ndarray: uint8 ``[H, W, 3]`` in BGR order, C-contiguous.

    Raises:
        ImageReadError: The bytes are empty, truncated, or no image.
    """
    if not data:
        raise ImageReadError(name, 'file is empty')
    try:
        with open_image(data) as image:
            image.load()
            rgb = _to_rgb(_upright(image), name)
            check_png(data, rgb)
    except ImageReadError:
        raise
    except Image.UnidentifiedImageError:
        raise ImageReadError(name, f'not an image; {ACCEPTED}') from None
    except Image.DecompressionBombError as error:
        raise ImageReadError(name, f'too large ({error})') from error
    except Exception as error:  # Pillow's decoders report damage by exceptions of any type
        raise ImageReadError(name, f'damaged or truncated ({shorten(cause(error))})') from error
    return np.ascontiguousarray(np.asarray(rgb)[..., ::-1])


def check_png(data: bytes, pixels: np.ndarray | Image.Image, sums: bool = False) -> None:
    """Refuse a PNG file that has fewer rows than it says, which Pillow fills with zeros without a word.

    Args:
        data (bytes): A file of any kind.
        pixels (np.ndarray | Image): What was read of it.
        sums (bool): Also compare the checksums, of which Pillow leaves some out.

    Raises:
        ValueError: Rows are missing, or a checksum is wrong.
    """
    blank = data.startswith(_PNG) and not np.asarray(pixels)[-1].any()  # else its last row is there
    if not blank and not (sums and data.startswith(_PNG)):
        return
    place, kind = len(_PNG), b''
    parts: list[bytes] = []
    while place + 8 <= len(data) and kind != b'IEND':
        length, kind = int.from_bytes(data[place : place + 4], 'big'), data[place + 4 : place + 8]
        body, place = data[place + 4 : place + 8 + length], place + length + 12
        if sums and zlib.crc32(body).to_bytes(4, 'big') != data[place - 4 : place]:
            raise ValueError('a checksum is wrong')
        parts.append(body)
    if sums and kind != b'IEND':
        raise ValueError('its end is missing')
    if blank:
        _check_rows(parts[0][4:], [part[4:] for part in parts if part.startswith(b'IDAT')])


def _check_rows(header: bytes, parts: Sequence[bytes]) -> None:
    width, height, bits, colours, interlaced = struct.unpack('>IIBBxxB', header)
    if interlaced:
        return  # rows come in seven passes
    needed = height * (1 + (width * bits * _CHANNELS[colours] + 7) // 8)
    inflate, found = zlib.decompressobj(), 0
    for part in parts:
        while part:
            found += len(inflate.decompress(part, 1 << 20))
            part = inflate.unconsumed_tail
    if found < needed:
        raise ValueError(f'it has {found} of {needed} bytes of pixels')


_PNG = b'\x89PNG\r\n\x1a\n'
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def open_image(data: bytes) -> Image.Image:
    """The bytes of an image file as Pillow's image; those of kinds that are programs (PostScript) are no images."""
    Image.init()
    return Image.open(io.BytesIO(data), formats=[kind for kind in Image.OPEN if kind not in _PROGRAMS])


_PROGRAMS = ('EPS', 'WMF')
"""Pillow has other programs draw these."""


def as_bgr(array: np.ndarray, name: str = 'array') -> np.ndarray:
    """Bring an array that a user hands in to the form that :func:`read_image` returns.

    Args:
        array (np.ndarray): ``[H, W]``, ``[H, W, 1]``, ``[H, W, 3]`` BGR or ``[H, W, 4]`` BGRA, uint8 or uint16.
        name (str): What to call it in errors.

    Returns:
        np.ndarray: uint8 ``[H, W, 3]`` BGR, C-contiguous.

    Raises:
        ImageReadError: Another shape or type, or no pixels.
    """
    accepted = 'accepted are uint8 or uint16 arrays of shape (H, W), (H, W, 1), (H, W, 3) BGR or (H, W, 4) BGRA'
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[-1] not in (1, 3, 4):
        raise ImageReadError(name, f'has shape {array.shape}; {accepted}')
    if array.size == 0:
        raise ImageReadError(name, f'has no pixels (shape {array.shape})')
    if np.ma.is_masked(array):
        raise ImageReadError(name, 'has masked pixels; fill them (array.filled(0))')
    channels = [0, 0, 0] if array.shape[-1] == 1 else [0, 1, 2]
    try:
        if array.dtype == np.uint16:
            array = (array >> 8).astype(np.uint8)
        if array.dtype != np.uint8:
            raise ImageReadError(name, f'has type {array.dtype}; {accepted}')
        return np.ascontiguousarray(array[..., channels])
    except MemoryError:
        raise ImageReadError(name, f'of shape {array.shape} does not fit into memory') from None


def _upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF orientation; damaged EXIF data is no reason to refuse the pixels."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # whatever the parser of EXIF stumbles over
        return image


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode.startswith('I'):
        return _integers_to_grey(np.asarray(image), name).convert('RGB')
    if image.mode == 'F':
        raise ImageReadError(name, f'has floating-point pixels; {ACCEPTED}')
    return image.convert('RGB')


def _integers_to_grey(values: np.ndarray, name: str) -> Image.Image:
    """High byte of 16-bit grey. Pillow's own conversion clips at 255 instead, which leaves a white image."""
    if values.min() < 0 or values.max() > np.iinfo(np.uint16).max:
        raise ImageReadError(name, f'has values from {values.min()} to {values.max()}; {ACCEPTED}')
    return Image.fromarray((values.astype(np.uint16) >> 8).astype(np.uint8))
