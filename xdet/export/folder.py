"""The folder of an exported model: written whole or not at all, with the weights of all graphs in one file."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from xdet.io.reading import expand, file_sha256
from xdet.io.writing import replacing_path, write_text

WEIGHTS = 'weights.bin'
_SHARED_FROM = 1024  # bytes


@contextmanager
def new_folder(target: str | os.PathLike) -> Iterator[Path]:
    """A folder that takes its place at the end of the body, unless that raises; then there is none.

    Raises:
        ValueError: Something is there, or it cannot be written.
    """
    place = expand(target)
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise ValueError(f"'{place}' exists; give a new or an empty folder")
    try:
        with replacing_path(place) as unfinished:
            unfinished.mkdir()
            yield unfinished
    except OSError as error:
        raise ValueError(f"'{place}' cannot be written: {error.strerror or error}") from error


def write_facts(path: Path, content: Mapping[str, Any]) -> None:
    """Write the manifest or the certificate."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + '\n')


def write_graphs(folder: Path, protos: Iterator[tuple[str, Any]]) -> dict[str, dict[str, Any]]:
    """Write graphs, and their large constants, each once, into :data:`WEIGHTS`.

    Args:
        folder (Path): Where to.
        protos (Iterator): Names of files with their ONNX ``ModelProto``, which is changed; one is in memory at a time.

    Returns:
        dict[str, dict]: By file, that of the weights last: ``file``, ``bytes`` and ``sha256``.
    """
    places: dict[bytes, int] = {}
    names = []
    with open(folder / WEIGHTS, 'wb') as weights:
        for name, proto in protos:
            _share_weights(proto, weights, places)
            (folder / name).write_bytes(proto.SerializeToString())
            names.append(name)
    return {
        name: dict(file=name, bytes=(folder / name).stat().st_size, sha256=file_sha256(folder / name))
        for name in (*names, WEIGHTS)
    }


def _share_weights(proto: Any, weights: Any, places: dict[bytes, int]) -> None:
    """Move large constants into the common file, whose places are known by the hashes of what lies there."""
    from onnx.external_data_helper import set_external_data

    for tensor in proto.graph.initializer:
        if len(tensor.raw_data) < _SHARED_FROM:
            continue
        key = hashlib.sha256(tensor.raw_data).digest()
        if key not in places:
            weights.write(b'\0' * (-weights.tell() % 64))
            places[key] = weights.tell()
            weights.write(tensor.raw_data)
        set_external_data(tensor, WEIGHTS, places[key], len(tensor.raw_data))
        tensor.ClearField('raw_data')
