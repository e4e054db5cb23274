"""What readers share: files that others wrote are looked up, opened and checked here."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath
from typing import Any
from xml.etree import ElementTree
from xml.parsers import expat

from PIL import UnidentifiedImageError

from xdet.datasets.files.image_io import IMAGE_SUFFIXES, ImageReadError, is_clutter, open_image, tell_of_hidden
from xdet.datasets.files.outlines import check_coordinates
from xdet.io.errors import cause
from xdet.io.reading import MAX_IMAGE_BYTES, as_on_disk, read_bytes, read_list, shorten
from xdet.io.schema import is_finite, shown
from xdet.structures.vocabulary import refuse_unprintable

from .problems import Problems

MOST_PIXELS = 1 << 28
"""Of an image. Masks are drawn into memory, and a file may say any size."""
NO_CLASSES = ('__ignore__', '_background_')
"""In a ``labels.txt``, pixels that are of no class."""

_MAX_XML_BYTES = 1 << 30
_DEEPEST = 64
SPLITS = dict(train='train', val='val', valid='val', validation='val', test='test')
"""Words for parts of the data, and what they are called here."""

_DRIVE = re.compile('[A-Za-z]:')
_STUDIO_NUMBER = re.compile('^[0-9a-f]{8}-')  # before the names of images that were uploaded to Label Studio
_ORIENTATION = 0x0112  # of EXIF; 5 to 8 lie on their side


@dataclass
class Source:
    """What is to be read.

    Attributes:
        path (Path): File or folder of the annotations.
        images (Path, optional): Folder of the images; None is where the format keeps them.
        names (Sequence[str]): Class names in order, for formats that have numbers only.
        of (Path, optional): The COCO file that results are of.
        problems (Problems): Takes what is wrong.
        listings (dict): Images of folders by the last part of their paths in lower case, once they were asked for.
    """

    path: Path
    images: Path | None = None
    names: Sequence[str] = ()
    of: Path | None = None
    problems: Problems = field(default_factory=Problems)
    listings: dict[tuple[Path, bool], dict[str, list[str]]] = field(default_factory=dict, repr=False)

    def files(self, suffix: str) -> list[Path]:
        """The files of annotations: the path itself, or those in the folder and in the folders of it.

        Raises:
            FileNotFoundError: There are none.
        """
        if self.path.is_file():
            return [self.path]
        if not self.path.is_dir():
            raise FileNotFoundError(f'{shorten(str(self.path))}: does not exist')
        found = [self.path / name for name in list_files(self.path, (suffix,))]
        if not found:
            raise FileNotFoundError(f'{shorten(str(self.path))}: has no files {suffix}')
        return found

    def image_folders(self, path: Path) -> list[Path]:
        """Where the images of one file of annotations may be, the usual places first."""
        if self.images is not None:
            return [self.images]
        whole = self.path if self.path.is_dir() else self.path.parent
        return [*dict.fromkeys([*usual_folders(path, whole), path.parent])]

    def image(self, name: str, folders: Sequence[Path], where: str) -> tuple[str, str]:
        """An image that annotations name: its path below the folder of images, and where it is (empty: nowhere).

        Files often name images as they lay on another machine, in folders that are not here, with Label Studio's
        number before the name, or with an ending in another case. So where there is no such file, the one image counts
        that has the same name, and whose folders do not contradict those that are told. It never lies elsewhere.

        Args:
            name (str): As the file says it.
            folders (Sequence[Path]): Folders of images.
            where (str): File and entry, for errors.

        Raises:
            ValueError: The name is none, or leaves the folders and none of their images has it.
        """
        text = _path_text(name, where)
        if not _leaves(text):
            file = str(PurePosixPath(text))
            if found := first_file(folder / file for folder in folders):
                return file, found
        # The folder of the annotations themselves may be anything, such as a home, so that folders in it do not count.
        top = () if self.images is not None or not self.path.is_dir() or self.path not in folders else (self.path,)
        for folder in (*folders, *top):
            deep = folder in top or folder not in (self.path, self.path.parent)
            if found_name := self._alike(text, folder, deep):
                return found_name, str(folder / found_name)
        if _leaves(text):
            raise ValueError(
                f'{where}: {shown(name)} leaves the folder of the images, and none in it has that name; '
                'say where they are (--images DIR)'
            )
        return str(PurePosixPath(text)), ''

    def _alike(self, text: str, folder: Path, deep: bool) -> str:
        """The image of a folder that a path means; empty if there is none, or more than one."""
        if (known := self.listings.get((folder, deep))) is None:
            known = self.listings[folder, deep] = {}
            for file in list_images(folder, deep) if folder.is_dir() else ():
                known.setdefault(_plain(PurePosixPath(file).name), []).append(file)
        told = [_plain(part) for part in PurePosixPath(text).parts]
        for last in dict.fromkeys((told[-1], _STUDIO_NUMBER.sub('', told[-1]))):
            found: dict[int, list[str]] = {}
            for file in known.get(last, ()):
                parts = [_plain(part) for part in PurePosixPath(file).parts]
                common = min(len(parts), len(told))
                if parts[-common:-1] == told[-common:-1]:
                    found.setdefault(common, []).append(file)
            best = found[max(found)] if found else []
            if len(best) == 1:
                return best[0]
        return ''


def usual_folders(ann_file: Path, whole: Path | None = None) -> list[Path]:
    """Folders in which the images of a file of annotations usually are, and which there are.

    Args:
        ann_file (Path): Such as ``annotations/instances_val2017.json``, with ``val2017/`` beside ``annotations/``, or
            ``panoptic_val.json`` with ``images/val/``.
        whole (Path, optional): Folder of the whole data set.
    """
    beside, above, part = ann_file.parent, ann_file.parent.parent, _part(ann_file)
    folders = (beside / 'images' / part, beside / 'images', *([] if whole is None else [whole / 'images']))
    folders = (*folders, beside / part, above / 'images' / part, above / 'images', above / part)
    return [folder for folder in dict.fromkeys(folders) if folder.is_dir()]


def splits_of(files: Sequence[Path], whole: Path) -> list[str]:
    """The part of the data that each file of annotations has: named in its name or its folders, else its own name.

    A file alone tells no part. ``valid`` and ``validation`` are ``val``, as in other programs' exports.

    Args:
        files (Sequence[Path]): Such as ``valid/_annotations.coco.json`` or ``instances_train2017.json``.
        whole (Path): Folder of the whole data set, whose own name does not count.
    """
    if len(files) < 2:
        return [''] * len(files)
    found = [_told_split([re.sub(r'\d{4}$', '', _part(file)), *file.relative_to(whole).parts[:-1]]) for file in files]
    return found if all(found) and len({*found}) == len(files) else [file.stem for file in files]


def _told_split(words: Iterable[str]) -> str:
    return next((SPLITS[word.lower()] for word in words if word.lower() in SPLITS), '')


def split_of_folders(folder: PurePath) -> tuple[str, str]:
    """The split that a folder below the whole is in, and the rest of its path: ``valid/a`` is ``a`` of ``val``."""
    split = _told_split(folder.parts[:1])
    return split, str(PurePosixPath(*folder.parts[1:] if split else folder.parts))


def panoptic_file(ann_file: Path, name: str, where: str) -> str:
    """Where a PNG that ``panoptic_val.json`` names is: in ``panoptic_val/`` beside the file or beside its folder, in
    ``panoptic/val/``, or with the file itself.

    Raises:
        FileNotFoundError: In none of them.
        ValueError: The name leaves the folder.
    """
    file = inner_path(name, where)
    beside = ann_file.parent
    own = ann_file.with_suffix('')
    folders = (own, beside / 'panoptic' / _part(ann_file), beside.parent / own.name, beside)
    found = first_file(folder / file for folder in folders)
    if not found:
        others = ', '.join(f'{os.path.relpath(folder, beside)}/' for folder in folders[:-1])
        raise FileNotFoundError(f'{where}: {shorten(file)} is neither beside the file nor in any of {shorten(others)}')
    return found


def _part(ann_file: Path) -> str:
    return re.sub('^(instances|panoptic|keypoints|person_keypoints|referring)_', '', ann_file.stem)


def first_file(places: Iterable[Path]) -> str:
    """The first of some paths that is a file, see :func:`~xdet.io.reading.as_on_disk`; empty if none is."""
    return next(filter(os.path.isfile, (as_on_disk(str(place)) for place in places)), '')


def names_of_stem(stem: str) -> Iterator[str]:
    """What the image may be called whose annotations have this stem."""
    for suffix in IMAGE_SUFFIXES:
        yield from (f'{stem}{suffix}', f'{stem}{suffix.upper()}')


def inner_path(name: str, where: str) -> str:
    """The path of a file below a folder, with ``/``.

    Raises:
        ValueError: It is empty, absolute, or leaves the folder.
    """
    text = _path_text(name, where)
    if _leaves(text):
        raise ValueError(
            f'{where}: {shown(name)} leaves the folder of the images; accepted are paths below it, and --images DIR '
            'says which it is'
        )
    return str(PurePosixPath(text))


def trailing_paths(name: str, where: str) -> Iterator[str]:
    """What a path of another machine may be below a folder of this one: its end, the longest first.

    Raises:
        ValueError: It is no path.
    """
    parts = [part for part in PurePosixPath(_path_text(name, where)).parts if part != '/' and not _DRIVE.match(part)]
    first = max((place for place, part in enumerate(parts) if part == '..'), default=-1) + 1
    yield from ('/'.join(parts[start:]) for start in range(first, len(parts)))


def _path_text(name: str, where: str) -> str:
    """With ``/``.

    Raises:
        ValueError: It is no path.
    """
    text = name.replace('\\', '/')
    if not text.strip() or not PurePosixPath(text).name or not text.isprintable() or len(text) > 4096:
        raise ValueError(f'{where}: {shown(name)} is no path of a file')
    return text


def _leaves(text: str) -> bool:
    path = PurePosixPath(text)
    return path.is_absolute() or '..' in path.parts or bool(_DRIVE.match(text))


def _plain(text: str) -> str:
    """Without case, in one form of Unicode."""
    return unicodedata.normalize('NFC', text).casefold()


def list_files(folder: Path, suffixes: Sequence[str], deep: bool = True) -> list[str]:
    """Paths of the files with one of some suffixes in a folder, and ``deep`` in it, with ``/``, sorted.

    Upper and lower case are the same; files that systems add are left out.
    """
    there = folder.rglob('*') if deep else folder.iterdir()
    found = (path for path in there if path.suffix.lower() in suffixes and path.is_file())
    inner = [path.relative_to(folder) for path in found]
    tell_of_hidden(folder, (path.name for path in inner if not any(map(is_clutter, path.parts[:-1]))))
    return sorted(path.as_posix() for path in inner if not any(map(is_clutter, path.parts)))


def list_images(folder: Path, deep: bool = True) -> list[str]:
    """:func:`list_files` of images."""
    return list_files(folder, IMAGE_SUFFIXES, deep)


def image_size_of(path: str | Path) -> tuple[int, int]:
    """Height and width of an image file, upright; its pixels are not decoded.

    Raises:
        ImageReadError: It is no image.
    """
    return size_of_bytes(read_bytes(path, MAX_IMAGE_BYTES), shorten(str(path)))


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
