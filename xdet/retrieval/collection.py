"""What lies in a folder of images or of texts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from xdet.datasets.files.image_io import IMAGE_SUFFIXES
from xdet.inference.inputs.images import files_below
from xdet.io.reading import expand, read_text, shorten

from .store import Item

_NO_LINES = ('.json', '.jsonl', '.csv', '.tsv', '.yaml', '.yml', '.xml', '.html')


def list_images(folder: str | Path) -> dict[str, Item]:
    """Image files below a folder, by relative path in order, with size and time of change; hidden ones left out.

    Raises:
        ValueError: The folder is missing or has no images.
    """
    files = _list_files(folder, IMAGE_SUFFIXES)
    if not files:
        raise ValueError(f"folder '{folder}' has no images ({', '.join(IMAGE_SUFFIXES)})")
    items = {}
    for path, file in files.items():
        state = file.stat()
        items[path] = dict(size=state.st_size, mtime_ns=state.st_mtime_ns)
    return items


def list_texts(source: str | Path) -> tuple[Path, dict[str, Item]]:
    """Distinct texts of a text file or of a folder's ``.txt`` files, in order.

    Returns:
        tuple[Path, dict[str, dict]]: ``source``; and by text the first place it stands in: ``path`` relative to
        ``source`` (``'.'`` when that is the file) and ``line`` from 1.

    Raises:
        ValueError: There are none, or a file cannot be read as UTF-8.
    """
    if source == '':  # would be the working directory
        raise ValueError("the source of the texts is ''; accepted are files and folders")
    path = expand(source)
    files = {'.': path} if os.path.isfile(path) else _list_files(path, ('.txt',))
    if path.suffix.lower() in _NO_LINES and '.' in files:
        raise ValueError(
            f"'{source}' has other things in its lines than texts; give a text file with one text per line"
        )
    items: dict[str, Item] = {}
    for name, file in files.items():
        try:
            lines = read_text(file).splitlines()
        except (OSError, ValueError) as error:
            raise ValueError(f"text file '{file}' cannot be read as UTF-8 ({error})") from error
        for number, line in enumerate(lines, start=1):
            if line.strip():
                items.setdefault(' '.join(line.split()), dict(path=name, line=number))
    if not items:
        raise ValueError(f"'{source}' has no texts; give a text file with one text per line, or a folder of .txt files")
    return path, items


def _list_files(folder: str | Path, suffixes: Sequence[str]) -> dict[str, Path]:
    if folder == '':  # would be the working directory
        raise ValueError("the folder of the collection is ''; accepted are names of folders")
    root = expand(folder)
    if not os.path.isdir(root):  # False, too, for names longer than one can be
        raise ValueError(f"folder '{shorten(str(folder))}' does not exist or is not a folder")
    relative = {file.relative_to(root).as_posix(): file for file in files_below(root, suffixes)}
    return {path: relative[path] for path in sorted(relative) if not any(map(_is_hidden, path.split('/')))}


def _is_hidden(name: str) -> bool:
    return name.startswith('.')
