"""Random access to the samples of tar shards in WebDataset's layout, through an index of where their files begin."""

from __future__ import annotations

import glob
import math
import os
import re
import tarfile
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from xdet.datasets.files.image_io import is_clutter
from xdet.io.locking import locked
from xdet.io.reading import read_json, shorten
from xdet.io.schema import checked
from xdet.io.writing import write_json

INDEX_SUFFIX = '.idx.json'
_VERSION = 2
_MAX_SHARDS = 1_000_000
_BLOCK = 512
_MAX_OPEN = 64
_THREADS = 8

Members = dict[str, tuple[int, int]]
"""Offset and size of the files of a sample by their suffix, such as ``jpg``, ``txt`` and ``json``."""


class ShardIndex(NamedTuple):
    """What a shard holds.

    Attributes:
        samples (list[tuple[str, Members]]): Key and files of every sample, in order.
        damage (str): What keeps the rest of the shard from being read; empty if nothing does.
        repeated (int): Samples with the key of the sample before them, which are kept apart.
    """

    samples: list[tuple[str, Members]]
    damage: str = ''
    repeated: int = 0


def index_shard(path: str) -> ShardIndex:
    """Find the samples of a shard by reading the headers of its files.

    Files that follow each other and agree up to the first dot of their name are one sample, as in WebDataset; a file
    that such a sample has already begins another one. Hidden files (``._a.jpg``) are left out. Of a truncated or
    damaged shard the files before the damage are found.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not an uncompressed tar file.
    """
    _check_exists(path)
    size = os.path.getsize(path)
    samples: list[tuple[str, Members]] = []
    damage = ''
    repeated = 0
    try:
        with tarfile.open(path, 'r:') as shard:
            while (member := shard.next()) is not None:
                shard.members = []  # type: ignore[assignment]  # tarfile would remember every header
                if not member.isfile() or any(is_clutter(part) for part in member.name.split('/') if part != '.'):
                    continue
                if member.offset_data + member.size > size:
                    damage = f'truncated in {member.name}'
                    break
                key, suffix = split_name(member.name)
                again = bool(samples) and samples[-1][0] == key and suffix in samples[-1][1]
                if again or not samples or samples[-1][0] != key:
                    samples.append((key, {}))
                    repeated += again
                samples[-1][1][suffix] = (member.offset_data, member.size)
            else:
                damage = _what_follows(path, shard.offset, samples)
    except (tarfile.TarError, OSError, EOFError, ValueError, OverflowError) as error:
        if not samples:
            raise ValueError(f'{path}: not an uncompressed tar file ({error})') from None
        damage = f'damaged after {samples[-1][0]} ({error})'
    return ShardIndex(samples, damage, repeated)


def _what_follows(path: str, end: int, samples: list[tuple[str, Members]]) -> str:
    """What is wrong with a shard in which tarfile, which takes damaged headers for its end, stops at byte ``end``."""
    with open(path, 'rb') as file:
        file.seek(end)
        header = file.read(_BLOCK)
        after = f'after {samples[-1][0]}' if samples else 'at its beginning'
        if any(header):
            return f'damaged {after} (no header at byte {end})'
        while block := file.read(1 << 20):
            if any(block):
                return f'ends {after}, but more follows (joined shards?)'
    return ''


def _check_exists(path: str) -> None:
    if not os.path.exists(path):
        raise FileNotFoundError(f'{path}: shard does not exist')
    if not os.path.isfile(path):
        raise FileNotFoundError(f'{path}: is a folder, pipe or device, not a shard')


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
    index = read_index(path, index_dir)
    if index is None:
        stamp = _stamp(path)  # of the shard as it is before it is read
        index = index_shard(path)
        content = dict(stamp, damage=index.damage, repeated=index.repeated, samples=index.samples)
        _write_index(_index_file(path, index_dir), content)
    return index


def load_indices(paths: Sequence[str], index_dir: str | None = None) -> Iterator[ShardIndex]:
    """Indices of shards, several at a time; of processes that begin together one makes what is missing."""
    with ThreadPoolExecutor(_THREADS) as pool:
        found = list(pool.map(lambda path: read_index(path, index_dir), paths))
        missing = [number for number, index in enumerate(found) if index is None]
        if missing:
            with _alone(_index_file(paths[0], index_dir).with_name('.indexing.lock')):
                made = pool.map(lambda number: load_index(paths[number], index_dir), missing)
                for number, index in zip(missing, made, strict=True):
                    found[number] = index
    return iter(found)  # type: ignore[arg-type]


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Hold a lock where files can be made; elsewhere indices cannot be shared anyway."""
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(lock, wait=True))
            stack.callback(lock.unlink, missing_ok=True)
        except OSError:
            pass
        yield


def _stamp(path: str) -> dict:
    status = os.stat(path)
    return dict(version=_VERSION, size=status.st_size, mtime_ns=status.st_mtime_ns)


def _index_file(path: str, index_dir: str | None) -> Path:
    if index_dir is None:
        return Path(f'{path}{INDEX_SUFFIX}')
    # The whole path: the shards of every set that img2dataset writes are called 00000.tar and so on.
    return Path(index_dir, *Path(path).absolute().parts[1:-1], f'{Path(path).name}{INDEX_SUFFIX}')


def read_index(path: str, index_dir: str | None = None) -> ShardIndex | None:
    """Index of a shard from its index file; None if that is missing, older than the shard, or not to be used.

    Raises:
        FileNotFoundError: There is no such shard.
    """
    _check_exists(path)
    stamp = _stamp(path)
    try:
        content = read_json(_index_file(path, index_dir))
        if any(content[key] != value for key, value in stamp.items()):
            return None
        samples = [
            (checked(key, str, 'key'), {suffix: _place(place, stamp['size']) for suffix, place in members.items()})
            for key, members in content['samples']
        ]
        return ShardIndex(
            samples, checked(content['damage'], str, 'damage'), checked(content['repeated'], int, 'repeated')
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _place(place: Sequence[int], shard_size: int) -> tuple[int, int]:
    begin, size = (checked(number, int, 'place') for number in place)
    if not 0 <= begin <= begin + size <= shard_size:
        raise ValueError('a file lies outside of the shard')
    return begin, size


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
        ValueError: There are no shards, or more than a million, or they are no paths.
    """
    patterns = [shards] if isinstance(shards, (str, os.PathLike)) else shards
    if not isinstance(patterns, Sequence) or not all(isinstance(one, (str, os.PathLike)) for one in patterns):
        raise ValueError(f'shards is {shorten(repr(shards))}; accepted are a path and a list of paths')
    paths = []
    for pattern in map(os.fspath, patterns):
        for path in (os.path.join(root, name) for name in _expand_range(pattern)):
            if glob.has_magic(path) and not os.path.exists(path):
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
    ranges = re.findall(r'\{(\d{1,18})\.\.(\d{1,18})\}', pattern)
    for first, last in ranges:
        if int(first) > int(last):
            raise ValueError(f'shards {shorten(pattern)}: the range {{{first}..{last}}} has no numbers')
    total = math.prod(int(last) - int(first) + 1 for first, last in ranges)
    if total > _MAX_SHARDS:
        raise ValueError(f'shards {shorten(pattern)}: that is {total} names; accepted are up to {_MAX_SHARDS}')
    match = re.search(r'\{(\d{1,18})\.\.(\d{1,18})\}', pattern)
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
