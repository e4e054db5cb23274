"""What a user may hand in as images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

import numpy as np
from PIL import Image, ImageOps

from xdet.datasets.files.image_io import ImageReadError, as_bgr, read_image

ImageInput = Union[str, Path, np.ndarray, Image.Image]  # noqa: UP007  (evaluated at run time on Python 3.10)

IMAGE_SUFFIXES = ('.bmp', '.gif', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp')
"""Files of a folder that count as images."""


@dataclass(frozen=True)
class ImageSource:
    """One image to read when its turn comes.

    Attributes:
        name (str): Path or URL, or ``image_3`` for the third that is no file.
        image (str | np.ndarray | PIL.Image.Image | ImageReadError): Path or URL, or pixels, or why there are none.
    """

    name: str
    image: str | np.ndarray | Image.Image | ImageReadError

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


def expand_images(images: ImageInput | Sequence[ImageInput]) -> tuple[list[ImageSource], bool]:
    """List what a user handed in.

    Args:
        images (ImageInput | Sequence[ImageInput]): Path of a file or of a folder (its image files in order of their
            names, without sub-folders), URL, BGR array, Pillow image, or a list of these.

    Returns:
        tuple[list[ImageSource], bool]: The images, and whether the user asked for a collection rather than one image.
        What is no image (a folder without image files, a number) becomes a source that says so when it is read.

    Raises:
        ValueError: An empty list.
    """
    if isinstance(images, (list, tuple)):
        if not images:
            raise ValueError('the list of images is empty; give at least one path, URL, array or Pillow image')
        sources = [source for number, item in enumerate(images) for source in _expand_one(item, number)]
        return sources, True
    sources = _expand_one(images, 0)
    return sources, isinstance(images, (str, Path)) and str(images).strip() != '' and Path(images).expanduser().is_dir()


def _expand_one(item: Any, number: int) -> list[ImageSource]:
    if isinstance(item, (np.ndarray, Image.Image)):
        return [ImageSource(f'image_{number}', item)]
    if not isinstance(item, (str, Path)):
        accepted = 'accepted are paths, folders, URLs, uint8 BGR arrays and Pillow images'
        return [_unusable(f'image_{number}', f'is a {type(item).__name__}; {accepted}')]
    if not str(item).strip():
        return [_unusable(f'image_{number}', 'is an empty path; give a file, a folder or a URL')]
    if '://' in str(item):
        return [ImageSource(str(item), str(item))]
    path = Path(item).expanduser()
    if not path.is_dir():
        return [ImageSource(str(path), str(path))]
    files = sorted(file for file in path.iterdir() if file.is_file() and file.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        return [_unusable(str(path), f'folder has no image files ({", ".join(IMAGE_SUFFIXES)})')]
    return [ImageSource(str(file), str(file)) for file in files]


def _unusable(name: str, reason: str) -> ImageSource:
    return ImageSource(name, ImageReadError(name, reason))


def _from_pillow(image: Image.Image, name: str) -> np.ndarray:
    """Like :func:`~xdet.datasets.files.image_io.decode_image`: upright, first frame, 16-bit grey by high byte."""
    try:
        upright = ImageOps.exif_transpose(image)
        upright.load()
    except (OSError, SyntaxError, ValueError) as error:  # Pillow decodes lazily, so a damaged file shows only here
        raise ImageReadError(name, f'cannot be decoded ({error})') from error
    if upright.mode.startswith('I'):
        values = np.asarray(upright)
        fits = values.size and values.min() >= 0 and values.max() <= np.iinfo(np.uint16).max
        return as_bgr(values.astype(np.uint16) if fits else values, name)
    if upright.mode == 'F':
        raise ImageReadError(name, 'has floating-point pixels; accepted are 8-bit and 16-bit images')
    return as_bgr(np.asarray(upright.convert('RGB'))[..., ::-1], name)
