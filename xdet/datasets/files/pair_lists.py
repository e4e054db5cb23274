"""Reads lists of images and captions in the forms they come in."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from xdet.io.errors import cause
from xdet.io.reading import listed, parse_json, read_bytes, read_text, shorten
from xdet.io.schema import ID, require, shown
from xdet.lazy import import_optional

from .coco_json import file_name, index_images, load_json
from .left_out import LeftOut

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
            ``.csv`` and ``.tsv`` with a header, whose cells are separated by commas, semicolons or tabs, or
            ``.parquet``.
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
    pairs, left_out = _collect(path, rows, image_column, caption_column)
    if rows and not pairs:
        raise ValueError(f'{left_out}; nothing is left (columns {image_column}, {caption_column})')
    left_out.report(len(rows))
    return pairs, left_out.total


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
    if splits is None:
        return rows
    chosen = [row for row in rows if row.get('split') in splits]
    if not chosen:
        found = dict.fromkeys(str(row.get('split')) for row in rows)
        raise ValueError(f'{path}: no rows of split {", ".join(splits)}; its splits are {listed(found)}')
    return chosen


def _collect(path: str, rows: Iterable[dict], image_column: str, caption_column: str) -> tuple[list[Pair], LeftOut]:
    captions: dict[str, list[str]] = {}
    ids: dict[str, int | str] = {}
    image_of_id: dict[int | str, str] = {}
    left_out = LeftOut(path, 'row(s)')
    for number, row in enumerate(rows, start=1):
        where = f'{path}, row {number}'
        image = _image_of(row, image_column, where)
        texts = _texts_of(row, caption_column, where)
        if not image or not texts:
            left_out.add(f'without {"image" if not image else "caption"}', f'row {number}')
            continue
        img_id = require(row, 'img_id', ID, where, image)
        if image_of_id.setdefault(img_id, image) != image:
            raise ValueError(
                f'{where}: the image id {shown(img_id)} appears more than once, for {shown(image_of_id[img_id])} and '
                f'{shown(image)}'
            )
        captions.setdefault(image, []).extend(texts)
        ids.setdefault(image, img_id)
    return [Pair(image, tuple(texts), ids[image]) for image, texts in captions.items()], left_out


def _image_of(row: dict, column: str, where: str) -> str | None:
    image = row.get(column)
    if image is None or isinstance(image, str):
        return image if image and image.strip() else None
    advice = '; images inside of a list are not read: write them to files and list their paths'
    advice = advice if isinstance(image, (bytes, dict, list)) else ''
    raise ValueError(f"{where}: column '{column}' holds {shown(image)}, not the path of an image{advice}")


def _texts_of(row: dict, column: str, where: str) -> list[str]:
    given = row.get(column)
    texts = list(given) if isinstance(given, (list, tuple)) else [given]
    wrong = [text for text in texts if text is not None and not isinstance(text, str)]
    if wrong:
        raise ValueError(f"{where}: column '{column}' holds {shown(wrong[0])}, not a text")
    return [cleaned for text in texts if text and (cleaned := ' '.join(text.split()))]


def find_column(path: str, rows: Sequence[dict], what: str, asked: str | None, usual: Sequence[str]) -> str:
    """Name of the column of ``what``: the one ``asked`` for, or the first of the ``usual`` ones that there is.

    Usual names are also recognised in another case, if only one column has them.

    Raises:
        ValueError: There is none, or there are no rows.
    """
    if not rows:
        raise ValueError(f'{path}: the list has no rows')
    columns = list(dict.fromkeys(key for row in rows[:100] for key in row))
    wanted = usual if asked is None else (asked,)
    found = next((name for name in wanted if name in columns), None)
    if found is None and asked is None:
        alike = [[column for column in columns if str(column).casefold() == name] for name in usual]
        found = next((names[0] for names in alike if len(names) == 1), None)
    if found is None:
        raise ValueError(
            f'{path}: no column {" or ".join(wanted)} for the {what}; it has {listed(columns) or "none"}. '
            f'Say which one it is: {what}_column=...'
        )
    return found


def _read_json(path: str) -> list[dict]:
    content = _named_as_list(load_json, path)
    if isinstance(content, dict) and isinstance(content.get('images'), list):
        images = content['images']
        if images and isinstance(images[0], dict) and 'sentences' in images[0]:
            return [_karpathy_row(image, f'{path}: image {number}') for number, image in enumerate(images)]
        if isinstance(content.get('annotations'), list):
            return _coco_rows(path, content)
    if isinstance(content, list) and all(isinstance(row, dict) for row in content):
        return content
    raise ValueError(f'{path}: neither a COCO captions file nor a list of records')


def _coco_rows(path: str, content: dict) -> list[dict]:
    names = {number: file_name(path, image) for number, image in index_images(path, content, sizes=False).items()}
    rows = []
    for position, annotation in enumerate(content['annotations']):
        number = require(annotation, 'image_id', ID, f'{path}: annotation {position} (counted from 0)')
        if number not in names:
            raise ValueError(
                f'{path}: an annotation is of image {shown(number)}, which the file does not list as image'
            )
        rows.append(dict(image=names[number], caption=annotation.get('caption'), img_id=number))
    left_out = LeftOut(path, 'images')
    for number in names.keys() - {row['img_id'] for row in rows}:
        left_out.add('have no caption', f'image {number}')
    left_out.report(len(names))
    return rows


def _karpathy_row(image: dict, where: str) -> dict:
    folder, name = require(image, 'filepath', str, where, ''), require(image, 'filename', str, where)
    sentences = require(image, 'sentences', list, where)
    return dict(
        image=f'{folder}/{name}' if folder else name,
        captions=[require(sentence, 'raw', str, f'{where}: a sentence') for sentence in sentences],
        img_id=image.get('cocoid', image.get('imgid')),
        split=image.get('split'),
    )


def _read_jsonl(path: str) -> list[dict]:
    rows = []
    # splitlines would also break rows at separators that captions may have, such as U+2028.
    for number, line in enumerate(_named_as_list(read_text, path).split('\n'), start=1):
        if not line.strip():
            continue
        row = parse_json(line, f'{path}, line {number}')
        if not isinstance(row, dict):
            raise ValueError(f'{path}, line {number}: not an object with keys')
        rows.append(row)
    return rows


def _read_table(usual: str) -> Callable[[str], list[dict]]:
    def read(path: str) -> list[dict]:
        content = _named_as_list(read_text, path)
        delimiter = _delimiter(content.split('\n', 1)[0], usual)
        # In TSV files of captions quotation marks are text, unless the header shows that all cells stand in them.
        plain = delimiter == '\t' and '"' not in content.split('\n', 1)[0]
        quoting = csv.QUOTE_NONE if plain else csv.QUOTE_MINIMAL
        text = io.StringIO(content, newline='')
        # Strict: else a quotation mark that is not closed makes one caption of all rows after it.
        reader = csv.reader(text, delimiter=delimiter, quoting=quoting, strict=True)
        rows: list[dict] = []
        header: list[str] | None = None
        line = 1
        try:
            for cells in reader:
                if header is None:
                    # A line that names the delimiter comes before the header.
                    header = None if line == 1 and _SEP_LINE.match(content) else _checked_header(path, cells)
                elif any(cell.strip() for cell in cells):
                    if plain:
                        cells = _plain_cells(header, cells, f'{path}, line {line}')
                    rows.append(_row(header, cells, f'{path}, line {line}'))
                line = reader.line_num + 1
        except csv.Error as error:
            raise ValueError(
                f'{path}, line {line}: not a table ({error}); texts with commas, quotation marks or line ends stand in '
                'quotation marks, and those inside of them are doubled'
            ) from None
        return rows

    return read


def _delimiter(header: str, usual: str) -> str:
    """What separates the cells of a table: what spreadsheets name in a line ``sep=;``, or what its header has.

    Spreadsheets write semicolons or tabs where a comma stands in decimal numbers. A header that has the ``usual`` one,
    or several others, is read with the usual one.
    """
    if named := _SEP_LINE.match(header):
        return named[1]
    others = [mark for mark in _DELIMITERS if mark != usual and mark in header]
    return others[0] if len(others) == 1 and usual not in header else usual


_DELIMITERS = ',;\t'
_SEP_LINE = re.compile(r'"?sep=([,;\t])"?\r?(?:\n|$)', re.IGNORECASE)


def _plain_cells(header: list[str], cells: list[str], where: str) -> list[str]:
    """Cells of a table without quoting; those that spreadsheets wrote with doubled quotation marks are restored."""
    if len(cells) < len(header) and cells[-1].rstrip().endswith('"') and cells[-1].count('"') % 2:
        raise ValueError(f'{where}: ends a text in quotation marks; where tabs separate, texts have no line ends')
    return [cell[1:-1].replace('""', '"') if _DOUBLED.fullmatch(cell) else cell for cell in cells]


_DOUBLED = re.compile(r'"[^"]*""(?:[^"]|"")*"')


def _checked_header(path: str, cells: list[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    repeated = sorted({name for name in names if name and names.count(name) > 1})
    if repeated:
        raise ValueError(f'{path}, line 1: the column(s) {listed(repeated)} appear more than once')
    return names


def _row(header: list[str], cells: list[str], where: str) -> dict:
    if any(cells[len(header) :]):
        raise ValueError(
            f'{where}: has {len(cells)} cells, but there are {len(header)} columns; a text with a comma must stand in '
            'quotation marks'
        )
    return dict(zip(header, [*cells, *[None] * len(header)], strict=False))


def _read_parquet(path: str) -> list[dict]:
    parquet = import_optional('pyarrow.parquet', f'{path}: reading Parquet', 'data')
    data = _named_as_list(read_bytes, path)
    try:
        return parquet.read_table(io.BytesIO(data)).to_pylist()
    except Exception as error:  # a damaged file shows by exceptions of many types, some of them Python's own
        raise ValueError(f'{path}: not a Parquet file ({shorten(cause(error))})') from None


def _named_as_list(read: Callable[[str], Any], path: str) -> Any:
    try:
        return read(path)
    except (FileNotFoundError, IsADirectoryError):
        raise FileNotFoundError(f'{path}: list does not exist') from None


_READERS: dict[str, Callable[[str], list[dict[str, Any]]]] = dict(
    json=_read_json, jsonl=_read_jsonl, csv=_read_table(','), tsv=_read_table('\t'), parquet=_read_parquet
)
