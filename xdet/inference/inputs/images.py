"""What a user may hand in as images."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeGuard, Union

import numpy as np
from PIL import Image, ImageOps

from xdet.datasets.files.image_io import IMAGE_SUFFIXES, ImageReadError, as_bgr, is_clutter, read_image, tell_of_hidden
from xdet.io.errors import cause
from xdet.io.reading import expand, is_address, listed, shorten
from xdet.io.warnings import warn_once

RESULTS = ('preds', 'vis')
"""Folders of images that a run makes in its folder of results."""


@dataclass(frozen=True)
class ImageSource:
    """One image to read when its turn comes.

    Attributes:
        name (str): Path or URL, or ``image_3`` for the third that is no file.
        image (str | np.ndarray | PIL.Image.Image | ImageReadError): Path or URL, or pixels, or why there are none.
    """

    name: str
    image: str | np.ndarray | Image.Image | ImageReadError

    def is_there(self) -> bool:
        """Whether reading is worth a try: it is no file that is missing and nothing unusable."""
        if isinstance(self.image, ImageReadError):
            return False
        return not isinstance(self.image, str) or is_address(self.image) or os.path.exists(self.image)

    def stamp(self) -> list[int] | None:
        """What differs when a file is replaced: its size and the time of its last change; None for no file."""
        try:
            status = os.stat(self.image) if isinstance(self.image, str) and not is_address(self.image) else None
        except OSError:
            status = None
        return None if status is None else [status.st_size, status.st_mtime_ns]

    def read(self) -> np.ndarray:
        """Pixels, BGR uint8 ``[H, W, 3]``.

        Raises:
            ImageReadError: The image is missing, damaged, or of an unusable kind; the message is one line.
        """
        if isinstance(self.image, ImageReadError):
            raise self.image
        if isinstance(self.image, str):
            return read_image(self.image)
        if isinstance(self.image, Image.Image):
            return _from_pillow(self.image, self.name)
        return as_bgr(self.image, self.name)


# Of the last kind are those that a program read itself and gives a name.
ImageInput = Union[str, Path, np.ndarray, Image.Image, ImageSource]  # noqa: UP007  (evaluated at run time)


def expand_images(
    images: ImageInput | Iterable[ImageInput], leave_out: str | Path | None = None
) -> tuple[list[ImageSource], bool]:
    """List what a user handed in.

    Args:
        images (ImageInput | Sequence[ImageInput]): Path of a file or of a folder (its image files and those of its
            sub-folders, see :func:`files_below`), a pattern such as ``'photos/*.jpg'`` or ``'photos/**/*.png'``, URL,
            BGR array, Pillow image, or a list of these.
        leave_out (str | Path, optional): Folder whose files do not count when a folder is listed: that of results. If
            it is that folder itself, or one above, results in it do not count.

    Returns:
        tuple[list[ImageSource], bool]: The images, and whether the user asked for a collection rather than one image.
        What is no image (a folder without image files, a number) becomes a source that says so when it is read.

    Raises:
        ValueError: An empty list.
    """
    if isinstance(images, (list, tuple)):
        if not images:
            raise ValueError('the list of images is empty; give at least one path, URL, array or Pillow image')
        return [
            source for number, item in enumerate(images) for source in _expand_one(item, number, leave_out)[0]
        ], True
    return _expand_one(images, 0, leave_out)


def has_to_be_iterated(images: object) -> TypeGuard[Iterable[Any]]:
    """Whether images come one by one, from a generator for example, and not as a list, a folder or an array."""
    known = (str, bytes, list, tuple, Mapping, Image.Image)
    return isinstance(images, Iterable) and not isinstance(images, known) and not hasattr(images, 'shape')


def expand_one_by_one(images: Iterable[ImageInput], leave_out: str | Path | None = None) -> Iterator[ImageSource]:
    """The images of :func:`expand_images`, of an iterable that may be endless; each entry is asked for when its turn
    comes.
    """
    for number, item in enumerate(images):
        yield from _expand_one(item, number, leave_out)[0]


def files_below(folder: Path, suffixes: Sequence[str] | None, leave_out: str | Path | None = None) -> list[Path]:
    """Files with one of some suffixes in a folder and below, in order of their paths.

    Links are followed, but no folder is entered twice. What systems add, such as hidden files and folders, is left
    out. What is no regular file, such as a link to a file that is gone, is listed: reading it says so.

    Args:
        folder (Path): Where to look.
        suffixes (Sequence[str], optional): In lower case, with the dot; all files for None.
        leave_out (str | Path, optional): A folder of results, which is not entered; of ``folder`` itself, or one above
            it, the folders in it that runs write into.
    """
    seen: set[str] = set()
    if isinstance(leave_out, (str, os.PathLike)) and os.fspath(leave_out) and '\0' not in os.fspath(leave_out):
        results = os.path.realpath(os.path.expanduser(leave_out))
        seen.update((results, *(os.path.join(results, name) for name in RESULTS)))
    seen.discard(os.path.realpath(folder))
    found = []
    for place, folders, files in os.walk(folder, followlinks=True):
        seen.add(os.path.realpath(place))
        kept = []
        for name in sorted(folders):
            real = os.path.realpath(os.path.join(place, name))
            if not is_clutter(name) and real not in seen:
                seen.add(real)
                kept.append(name)
        folders[:] = kept
        if suffixes is not None:
            tell_of_hidden(place, (name for name in files if Path(name).suffix.lower() in suffixes))
        files = [name for name in files if not is_clutter(name)]
        found += [Path(place, name) for name in files if suffixes is None or Path(name).suffix.lower() in suffixes]
    return sorted(found)


def _matching(pattern: Path) -> list[Path]:
    """Files that fit a pattern, in order; ``**`` is any number of folders. Unlike glob's, the search enters no folder
    twice, so that links cannot keep it busy for ever.

    Raises:
        ValueError: It has more than three ``**``.
    """
    first = next(place for place, part in enumerate(pattern.parts) if glob.has_magic(part))
    root, rest = Path(*pattern.parts[:first]), pattern.parts[first:]
    rest = tuple(part for place, part in enumerate(rest) if part != '**' or rest[place - 1 : place] != ('**',))
    if rest.count('**') > 3:
        raise ValueError(f'{shorten(str(pattern))}: a pattern may have ** three times at most')
    if len(rest) == 1 and rest != ('**',):
        return sorted(path for path in map(Path, glob.glob(str(pattern))) if path.is_file())
    return [path for path in files_below(root, None) if _fits(path.relative_to(root).parts, rest)]


def _fits(parts: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == '**':
        return any(_fits(parts[skipped:], pattern[1:]) for skipped in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _fits(parts[1:], pattern[1:])


def _expand_one(item: Any, number: int, leave_out: str | Path | None) -> tuple[list[ImageSource], bool]:
    """The images of one entry, and whether it can stand for several."""
    if isinstance(item, ImageSource):
        return [item], False
    if isinstance(item, (np.ndarray, Image.Image)):
        return [ImageSource(f'image_{number}', item)], False
    if not isinstance(item, (str, Path)):
        accepted = 'accepted are paths, folders, patterns, URLs, uint8 BGR arrays and Pillow images'
        return [_unusable(f'image_{number}', f'is a {type(item).__name__}; {accepted}')], False
    if not str(item).strip():
        return [_unusable(f'image_{number}', 'is an empty path; give a file, a folder or a URL')], False
    if is_address(str(item)):
        return [ImageSource(str(item), str(item))], False
    try:
        path = expand(item)
        if path.is_dir():
            files = files_below(path, IMAGE_SUFFIXES, leave_out)
            _name_others(path, files_below(path, None, leave_out))
            missing = f'folder has no image files ({", ".join(IMAGE_SUFFIXES)})'
        elif glob.has_magic(str(path)) and not path.exists():
            files = _matching(path)
            missing = 'no file fits this pattern'
        else:
            return [ImageSource(str(path), str(path))], False
    except ValueError as error:
        return [_unusable(f'image_{number}', str(error))], False
    except OSError as error:  # a name that no file system can hold, a folder that may not be read
        return [_unusable(shorten(str(item)), f'cannot be read ({error.strerror or error})')], False
    sources = [ImageSource(str(file), str(file)) for file in files]
    return sources or [_unusable(shorten(str(path)), missing)], True


def _name_others(folder: Path, files: Sequence[Path]) -> None:
    """Say which files of a folder are not taken for images."""
    others = [file for file in files if file.suffix.lower() not in IMAGE_SUFFIXES]
    if others:
        warn_once(
            f'{folder}: {len(others)} file(s) that end in {listed(sorted({file.suffix for file in others}))} are left '
            f'out, the first is {others[0].name}; name files one by one to have them read as images'
        )


def _unusable(name: str, reason: str) -> ImageSource:
    return ImageSource(name, ImageReadError(name, reason))


def _from_pillow(image: Image.Image, name: str) -> np.ndarray:
    """Like :func:`~xdet.datasets.files.image_io.decode_image`: upright, first frame, 16-bit grey by high byte."""
    try:
        upright = ImageOps.exif_transpose(image)
        upright.load()
        rgb = upright if upright.mode[0] in 'IF' else upright.convert('RGB')
    except Exception as error:  # Pillow decodes lazily, so a damaged file shows only here, by any type of exception
        raise ImageReadError(name, f'cannot be decoded ({shorten(cause(error))})') from error
    if upright.mode.startswith('I'):
        values = np.asarray(upright)
        fits = values.size and values.min() >= 0 and values.max() <= np.iinfo(np.uint16).max
        return as_bgr(values.astype(np.uint16) if fits else values, name)
    if upright.mode == 'F':
        raise ImageReadError(name, 'has floating-point pixels; accepted are 8-bit and 16-bit images')
    return as_bgr(np.asarray(rgb)[..., ::-1], name)
