"""Frames of a film file, a folder, a camera or a program, one after the other."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from xdet.io.reading import expand, is_address, shorten

FilmSource: TypeAlias = str | Path | int | Iterable[NDArray[np.uint8]]
"""Path of a film, folder of images, number of a camera, or BGR uint8 arrays ``[H, W, 3]``."""

FALLBACK_FPS = 25.0
"""Frames per second of films that do not say it, such as folders."""

# FFmpeg's "quiet", read when OpenCV first opens a film: what is damaged is said in one line here.
os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')

_COUNTED = ('.mp4', '.m4v', '.mov', '.avi')
"""Files that say how many frames they have."""

_HEAD_BYTES = 4096

Reader: TypeAlias = Callable[[str], NDArray[np.uint8]]


class FilmError(ValueError):
    """A film cannot be read or written; the message is one line."""


@dataclass
class Film:
    """Frames to be taken once, in order; only one of them is in memory at a time.

    Attributes:
        name (str): For results and messages.
        fps (float): Frames per second, as the film says or :data:`FALLBACK_FPS`.
        announced (int | None): How many frames there should be, where that is known.
        read (int): How many were read so far.
        broken (str): Why the frames ended early, in one line; empty if they did not.
    """

    name: str
    frames: Iterator[NDArray[np.uint8]]
    fps: float = FALLBACK_FPS
    announced: int | None = None
    read: int = 0
    broken: str = ''
    _close: Callable[[], None] | None = field(default=None, repr=False)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """BGR uint8 ``[H, W, 3]``, all of one size.

        Raises:
            FilmError: There is no frame, or one has another size than those before.
        """
        size: tuple[int, ...] | None = None
        try:
            for frame in self.frames:
                size = size or frame.shape
                if frame.shape != size:
                    raise FilmError(
                        f'{self.name}: frame {self.read} is {frame.shape[1]}x{frame.shape[0]} pixels, those before are '
                        f'{size[1]}x{size[0]}; accepted are frames of one size'
                    )
                self.read += 1
                yield frame
        finally:
            self.close()
        if size is None:
            raise FilmError(f'{self.name}: holds no frame')
        if self.announced is not None and self.read < self.announced and not self.broken:
            self.broken = (
                f'{self.name}: ends after {self.read} of {self.announced} frames; it is damaged or was cut off there'
            )

    def close(self) -> None:
        """Give the file or the camera back."""
        if self._close is not None:
            self._close()
            self._close = None


def open_film(
    source: FilmSource, read_image: Reader, as_bgr: Callable[[Any, str], Any], suffixes: tuple[str, ...]
) -> Film:
    """Open a film.

    Args:
        source (FilmSource): See there; a text of digits is the number of a camera.
        read_image (Callable): Reads an image file, for folders.
        as_bgr (Callable): Brings an array and its name to BGR uint8, for frames of programs.
        suffixes (tuple[str, ...]): Ends of the names of image files.

    Raises:
        FilmError: There is no such film, or it cannot be decoded.
    """
    if isinstance(source, bool) or source is None:
        raise FilmError(f'a film is {source}; accepted are a path, a folder, the number of a camera, and frames')
    if isinstance(source, int) or (isinstance(source, str) and source.strip().isdecimal()):
        return _capture(int(source), f'camera {int(source)}', 'is not there or in use')
    if isinstance(source, (str, Path)):
        if is_address(str(source)):
            return _capture(str(source), shorten(str(source)), 'cannot be opened as a film')
        return _open_path(source, read_image, suffixes)
    if isinstance(source, np.ndarray) and source.ndim != 4:
        raise FilmError(f'frames are an array of shape {source.shape}; accepted is [T, H, W, 3], uint8, BGR')
    if not isinstance(source, Iterable):
        accepted = 'a path, a folder, the number of a camera, and frames'
        raise FilmError(f'a film is a {type(source).__name__}; accepted are {accepted}')
    return Film('frames', (as_bgr(np.asarray(frame), f'frame {index}') for index, frame in enumerate(source)))


def _open_path(source: str | Path, read_image: Reader, suffixes: tuple[str, ...]) -> Film:
    if not str(source).strip():
        raise FilmError('the path of a film is empty')
    try:
        path = expand(source)
        if path.is_dir():
            files = sorted(
                (file for file in path.iterdir() if file.suffix.lower() in suffixes and not file.name.startswith('.')),
                key=lambda file: _counted(file.name),
            )
            if not files:
                raise FilmError(f'{shorten(str(path))}: folder has no image files ({", ".join(suffixes)})')
            return Film(str(path), (read_image(str(file)) for file in files), announced=len(files))
        if not path.exists():
            raise FilmError(f'{shorten(str(path))}: does not exist')
        if not path.is_file():
            raise FilmError(f'{shorten(str(path))}: is neither a file nor a folder')
        with open(path, 'rb') as file:
            head = file.read(_HEAD_BYTES)
        if not head:
            raise FilmError(f'{shorten(str(path))}: file is empty')
        if _is_text(head):
            raise FilmError(
                f'{shorten(str(path))}: is a text, no film; lists of films are not followed, give one of them'
            )
    except OSError as error:
        raise FilmError(f'{shorten(str(source))}: cannot be read ({error.strerror or error})') from error
    return _capture(str(path), shorten(str(path)), 'is no film that can be decoded, or is damaged')


def _is_text(head: bytes) -> bool:
    """Whether a file begins like a text: FFmpeg would draw one, or open the files and addresses that it lists."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return True
    return not head.startswith(b'YUV4MPEG2') and re.search(rb'[^\t\n\r\f\x1b\x20-\xff]', head) is None


def _counted(name: str) -> tuple[list[tuple[str, int]], str]:
    """Key by which ``frame2`` comes before ``frame10``."""
    parts = re.split('([0-9]+)', name)
    return [*zip(parts[::2], (int(digits) for digits in (*parts[1::2], '0')), strict=True)], name


def _capture(source: str | int, name: str, wrong: str) -> Film:
    """What OpenCV reads."""
    level = cv2.getLogLevel() if hasattr(cv2, 'getLogLevel') else None
    if level is not None:
        cv2.setLogLevel(0)
    try:
        capture = cv2.VideoCapture(source) if isinstance(source, int) else cv2.VideoCapture(source, cv2.CAP_FFMPEG)
    except cv2.error:  # a number of a camera that no machine can have
        raise FilmError(f'{name}: {wrong}') from None
    finally:
        if level is not None:
            cv2.setLogLevel(level)
    if not capture.isOpened():
        raise FilmError(f'{name}: {wrong}')
    fps, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    announced = int(count) if isinstance(source, str) and 0 < count < 2**40 else None
    if announced and not str(source).lower().endswith(_COUNTED):
        announced -= 1  # an estimate from the length in seconds
    return Film(name, _decode(capture), fps if 0 < fps <= 1000 else FALLBACK_FPS, announced, _close=capture.release)


def _decode(capture: cv2.VideoCapture) -> Iterator[NDArray[np.uint8]]:
    while True:
        there, frame = capture.read()
        if not there:
            return
        yield np.asarray(frame, np.uint8)
