"""Reads lists of images and captions in the forms they come in."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from mmengine import fileio

from .coco_json import load_json

IMAGE_COLUMNS = ('image', 'image_path', 'img_path', 'file_name', 'filename', 'filepath', 'path')
"""Names a column of image paths is recognised by."""

CAPTION_COLUMNS = ('caption', 'captions', 'text', 'title')
"""Names a column of captions is recognised by."""


class Pair(NamedTuple):
    """An image and what is said about it.

    Attributes:
        image (str): Path as the list has it.
        captions (tuple[str, ...]): At least one, without white space around them.
        img_id (int | str): Id in COCO's files, else the path.
    """

    image: str
    captions: tuple[str, ...]
    img_id: int | str


def read_pairs(
    path: str,
    image_column: str | None = None,
    caption_column: str | None = None,
    splits: Sequence[str] | None = None,
) -> tuple[list[Pair], int]:
    """Read a list of image-caption pairs; several captions of one image are collected.

    Args:
        path (str): ``.json`` (COCO captions; Karpathy's ``dataset_coco.json``; a list of records), ``.jsonl``,
            ``.csv`` and ``.tsv`` with a header, or ``.parquet``.
        image_column (str, optional): Key of the image path; default: the first of :data:`IMAGE_COLUMNS` there is.
        caption_column (str, optional): Key of the caption (a string or a list of strings); default likewise.
        splits (Sequence[str], optional): Keep rows whose ``split`` is one of these.

    Returns:
        tuple[list[Pair], int]: Images in the order of their first appearance, and how many rows were left out because
        image or caption are empty.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It cannot be read, or has not the columns.
        ImportError: Parquet needs pyarrow.
    """
    rows = read_rows(path)
    image_column = find_column(path, rows, 'image', image_column, IMAGE_COLUMNS)
    caption_column = find_column(path, rows, 'caption', caption_column, CAPTION_COLUMNS)
    rows = rows_of_splits(path, rows, splits)
    return _collect(rows, image_column, caption_column)


def read_rows(path: str) -> list[dict[str, Any]]:
    """Rows of a list as JSON, JSONL, CSV, TSV or Parquet; see :func:`read_pairs`.

    Raises:
        FileNotFoundError, ValueError, ImportError: As :func:`read_pairs`.
    """
    suffix = path.lower().rsplit('.', 1)[-1]
    if suffix not in _READERS:
        raise ValueError(f'{path}: unknown kind of list; accepted are {", ".join(f".{name}" for name in _READERS)}')
    return _READERS[suffix](path)


def rows_of_splits(path: str, rows: list[dict], splits: Sequence[str] | None) -> list[dict]:
    """Rows whose ``split`` is one of ``splits``; all for None.

    Raises:
        ValueError: There are none.
    """
    if splits is not None:
        found = dict.fromkeys(row.get('split') for row in rows)
        rows = [row for row in rows if row.get('split') in splits]
        if not rows:
            raise ValueError(
                f'{path}: no rows of split {", ".join(splits)}; its splits are {", ".join(map(str, found))}'
            )
    return rows


def _collect(rows: Iterable[dict], image_column: str, caption_column: str) -> tuple[list[Pair], int]:
    captions: dict[str, list[str]] = {}
    ids: dict[str, int | str] = {}
    dropped = 0
    for row in rows:
        image, given = row.get(image_column), row.get(caption_column)
        texts = [given] if isinstance(given, str) else given if isinstance(given, (list, tuple)) else []
        texts = [cleaned for text in texts if isinstance(text, str) and (cleaned := ' '.join(text.split()))]
        if not isinstance(image, str) or not image or not texts:
            dropped += 1
            continue
        captions.setdefault(image, []).extend(texts)
        ids.setdefault(image, row.get('img_id', image))
    return [Pair(image, tuple(texts), ids[image]) for image, texts in captions.items()], dropped


def find_column(path: str, rows: Sequence[dict], what: str, asked: str | None, usual: Sequence[str]) -> str:
    """Name of the column of ``what``: the one ``asked`` for, or the first of the ``usual`` ones that there is.

    Raises:
        ValueError: There is none.
    """
    columns = dict.fromkeys(key for row in rows[:100] for key in row)
    wanted = usual if asked is None else (asked,)
    found = next((name for name in wanted if name in columns), None)
    if found is None:
        raise ValueError(
            f'{path}: no column {" or ".join(wanted)} for the {what}; it has {", ".join(map(str, columns)) or "none"}. '
            f'Say which one it is: {what}_column=...'
        )
    return found


def _read_json(path: str) -> list[dict]:
    content = load_json(path)
    if isinstance(content, dict) and isinstance(content.get('images'), list):
        if content['images'] and 'sentences' in content['images'][0]:
            return [_karpathy_row(image) for image in content['images']]
        if isinstance(content.get('annotations'), list):
            return _coco_rows(path, content)
    if isinstance(content, list) and all(isinstance(row, dict) for row in content):
        return content
    raise ValueError(f'{path}: neither a COCO captions file nor a list of records')


def _coco_rows(path: str, content: dict) -> list[dict]:
    names = {image['id']: image['file_name'] for image in content['images']}
    stray = next((row for row in content['annotations'] if row.get('image_id') not in names), None)
    if stray is not None:
        raise ValueError(
            f'{path}: an annotation is of image {stray.get("image_id")}, which the file does not list as image'
        )
    return [
        dict(image=names[row['image_id']], caption=row.get('caption'), img_id=row['image_id'])
        for row in content['annotations']
    ]


def _karpathy_row(image: dict) -> dict:
    folder = image.get('filepath')
    return dict(
        image=f'{folder}/{image["filename"]}' if folder else image['filename'],
        captions=[sentence['raw'] for sentence in image['sentences']],
        img_id=image.get('cocoid', image.get('imgid')),
        split=image.get('split'),
    )


def _read_jsonl(path: str) -> list[dict]:
    rows = []
    # splitlines would also break rows at separators that captions may have, such as U+2028.
    for number, line in enumerate(_text(path).split('\n'), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f'{path}, line {number}: not valid JSON ({error})') from None
        if not isinstance(row, dict):
            raise ValueError(f'{path}, line {number}: not an object with keys')
        rows.append(row)
    return rows


def _read_table(delimiter: str) -> Callable[[str], list[dict]]:
    # In TSV files of captions quotation marks are text.
    quoting = csv.QUOTE_NONE if delimiter == '\t' else csv.QUOTE_MINIMAL

    def read(path: str) -> list[dict]:
        try:
            return list(csv.DictReader(io.StringIO(_text(path), newline=''), delimiter=delimiter, quoting=quoting))
        except csv.Error as error:
            raise ValueError(f'{path}: not a table ({error})') from None

    return read


def _read_parquet(path: str) -> list[dict]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(f"{path}: reading Parquet needs pyarrow: pip install 'pyarrow>=16'") from error
    data = _bytes(path)
    try:
        return pyarrow.parquet.read_table(pyarrow.BufferReader(data)).to_pylist()
    except pyarrow.ArrowInvalid as error:
        raise ValueError(f'{path}: not a Parquet file ({error})') from None


def _bytes(path: str) -> bytes:
    try:
        return fileio.get(path)
    except (FileNotFoundError, IsADirectoryError):
        raise FileNotFoundError(f'{path}: list does not exist') from None


def _text(path: str) -> str:
    try:
        return _bytes(path).decode('utf-8-sig')
    except UnicodeDecodeError as error:
        raise ValueError(f'{path}: not UTF-8 text ({error})') from None


_READERS: dict[str, Callable[[str], list[dict[str, Any]]]] = dict(
    json=_read_json, jsonl=_read_jsonl, csv=_read_table(','), tsv=_read_table('\t'), parquet=_read_parquet
)
