"""Writes films and lines of results while they are made; what is not finished is not there."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from xdet.io.reading import expand, shorten
from xdet.io.writing import make_folder, replacing, replacing_path, write_image

from .reading import FilmError

CODECS = {'.mp4': 'mp4v', '.m4v': 'mp4v', '.mov': 'mp4v', '.avi': 'MJPG', '.mkv': 'mp4v', '.webm': 'VP80'}
"""By the end of the name; all of them are in every build of OpenCV."""
LINES = '.jsonl'
_ONCE = ('classes', 'provenance', 'unknown_prompts')
"""The same in all frames, so in the first line only."""
FOLDER_LINES = f'frames{LINES}'


class FilmWriter:
    """Takes frames and results one after the other; made by :func:`writing_film`.

    Attributes:
        frames (int): How many were written.
    """

    def __init__(self, name: str, picture_path: Path | None, is_folder: bool, fps: float, lines: Any) -> None:
        self.name, self.frames = name, 0
        self._path, self._is_folder, self._fps, self._lines = picture_path, is_folder, fps, lines
        self._film: cv2.VideoWriter | None = None

    @property
    def draws(self) -> bool:
        """Whether it wants pictures at all."""
        return self._path is not None

    def add(self, result: Mapping[str, Any], picture: NDArray[np.uint8] | None) -> None:
        """Write a frame.

        Args:
            result (Mapping[str, Any]): For a line of JSON.
            picture (NDArray, optional): RGB uint8 with even sides, of the size of those before.

        Raises:
            OSError: Disk full, and the like.
        """
        if self._lines is not None:
            kept = {key: value for key, value in result.items() if not self.frames or key not in _ONCE}
            line = json.dumps(kept, ensure_ascii=False, allow_nan=False)
            self._lines.write(line.encode('utf-8', errors='replace') + b'\n')
        if self._path is not None and picture is not None:
            if self._is_folder:
                write_image(self._path / f'{self.frames:06d}.png', picture)
            else:
                self._encode(self._path, picture)
        self.frames += 1

    def _encode(self, path: Path, picture: NDArray[np.uint8]) -> None:
        height, width = picture.shape[:2]
        if self._film is None:
            codec = cv2.VideoWriter.fourcc(*CODECS[path.suffix.lower()])
            self._film = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, codec, self._fps, (width, height))
            if not self._film.isOpened():
                raise FilmError(f"{self.name}: this OpenCV cannot write '{path.suffix}' of {width}x{height} pixels")
        self._film.write(np.ascontiguousarray(picture[..., ::-1]))

    def close(self) -> None:
        """Finish the film.

        Raises:
            FilmError: What lies on the disk is not what was written; OpenCV itself does not say that a disk is full.
        """
        if self._film is None or self._path is None:
            return
        self._film.release()
        check = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG)
        count = int(check.get(cv2.CAP_PROP_FRAME_COUNT)) if check.isOpened() else 0
        check.release()
        if count < self.frames - 1:  # containers that estimate it may be off by one
            raise FilmError(f'{self.name}: only {count} of {self.frames} frames could be written; is the disk full?')


def check_output(out: str | Path) -> Path:
    """The path of a film, of lines, or of a folder that may be written.

    Raises:
        FilmError: It ends in no format of films, is a folder with something in it, or cannot be written.
    """
    if not str(out).strip():
        raise FilmError('the path of the output is empty')
    path = expand(out)
    suffix, name = path.suffix.lower(), shorten(str(path))
    if suffix and suffix != LINES and suffix not in CODECS:
        accepted = f'{", ".join(CODECS)}, {LINES} for results only, and a folder, whose name has no ending'
        raise FilmError(f"{name}: '{path.suffix}' is no format of films; accepted are {accepted}")
    try:
        if not suffix and path.is_dir() and any(path.iterdir()):
            raise FilmError(f'{name}: folder has something in it; give a new one')
        if not suffix and path.exists() and not path.is_dir():
            raise FilmError(f'{name}: is a file; give a folder, or a name with an ending')
        if suffix and path.is_dir():
            raise FilmError(f'{name}: is a folder; give a file')
        make_folder(path.parent)
        with tempfile.TemporaryFile(dir=path.parent):
            pass  # can files be made there?
    except OSError as error:
        raise FilmError(f'{name}: cannot be written ({error.strerror or error})') from error
    return path


@contextmanager
def writing_film(out: str | Path, fps: float, pictures: bool = True, lines: bool = True) -> Iterator[FilmWriter]:
    """A writer whose files are there, whole, when the body ends, and not there if it raises.

    Args:
        out (str | Path): A film (``.mp4``, ...) with its results beside it (``.jsonl``); results alone (``.jsonl``); or
            a folder for numbered images and ``frames.jsonl``.
        fps (float): Frames per second.
        pictures (bool): Write the film, or the images.
        lines (bool): Write a line of JSON per frame.

    Raises:
        FilmError: See :func:`check_output`.
        OSError: Disk full, and the like.
    """
    path = check_output(out)
    suffix = path.suffix.lower()
    with ExitStack() as stack:
        if not suffix:
            folder = stack.enter_context(replacing_path(path))
            folder.mkdir()
            file = stack.enter_context(replacing(folder / FOLDER_LINES)) if lines else None
            yield FilmWriter(str(path), folder if pictures else None, True, fps, file)
            return
        only_lines = suffix == LINES
        part = stack.enter_context(replacing_path(path)) if pictures and not only_lines else None
        file = stack.enter_context(replacing(path.with_suffix(LINES))) if lines or only_lines else None
        writer = FilmWriter(shorten(str(path)), part, False, fps, file)
        try:
            yield writer
        finally:
            writer.close()
