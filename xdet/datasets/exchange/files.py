"""The files of a result, as writers yield them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xdet.datasets.files.image_io import is_clutter

Content = bytes | Path
"""What a file holds: bytes, or an image to copy, see :func:`.entries.image_data`."""


def json_bytes(content: Any) -> bytes:
    """JSON in UTF-8."""
    try:
        return json.dumps(content, ensure_ascii=False, allow_nan=False).encode('utf-8', errors='replace')
    except ValueError:
        wrong = next(_not_finite(content, ''), '')
        raise ValueError(f'{wrong}, which JSON cannot hold; remove it from the annotations, or make it null') from None


def _not_finite(value: Any, place: str) -> Iterator[str]:
    """Where numbers are that are none, such as ``images[3].gps is nan``."""
    if isinstance(value, float) and not math.isfinite(value):
        yield f'{place} is {value}'
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _not_finite(one, f'{place}.{key}' if place else str(key))
    elif isinstance(value, (list, tuple)):
        for number, one in enumerate(value):
            yield from _not_finite(one, f'{place}[{number}]')


def visible(file: str) -> str:
    """A path with an underscore before the parts that readers of folders pass over."""
    return '/'.join(f'_{part}' if is_clutter(part) and part.strip('.') else part for part in file.split('/'))


def unique_file(file: str, taken: set[str]) -> str:
    """A path that is not taken yet, also where upper and lower case are the same; it is taken then."""
    path = Path(file)
    number = 1
    while file.lower() in taken:
        number += 1
        file = path.with_stem(f'{path.stem}_{number}').as_posix()
    taken.add(file.lower())
    return file
