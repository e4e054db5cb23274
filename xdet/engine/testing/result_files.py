"""Results of single samples on disk, which survive whatever ends the process that writes them."""

from __future__ import annotations

import io
import os
import struct
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from mmengine.logging import print_log

from xdet.compat.checkpoint import load_plain
from xdet.io.writing import make_folder

_HEADER = struct.Struct('<QIQ')  # length and checksum of what follows, and the number of indices it begins with
_SUFFIX = '.results'


class ResultWriter:
    """Appends records to a file of its own, so that any number of processes and runs can share a folder.

    A record is complete in the hands of the operating system when :meth:`write` returns: killing the process loses
    none. Whatever is cut off (a full disk, a power failure) is recognised by its length and checksum when read.

    Args:
        folder (Path): Where to write; made if it does not exist.
        rank (int): Part of the file's name.
        types (Sequence[type]): Classes of results, beside plain data, arrays and tensors.
    """

    def __init__(self, folder: Path, rank: int, types: Sequence[type] = ()) -> None:
        make_folder(folder)
        self._types = types
        self._checked = False
        self._file = open(folder / f'rank-{rank}-{time.time_ns()}-{os.getpid()}{_SUFFIX}', 'xb')  # noqa: SIM115

    def write(self, indices: Sequence[int], results: Sequence[list[Any]]) -> None:
        """Append the results of one batch.

        Args:
            indices (Sequence[int]): Positions of the samples in the dataset.
            results (Sequence[list]): For every metric one result per sample.

        Raises:
            ValueError: Results of this kind could not be read again.
        """
        buffer = io.BytesIO()
        torch.save(list(results), buffer)
        if not self._checked:
            try:
                load_plain(io.BytesIO(buffer.getvalue()), self._types)
            except ValueError as error:
                raise ValueError(
                    f'the results of a metric cannot be kept, as they {error}; a metric must keep numbers, texts, '
                    'lists, dicts, arrays and tensors, or name its classes in result_types; or use '
                    "test_cfg = dict(type='TestLoop')"
                ) from error
            self._checked = True
        # Indices come first, so that they can be read without the results.
        content = np.array(indices, np.int64).tobytes() + buffer.getvalue()
        self._file.write(_HEADER.pack(len(content), zlib.crc32(content), len(indices)) + content)
        self._file.flush()

    def __enter__(self) -> ResultWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def read_indices(folder: Path) -> set[int]:
    """Samples of which a folder has results."""
    return {index for _, indices, _ in _contents(folder) for index in indices}


def read_results(folder: Path, num_samples: int, types: Sequence[type] = ()) -> list[list[Any]]:
    """Results in the order of the dataset, however many processes and runs wrote them; no code of a file is run.

    Args:
        folder (Path): Where the files are.
        num_samples (int): Size of the dataset.
        types (Sequence[type]): As in :class:`ResultWriter`.

    Returns:
        list[list]: For every metric one result per sample. Of samples that were tested twice, one counts.

    Raises:
        OSError: Samples are missing, or a file holds something else than results.
    """
    by_index: dict[int, list[Any]] = {}
    for path, indices, packed in _contents(folder):
        try:
            for index, *results in zip(indices, *load_plain(io.BytesIO(packed), types), strict=True):
                by_index[index] = results
        except (ValueError, TypeError) as error:
            raise OSError(f'{path}: holds no results of a test ({error}); remove it and test again') from error
    missing = [index for index in range(num_samples) if index not in by_index]
    if missing:
        raise OSError(
            f'{folder}: has no results of {len(missing)} of {num_samples} samples, such as sample {missing[0]}; all '
            'processes must see the same folder'
        )
    return [list(results) for results in zip(*(by_index[index] for index in range(num_samples)), strict=True)]


def _contents(folder: Path) -> Iterator[tuple[Path, list[int], bytes]]:
    """File, indices and packed results of every complete record."""
    for path in sorted(folder.glob(f'*{_SUFFIX}')):
        if not path.is_file():
            continue
        with open(path, 'rb') as file:
            while header := file.read(_HEADER.size):
                record = _record(file, header)
                if record is None:
                    print_log(f'{path}: the last record is cut off; its samples are tested again', logger='current')
                    break
                yield path, *record


def _record(file: IO[bytes], header: bytes) -> tuple[list[int], bytes] | None:
    if len(header) < _HEADER.size:
        return None
    length, checksum, count = _HEADER.unpack(header)
    if not 8 * count < length <= os.fstat(file.fileno()).st_size - file.tell():
        return None
    content = file.read(length)
    if zlib.crc32(content) != checksum:
        return None
    return np.frombuffer(content, np.int64, count).tolist(), content[8 * count :]
