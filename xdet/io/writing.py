"""Files that are written completely or not at all; every writer of the package goes through here.

A file is written beside its place, under a name that no other process or thread uses, and then renamed. So readers
never see half of a file, two writers never mix theirs, and after an error the old file is there and nothing else.
"""

from __future__ import annotations

import errno
import glob
import io
import json
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from itertools import takewhile
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

UNFINISHED = '.part'
"""End of the names of files that are being written; they begin with a full stop."""

_STEM = 40  # letters of a file's name that are repeated in that of its unfinished copy; file systems take 255 bytes
_FORGOTTEN_AFTER = 3600  # seconds


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[IO[bytes]]:
    """A binary file that takes the place of ``path`` at the end of the body, unless that raises; folders are made.

    Raises:
        OSError: Disk full, no permission, and the like; it names ``path``.
    """
    with _replacing_all([Path(path)]) as (file,), _naming(path, file.name):
        yield file


@contextmanager
def replacing_path(path: str | os.PathLike) -> Iterator[Path]:
    """A path beside ``path``, with the same suffix, for what another library writes: a file, or a folder.

    What is there at the end of the body takes the place of ``path``, unless the body raises; then it is removed.
    Folders above are made; a folder takes only the place of an empty one.

    Raises:
        FileExistsError: Somebody has written into the folder meanwhile.
        OSError: No permission, and the like; it names ``path``.
    """
    path = Path(path)
    part = path.with_name(f'.{path.stem[:_STEM]}.{uuid.uuid4().hex[:12]}{UNFINISHED}{path.suffix}')
    with _in_folder(path.parent):
        try:
            with _naming(path, str(part), nameless=False):
                yield part
                try:
                    os.replace(part, path)
                except OSError as error:
                    if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                        raise
                    told = f"'{path}' is not empty: another process has written into it; give a new folder"
                    raise FileExistsError(told) from None
        except BaseException:
            if part.is_dir():
                shutil.rmtree(part, ignore_errors=True)
            else:
                part.unlink(missing_ok=True)
            raise


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Write several files, all of them or none.

    Raises:
        OSError: One cannot be written; it names the file.
    """
    with _replacing_all(list(contents)) as files:
        for file, (path, content) in zip(files, contents.items(), strict=True):
            with _naming(path, file.name):
                file.write(content)


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Write a file; errors as in :func:`replacing`."""
    write_files({Path(path): content})


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text file in UTF-8; what that cannot hold (half a surrogate pair) becomes a question mark."""
    write_bytes(path, text.encode('utf-8', errors='replace'))


def write_json(path: str | os.PathLike, content: Any, **options: Any) -> None:
    """Write a JSON file; ``options`` are those of ``json.dumps``."""
    write_text(path, json.dumps(content, **options))


def write_image(path: str | os.PathLike, pixels: np.ndarray, **options: Any) -> None:
    """Write uint8 or uint16 ``[H, W]``, or RGB uint8 ``[H, W, 3]``; ``options`` are those of Pillow's ``save``.

    Raises:
        OSError: See :func:`replacing`.
        ValueError: The end of the name is that of no format.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in Image.registered_extensions():
        raise ValueError(f"'{path}': '{suffix}' is no format of images; accepted are .png, .jpg, .webp and others")
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, Image.registered_extensions()[suffix], **options)
    write_bytes(path, buffer.getvalue())


def make_folder(path: str | os.PathLike) -> Path:
    """Make a folder and those above it; one that is there is as good.

    Raises:
        FileExistsError: A file is in the way; the message names it.
        OSError: No permission, and the like.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        file = next(place for place in (path, *path.parents) if os.path.lexists(place))
        where = '' if file == path else f"'{path}' cannot be made: "
        raise FileExistsError(f"{where}'{file}' is a file; give a folder") from None
    return path


def check_place(path: str | os.PathLike, folder: bool = False) -> None:
    """Refuse a place where nothing can be written, before time is spent on what shall go there.

    Args:
        path (str | PathLike): The file, or the folder.
        folder (bool): It is a folder.

    Raises:
        OSError: It is of the other kind, or cannot be made; the message names it.
    """
    path = Path(path)
    if path.exists() and path.is_dir() != folder:
        raise FileExistsError(f"'{path}' is a {'file; give a folder' if folder else 'folder; give a file'}")
    place = path if folder else path.parent
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise NotADirectoryError(f"'{path}' cannot be written: '{place}' is no folder")
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise PermissionError(
            f"'{path}' cannot be written: no file can be made in '{place}' ({error.strerror})"
        ) from None


def remove_forgotten(folder: Path, pattern: str = '*') -> None:
    """Remove what killed writers left of files whose names match; what somebody may still be writing stays."""
    for part in folder.glob(f'.{pattern}{UNFINISHED}'):
        try:
            if time.time() - part.stat().st_mtime > _FORGOTTEN_AFTER:
                part.unlink()
        except OSError:
            continue


def remove_unfinished(path: Path) -> None:
    """Remove what killed writers left of a file, for callers who know that nobody is writing it."""
    for part in path.parent.glob(_part_of(path, '*', glob.escape)):
        part.unlink(missing_ok=True)


def _part_of(path: Path, middle: str, quoted: Callable[[str], str] = str) -> str:
    return f'.{quoted(path.name[:_STEM])}.{middle}{UNFINISHED}'


@contextmanager
def _replacing_all(paths: list[Path]) -> Iterator[list[IO[bytes]]]:
    """Files that take their places together."""
    parts: list[Path] = []
    with ExitStack() as folders:
        try:
            with ExitStack() as stack:
                files: list[IO[bytes]] = []
                for path in paths:
                    folders.enter_context(_in_folder(path.parent))
                    part = path.with_name(_part_of(path, uuid.uuid4().hex[:12]))
                    parts.append(part)
                    with _naming(path, str(part)):
                        files.append(stack.enter_context(open(part, 'xb')))
                yield files
                for path, file in zip(paths, files, strict=True):
                    with _naming(path, file.name):
                        file.flush()
                        os.fsync(file.fileno())  # some file systems report a full disk only here
            for path, part in zip(paths, parts, strict=True):
                with _naming(path, str(part)):
                    os.replace(part, path)
        except BaseException:
            for part in parts:
                part.unlink(missing_ok=True)
            raise


@contextmanager
def _in_folder(folder: Path) -> Iterator[None]:
    """The folder is there; if the body raises, what was made for it goes again, unless somebody else uses it."""
    made = list(takewhile(lambda place: not os.path.lexists(place), (folder, *folder.parents)))
    try:
        make_folder(folder)
        yield
    except BaseException:
        for place in made:
            with suppress(OSError):  # something lies in it
                place.rmdir()
        raise


@contextmanager
def _naming(path: str | os.PathLike, part: str, nameless: bool = True) -> Iterator[None]:
    """Errors name what was to be written, not its unfinished copy; also errors that name nothing, if ``nameless``."""
    try:
        yield
    except OSError as error:
        names = [str(name) for name in (error.filename, error.filename2) if name is not None]
        if error.errno is None or not (any(name.startswith(part) for name in names) if names else nameless):
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error
