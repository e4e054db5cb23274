"""Where annotations and their images are: files that others wrote are looked up here."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath

from xdet.datasets.files.image_io import IMAGE_SUFFIXES, is_clutter, tell_of_hidden
from xdet.io.reading import as_on_disk, shorten
from xdet.io.schema import shown

from .problems import Problems

SPLITS = dict(train='train', val='val', valid='val', validation='val', test='test')
"""Words for parts of the data, and what they are called here."""

_DRIVE = re.compile('[A-Za-z]:')
_STUDIO_NUMBER = re.compile('^[0-9a-f]{8}-')  # before the names of images that were uploaded to Label Studio


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
