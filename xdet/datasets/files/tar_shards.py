"""Random access to the samples of tar shards in WebDataset's layout, through an index of where their files begin."""

from __future__ import annotations

import glob
import json
import os
import re
import tarfile
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from xdet.io.writing import write_json

INDEX_SUFFIX = '.idx.json'
_VERSION = 1
_MAX_OPEN = 64

Members = dict[str, tuple[int, int]]
"""Offset and size of the files of a sample by their suffix, such as ``jpg``, ``txt`` and ``json``."""


class ShardIndex(NamedTuple):
    """What a shard holds.

    Attributes:
        samples (list[tuple[str, Members]]): Key and files of every sample, in order.
        damage (str): What keeps the rest of the shard from being read; empty if nothing does.
    """

    samples: list[tuple[str, Members]]
    damage: str = ''


def index_shard(path: str) -> ShardIndex:
    """Find the samples of a shard by reading the headers of its files.

    Files that follow each other and agree up to the first dot of their name are one sample, as in WebDataset. Of a
    truncated shard the complete files are found.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not an uncompressed tar file.
    """
    size = os.path.getsize(path) if os.path.isfile(path) else None
    if size is None:
        raise FileNotFoundError(f'{path}: shard does not exist')
    samples: list[tuple[str, Members]] = []
    damage = ''
    try:
        with tarfile.open(path, 'r:') as shard:
            while (member := shard.next()) is not None:
                if not member.isfile():
                    continue
                if member.offset_data + member.size > size:
                    damage = f'truncated in {member.name}'
                    break
                key, suffix = split_name(member.name)
                if not samples or samples[-1][0] != key:
                    samples.append((key, {}))
                samples[-1][1][suffix] = (member.offset_data, member.size)
                shard.members = []  # type: ignore[assignment]  # tarfile would remember every header
    except (tarfile.TarError, OSError, EOFError) as error:
        if not samples:
            raise ValueError(f'{path}: not an uncompressed tar file ({error})') from None
        damage = f'damaged after {samples[-1][0]} ({error})'
    return ShardIndex(samples, damage)


def split_name(name: str) -> tuple[str, str]:
    """Key and suffix of a file: ``'a/b.seg.PNG'`` -> ``('a/b', 'seg.png')``."""
    folder, _, file = name.rpartition('/')
    stem, _, suffix = file.partition('.')
    return (f'{folder}/{stem}' if folder else stem), suffix.lower()


def load_index(path: str, index_dir: str | None = None) -> ShardIndex:
    """Index of a shard from its index file, which is written if it is missing or older than the shard.

    Args:
        path (str): Shard.
        index_dir (str, optional): Folder of the index files, in which the shards' folders are repeated; default: next
            to the shards. If it cannot be written, the index is made anew every time.

    Raises:
        FileNotFoundError, ValueError: See :func:`index_shard`.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f'{path}: shard does not exist')
    file = _index_file(path, index_dir)
    status = os.stat(path)
    stamp = dict(version=_VERSION, size=status.st_size, mtime_ns=status.st_mtime_ns)
    index = _read_index(file, stamp)
    if index is None:
        index = index_shard(path)
        _write_index(file, dict(stamp, damage=index.damage, samples=index.samples))
    return index


def _index_file(path: str, index_dir: str | None) -> Path:
    if index_dir is None:
        return Path(f'{path}{INDEX_SUFFIX}')
    # The whole path: the shards of every set that img2dataset writes are called 00000.tar and so on.
    return Path(index_dir, *Path(path).absolute().parts[1:-1], f'{Path(path).name}{INDEX_SUFFIX}')


def _read_index(file: Path, stamp: dict) -> ShardIndex | None:
    try:
        content = json.loads(file.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or any(content.get(key) != value for key, value in stamp.items()):
        return None
    samples = [
        (key, {suffix: (begin, size) for suffix, (begin, size) in members.items()})
        for key, members in content['samples']
    ]
    return ShardIndex(samples, content['damage'])


def _write_index(file: Path, content: dict) -> None:
    """Write so that other processes never see half of it; without the right to write, do nothing."""
    try:
        write_json(file, content, separators=(',', ':'))
    except OSError:
        return


def expand_shards(shards: str | Sequence[str], root: str = '') -> list[str]:
    """Paths of shards.

    Args:
        shards (str | Sequence[str]): Paths, which may have ranges (``cc3m/{00000..00331}.tar``, as WebDataset writes
            them) or wildcards (``cc3m/*.tar``, sorted).
        root (str): Where relative ones start from.

    Raises:
        FileNotFoundError: Nothing matches a wildcard.
        ValueError: There are no shards.
    """
    paths = []
    for pattern in [shards] if isinstance(shards, str) else shards:
        for path in (os.path.join(root, name) for name in _expand_range(pattern)):
            if glob.has_magic(path):
                found = sorted(glob.glob(path, recursive=True))
                if not found:
                    raise FileNotFoundError(f'{path}: no such shards')
                paths += found
            else:
                paths.append(path)
    if not paths:
        raise ValueError('the list of shards is empty; at least one is needed')
    return paths


def _expand_range(pattern: str) -> list[str]:
    match = re.search(r'\{(\d+)\.\.(\d+)\}', pattern)
    if match is None:
        return [pattern]
    first, last = match[1], match[2]
    numbers = (str(number).zfill(len(first)) for number in range(int(first), int(last) + 1))
    return [
        name for number in numbers for name in _expand_range(pattern[: match.start()] + number + pattern[match.end() :])
    ]


class ShardReader:
    """Reads pieces of many files, of which a limited number stays open.

    Positions are given with every read, so that processes forked from each other may share open files.

    Args:
        paths (Sequence[str]): The files.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = list(paths)
        self._open: OrderedDict[int, int] = OrderedDict()

    def read(self, shard: int, offset: int, size: int) -> bytes:
        """``size`` bytes of file number ``shard``; fewer where it ends.

        Raises:
            OSError: The file cannot be read.
        """
        if shard not in self._open:
            while len(self._open) >= _MAX_OPEN:
                os.close(self._open.popitem(last=False)[1])
            self._open[shard] = os.open(self.paths[shard], os.O_RDONLY)
        self._open.move_to_end(shard)
        return os.pread(self._open[shard], size, offset)

    def __getstate__(self) -> dict:
        return dict(paths=self.paths)

    def __setstate__(self, state: dict) -> None:
        self.__init__(state['paths'])  # type: ignore[misc]

    def __del__(self) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)
