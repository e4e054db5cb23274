"""Results of single samples on disk, which survive whatever ends the process that writes them."""

from __future__ import annotations

import os
import pickle
import struct
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

_HEADER = struct.Struct('<QI')  # length and checksum of what follows
_SUFFIX = '.results'

Record = tuple[list[int], list[list[Any]]]
"""Indices of the samples of a batch, and per metric one result per sample."""


class ResultWriter:
    """Appends records to a file of its own, so that any number of processes and runs can share a folder.

    A record is complete in the hands of the operating system when :meth:`write` returns: killing the process loses
    none. Whatever is cut off (a full disk, a power failure) is recognised by its length and checksum when read.

    Args:
        folder (Path): Where to write; made if it does not exist.
        rank (int): Part of the file's name.
    """

    def __init__(self, folder: Path, rank: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = open(folder / f'rank-{rank}-{time.time_ns()}-{os.getpid()}{_SUFFIX}', 'xb')  # noqa: SIM115

    def write(self, indices: Sequence[int], results: Sequence[list[Any]]) -> None:
        """Append the results of one batch.

        Args:
            indices (Sequence[int]): Positions of the samples in the dataset.
            results (Sequence[list]): For every metric one result per sample.
        """
        # Results are packed on their own, so that the indices can be read without them.
        content = pickle.dumps((list(indices), pickle.dumps(list(results), protocol=5)), protocol=5)
        self._file.write(_HEADER.pack(len(content), zlib.crc32(content)) + content)
        self._file.flush()

    def __enter__(self) -> ResultWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def read_indices(folder: Path) -> set[int]:
    """Samples of which a folder has results."""
    return {index for indices, _ in _contents(folder) for index in indices}


def read_results(folder: Path, num_samples: int) -> list[list[Any]]:
    """Results in the order of the dataset, however many processes and runs wrote them.

    Files are pickled, as everything that MMEngine's metrics exchange: read only what your own runs have written.

    Args:
        folder (Path): Where the files are.
        num_samples (int): Size of the dataset.

    Returns:
        list[list]: For every metric one result per sample. Of samples that were tested twice, one counts.

    Raises:
        OSError: Samples are missing.
    """
    by_index: dict[int, list[Any]] = {}
    for indices, packed in _contents(folder):
        for index, *results in zip(indices, *pickle.loads(packed), strict=True):
            by_index[index] = results
    missing = [index for index in range(num_samples) if index not in by_index]
    if missing:
        raise OSError(
            f'{folder}: has no results of {len(missing)} of {num_samples} samples, such as sample {missing[0]}; all '
            'processes must see the same folder'
        )
    return [list(results) for results in zip(*(by_index[index] for index in range(num_samples)), strict=True)]


def _contents(folder: Path) -> Iterator[tuple[list[int], bytes]]:
    for path in sorted(folder.glob(f'*{_SUFFIX}')):
        with open(path, 'rb') as file:
            while header := file.read(_HEADER.size):
                content = b''
                if len(header) == _HEADER.size:
                    length, checksum = _HEADER.unpack(header)
                    content = file.read(length)
                if not content or len(content) < length or zlib.crc32(content) != checksum:
                    print_log(f'{path}: the last record is cut off; its samples are tested again', logger='current')
                    break
                yield pickle.loads(content)
