"""Tables as Markdown and CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

from xdet.io.writing import write_files

Cell = str | int | float | None
"""None and NaN are written as an empty cell."""


def markdown(header: Sequence[str], rows: Sequence[Sequence[Cell]], digits: int = 1) -> str:
    """A Markdown table with aligned columns.

    Args:
        header (Sequence[str]): Names of the columns.
        rows (Sequence[Sequence]): One cell per column.
        digits (int): Digits after the point of floats.
    """
    texts = [list(header), *([_text(cell, digits).replace('|', '/') for cell in row] for row in rows)]
    widths = [max(3, *(len(row[column]) for row in texts)) for column in range(len(header))]
    right = [any(isinstance(row[column], (int, float)) for row in rows) for column in range(len(header))]
    columns = list(zip(widths, right, strict=True))
    rule = ['-' * (width - 1) + ':' if to_right else '-' * width for width, to_right in columns]
    lines = [
        ' | '.join(
            text.rjust(width) if to_right else text.ljust(width)
            for text, (width, to_right) in zip(row, columns, strict=True)
        )
        for row in (texts[0], rule, *texts[1:])
    ]
    return '\n'.join(f'| {line} |' for line in lines)


def write_table(path: Path, header: Sequence[str], rows: Sequence[Sequence[Cell]], digits: int = 1) -> None:
    """Write ``<path>.md`` and, with all digits, ``<path>.csv``."""
    buffer = io.StringIO(newline='')
    writer = csv.writer(buffer)
    writer.writerow(header)
    writer.writerows(['' if _is_empty(cell) else cell for cell in row] for row in rows)
    table = f'{markdown(header, rows, digits)}\n'
    write_files({path.with_suffix('.md'): table.encode(), path.with_suffix('.csv'): buffer.getvalue().encode()})


def _text(cell: Cell, digits: int) -> str:
    if _is_empty(cell):
        return ''
    return f'{cell:.{digits}f}' if isinstance(cell, float) else str(cell)


def _is_empty(cell: Cell) -> bool:
    return cell is None or (isinstance(cell, float) and math.isnan(cell))
