"""Images that are read by windows, so that those of any size fit into memory."""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from xdet.datasets.files.image_io import ImageReadError, as_bgr
from xdet.inference.inputs.images import ImageSource
from xdet.io.errors import cause
from xdet.io.reading import expand, is_address, shorten

Pixels = NDArray[np.uint8]

MAX_PIXELS = 2**32
"""Larger images are refused."""
IN_MEMORY = 2**26
"""Images of up to this many pixels are read at once, by the reader of all other images."""
_CACHE_BYTES = 2**27
_STRIP = 256


class Windows:
    """An image of which windows are read.

    Attributes:
        name (str): Path, or what else it is called.
        size (tuple[int, int]): Height and width.
    """

    def __init__(
        self, name: str, size: tuple[int, int], read: Callable[[slice, slice], Any], close: Callable[[], None] | None
    ) -> None:
        self.name, self.size = name, size
        self._read, self._close = read, close

    def read(self, rows: slice, columns: slice) -> Pixels:
        """Pixels of a window, BGR uint8 ``[h, w, 3]``.

        Raises:
            ImageReadError: They cannot be decoded.
        """
        try:
            return as_bgr(np.asarray(self._read(rows, columns)), self.name)
        except ImageReadError:
            raise
        except Exception as error:  # decoders report damage by exceptions of any type
            raise ImageReadError(self.name, f'damaged or truncated ({shorten(cause(error))})') from error

    def reduced(self, longest: int) -> tuple[Pixels, int]:
        """The image made smaller by a whole factor, so that its longer side has at most ``longest`` pixels; and the
        factor.

        It is read strip by strip.
        """
        height, width = self.size
        factor = max(1, -(-max(height, width) // longest))
        step = max(factor, _STRIP // factor * factor)
        strips = []
        for top in range(0, height, step):
            strip = self.read(slice(top, min(top + step, height)), slice(0, width))
            size = (-(-width // factor), -(-strip.shape[0] // factor))
            strips.append(strip if factor == 1 else cv2.resize(strip, size, interpolation=cv2.INTER_AREA))
        return np.concatenate(strips), factor

    def close(self) -> None:
        """Give files back."""
        if self._close is not None:
            self._close()


@contextmanager
def open_windows(source: ImageSource) -> Iterator[Windows]:
    """Open an image.

    TIFF files are read by their own tiles or strips where tifffile is installed and understands them. What else is
    large is decoded once into a temporary file.

    Raises:
        ImageReadError: See :meth:`ImageSource.read`.
    """
    windows = _open(source)
    try:
        yield windows
    finally:
        windows.close()


def _open(source: ImageSource) -> Windows:
    if isinstance(source.image, str) and not is_address(source.image):
        path = expand(source.image)
        if path.suffix.lower() in ('.tif', '.tiff') and (windows := _tiff(path, source.name)) is not None:
            return windows
        if (windows := _large(path, source.name)) is not None:
            return windows
    elif isinstance(source.image, np.ndarray):
        array = source.image
        as_bgr(array[:1, :1], source.name)
        if array.size == 0:
            raise ImageReadError(source.name, f'has no pixels (shape {array.shape})')
        return Windows(source.name, array.shape[:2], lambda rows, columns: array[rows, columns], None)
    pixels = source.read()
    return Windows(source.name, pixels.shape[:2], lambda rows, columns: pixels[rows, columns], None)


def _check_size(name: str, height: int, width: int) -> None:
    if height * width > MAX_PIXELS:
        raise ImageReadError(name, f'has {width}x{height} pixels; accepted are at most {MAX_PIXELS} in all')


def _large(path: Path, name: str) -> Windows | None:
    """An image file of Pillow's that is too large to be kept in memory; None for all others."""
    if not path.is_file():
        return None
    limit = Image.MAX_IMAGE_PIXELS
    try:
        Image.MAX_IMAGE_PIXELS = None  # who asks for tiles means a large image
        with Image.open(path) as image:
            width, height = image.size
            if height * width <= IN_MEMORY or image.format in ('EPS', 'WMF'):
                return None
            _check_size(name, height, width)
            return _spooled(image, name)
    except ImageReadError:
        raise
    except UnidentifiedImageError:
        return None  # the reader of all other images says it
    except OSError as error:
        raise ImageReadError(name, f'damaged or truncated ({shorten(cause(error))})') from error
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _spooled(image: Image.Image, name: str) -> Windows:
    """Pixels in a temporary file. While Pillow decodes, the whole image is in memory; afterwards it is not."""
    image = ImageOps.exif_transpose(image) if image.getexif().get(0x0112, 1) != 1 else image
    width, height = image.size
    file: IO[bytes] = tempfile.TemporaryFile()
    try:
        for top in range(0, height, _STRIP):
            strip = image.crop((0, top, width, min(top + _STRIP, height)))
            if strip.mode.startswith('I'):
                pixels = as_bgr(np.asarray(strip).astype(np.uint16), name)
            else:
                pixels = np.asarray(strip.convert('RGB'))[..., ::-1]
            file.write(np.ascontiguousarray(pixels).tobytes())
        file.flush()
    except BaseException as error:
        file.close()
        if isinstance(error, OSError):
            raise ImageReadError(name, f'cannot be decoded into {tempfile.gettempdir()} ({cause(error)})') from error
        raise

    def read(rows: slice, columns: slice) -> Pixels:
        # Mapped for one window only: pages that were touched count as memory of this process until it is closed.
        mapped = np.memmap(file, np.uint8, 'r', shape=(height, width, 3))
        return np.array(mapped[rows, columns])

    return Windows(name, (height, width), read, file.close)


def _tiff(path: Path, name: str) -> Windows | None:
    """A TIFF file that tifffile reads by parts; None where another reader is needed."""
    try:
        import tifffile
    except ImportError:
        return None
    try:
        file = tifffile.TiffFile(path)
    except (OSError, ValueError, tifffile.TiffFileError):
        return None
    page: Any = file.pages[0]
    orientation = page.tags.get('Orientation')
    fits = (
        page.dtype in (np.uint8, np.uint16)
        and page.samplesperpixel in (1, 3, 4)
        and (page.samplesperpixel == 1 or page.planarconfig == 1)
        and page.photometric in (1, 2, 6)  # dark to bright, RGB, YCbCr, which comes as RGB
        and page.imagedepth == 1
        and (orientation is None or orientation.value == 1)
    )
    rows_, columns_ = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    small = min(rows_, page.imagelength) * columns_ * page.samplesperpixel * page.dtype.itemsize <= _CACHE_BYTES
    if not fits or not (small or page.is_memmappable):
        file.close()
        return None
    _check_size(name, page.imagelength, page.imagewidth)
    if not small:
        mapped_path, offset, shape = path, page.dataoffsets[0], page.shape
        dtype = page.dtype.newbyteorder(file.byteorder)
        file.close()

        def read_mapped(rows: slice, columns: slice) -> Any:
            mapped = np.memmap(mapped_path, dtype, 'r', offset, shape)
            return _grey_or_colour(np.array(mapped[rows, columns]).astype(dtype.newbyteorder('=')))

        return Windows(name, (page.imagelength, page.imagewidth), read_mapped, None)
    try:
        parts = _TiffParts(file, page, rows_, columns_)
        parts.read(slice(0, 1), slice(0, 1))
    except Exception:  # a codec that is not installed; Pillow may have it, or says what is wrong
        file.close()
        return None
    return Windows(name, (page.imagelength, page.imagewidth), parts.read, file.close)


class _TiffParts:
    """Windows put together from the tiles or strips of a TIFF page; those read last stay decoded."""

    def __init__(self, file: Any, page: Any, rows: int, columns: int) -> None:
        self._file, self._page, self._rows, self._columns = file, page, rows, columns
        self._across = -(-page.imagewidth // columns)
        self._decoded: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._bytes = 0

    def read(self, rows: slice, columns: slice) -> NDArray[Any]:
        """A window, RGB turned into BGR."""
        page = self._page
        window = np.zeros((rows.stop - rows.start, columns.stop - columns.start, page.samplesperpixel), page.dtype)
        for down in range(rows.start // self._rows, -(-rows.stop // self._rows)):
            for across in range(columns.start // self._columns, -(-columns.stop // self._columns)):
                part = self._part(down * self._across + across)
                top, left = down * self._rows, across * self._columns
                y1, y2 = max(rows.start, top), min(rows.stop, top + part.shape[0])
                x1, x2 = max(columns.start, left), min(columns.stop, left + part.shape[1])
                window[y1 - rows.start : y2 - rows.start, x1 - columns.start : x2 - columns.start] = part[
                    y1 - top : y2 - top, x1 - left : x2 - left
                ]
        return _grey_or_colour(window)

    def _part(self, index: int) -> NDArray[Any]:
        if index in self._decoded:
            self._decoded.move_to_end(index)
            return self._decoded[index]
        page, handle = self._page, self._file.filehandle
        handle.seek(page.dataoffsets[index])
        data = handle.read(page.databytecounts[index])
        tables = dict(jpegtables=page.jpegtables) if page.jpegtables is not None else {}
        decoded = page.decode(data, index, **tables)[0]
        if decoded is None:  # a part that is not stored is empty
            part = np.zeros((self._rows, self._columns, page.samplesperpixel), page.dtype)
        else:
            part = np.asarray(decoded)[0]
        self._decoded[index] = part
        self._bytes += part.nbytes
        while self._bytes > _CACHE_BYTES and len(self._decoded) > 1:
            self._bytes -= self._decoded.popitem(last=False)[1].nbytes
        return part


def _grey_or_colour(window: NDArray[Any]) -> NDArray[Any]:
    """RGB or RGBA as BGR; grey stays as it is."""
    if window.ndim == 2 or window.shape[-1] == 1:
        return window
    return np.ascontiguousarray(window[..., 2::-1])
