"""The files of a result, as writers yield them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Content = bytes | Path
"""What a file holds: bytes, or an image to copy."""


def json_bytes(content: Any) -> bytes:
    """JSON in UTF-8."""
    return json.dumps(content, ensure_ascii=False, allow_nan=False).encode('utf-8', errors='replace')


def unique_file(file: str, taken: set[str]) -> str:
    """A path that is not taken yet, also where upper and lower case are the same; it is taken then."""
    path = Path(file)
    number = 1
    while file.lower() in taken:
        number += 1
        file = path.with_stem(f'{path.stem}_{number}').as_posix()
    taken.add(file.lower())
    return file
