"""What entries of annotation files hold, checked: sizes, names, splits, boxes, points, numbers; and XML."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.parsers import expat

from PIL import UnidentifiedImageError

from xdet.datasets.files.image_io import ImageReadError, open_image
from xdet.datasets.files.outlines import check_coordinates
from xdet.io.errors import cause
from xdet.io.reading import MAX_IMAGE_BYTES, read_bytes, read_json, read_list, shorten
from xdet.io.schema import is_finite, require, shown
from xdet.structures.vocabulary import refuse_unprintable

MOST_PIXELS = 1 << 28
"""Of an image. Masks are drawn into memory, and a file may say any size."""
NO_CLASSES = ('__ignore__', '_background_')
"""In a ``labels.txt``, pixels that are of no class."""

_MAX_XML_BYTES = 1 << 30
_DEEPEST = 64
_ORIENTATION = 0x0112  # of EXIF; 5 to 8 lie on their side


def image_size_of(path: str | Path) -> tuple[int, int]:
    """Height and width of an image, upright; its pixels are not decoded. ``path`` is as in :func:`image_data`.

    Raises:
        ImageReadError: It is no image.
    """
    return size_of_bytes(image_data(path), shorten(str(path)))


def image_data(path: str | Path) -> bytes:
    """Content of an image file, or, of a JSON of LabelMe, of the image in it.

    Raises:
        OSError: It cannot be read.
        ValueError: The JSON is damaged, or holds none.
    """
    if Path(path).suffix.lower() != '.json':
        return read_bytes(path, MAX_IMAGE_BYTES)
    try:
        return base64.b64decode(require(read_json(path), 'imageData', str, str(path)), validate=True)
    except binascii.Error as error:
        raise ValueError(f'{shorten(str(path))}: imageData is not in base64 ({error})') from None


def size_of_bytes(data: bytes, name: str) -> tuple[int, int]:
    """:func:`image_size_of` of the content of a file called ``name``."""
    try:
        with open_image(data) as image:
            width, height = image.size
            turned = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
    except UnidentifiedImageError:
        raise ImageReadError(name, 'not an image') from None
    except Exception as error:  # Pillow's decoders report damage by exceptions of any type
        raise ImageReadError(name, f'damaged ({shorten(cause(error))})') from error
    return checked_size((width, height) if turned else (height, width), name)


def checked_size(size: tuple[int, int], where: str) -> tuple[int, int]:
    """Height and width.

    Raises:
        ValueError: No image can have them.
    """
    if min(size) < 1 or size[0] * size[1] > MOST_PIXELS:
        raise ValueError(f'{where}: its size is {shown(size[1])}x{shown(size[0])} pixels, which no image can have')
    return size


def checked_name(name: str, where: str) -> str:
    """A class name without the white space around it.

    Raises:
        ValueError: It is empty or long, or has control characters.
    """
    text = name.strip()
    if not text or len(text) > 500:
        raise ValueError(f'{where}: the name is {shown(name)}; every segment needs the name of a class')
    refuse_unprintable(f'{where}: the name', text)
    return text


def one_line(name: str) -> str:
    """A name without the white space around it, and with a space for line breaks and tabs."""
    return _BREAKS.sub(' ', name.strip())


_BREAKS = re.compile(r'\s*[\t\n\v\f\r\x1c-\x1f\x85\u2028\u2029]\s*')


def checked_split(name: str, where: str) -> str:
    """The part of the data that an image is in, such as ``'train'``; files and folders are named after it.

    Raises:
        ValueError: It is no name of a folder.
    """
    text = name.strip()
    if text in ('.', '..') or set(text) & set('/\\:*?"<>|') or (text and not text.isprintable()) or len(text) > 100:
        raise ValueError(f'{where}: its split is {shown(name)}; it must be a word such as train or val')
    return text


def checked_box(
    corners: Sequence[float], size: tuple[int, int], where: str
) -> tuple[float, float, float, float] | None:
    """x1, y1, x2 and y2 of a box; None if it has no area.

    Raises:
        ValueError: It ends before it begins, or see :func:`checked_points`.
    """
    (x1, y1), (x2, y2) = checked_points(corners, size, where)
    if x2 < x1 or y2 < y1:
        raise ValueError(f'{where}: its box ends before it begins, from {x1:g}, {y1:g} to {x2:g}, {y2:g}')
    return (x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None


def unique_names(names: Iterable[str], where: str) -> tuple[str, ...]:
    """Class names in order.

    Raises:
        ValueError: One is empty or repeated.
    """
    known: dict[str, None] = {}
    for position, name in enumerate(names):
        text = checked_name(name, f'{where}: class {position} (counted from 0)')
        if text in known:
            raise ValueError(f'{where}: the class {shorten(text, 80)!r} is listed twice')
        known[text] = None
    return tuple(known)


def listed_names(path: Path) -> tuple[str, ...]:
    """Class names of a ``labels.txt`` of LabelMe or VOC, without :data:`NO_CLASSES`; none if there is no such file.

    Raises:
        OSError, ValueError: It is damaged, or lists a name twice.
    """
    if not path.is_file():
        return ()
    return unique_names((name for name in read_list(path) if name not in NO_CLASSES), str(path))


def checked_points(values: Sequence[float], size: tuple[int, int], where: str) -> list[tuple[float, float]]:
    """x and y in turn as points.

    Raises:
        ValueError: One is no finite number, far outside of the image, or without a partner.
    """
    check_coordinates(list(values), size, where)
    if len(values) % 2:
        raise ValueError(f'{where} has {len(values)} numbers; every point needs x and y')
    return list(zip(values[0::2], values[1::2], strict=True))


def parse_number(text: str | None, where: str, kind: type = float) -> Any:
    """A number that a file has as text.

    Raises:
        ValueError: It is none, or not finite.
    """
    try:
        value = kind(text)
        if is_finite(value):
            return value
    except (TypeError, ValueError):
        pass
    what = 'missing' if text is None else repr(shorten(text, 40))
    raise ValueError(f'{where} is {what}; it must be a {"whole " if kind is int else ""}number')


def read_xml(path: Path) -> ElementTree.Element:
    """Root of an XML file. Definitions of entities are refused: they can read other files and fill the memory.

    Raises:
        FileNotFoundError, UnreadableError: See :func:`~xdet.io.reading.read_bytes`.
        ValueError: See :func:`parse_xml`.
    """
    return parse_xml(read_bytes(path, _MAX_XML_BYTES), shorten(str(path)))


def parse_xml(data: bytes, name: str) -> ElementTree.Element:
    """Root of XML that comes from ``name``; entities as in :func:`read_xml`.

    Raises:
        ValueError: It is not XML, has a DOCTYPE, or is nested too deeply.
    """
    builder = ElementTree.TreeBuilder()
    parser = expat.ParserCreate()
    depth = 0

    def refuse(*_: Any) -> None:
        raise ValueError(f'{name}: has a DOCTYPE, which may define entities; files with one are not read')

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise ValueError(f'{name}: its elements are nested more than {_DEEPEST} deep')
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, LookupError) as error:  # an encoding that nobody knows is a LookupError
        raise ValueError(f'{name}: not valid XML ({error})') from None
    return builder.close()
