"""Search in collections that are too large to compare all rows: faiss's inverted lists and graphs.

An index is trained on a sample, filled shard by shard, anywhere, and merged:

    empty = train(sample, Recipe('ivfpq', lists=4096))          once
    one, two = fill(empty, rows_of_one, 0), fill(empty, rows_of_two, len(rows_of_one))
    search = Approximate(merge([one, two]), rows)               rows, memory-mapped, give candidates their true scores
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xdet.io.errors import cause
from xdet.io.reading import read_bytes
from xdet.io.schema import number, shown
from xdet.io.writing import write_bytes

_CHUNK = 65536  # rows at a time
_LARGEST = 1 << 44  # bytes of a file
_SUM = struct.Struct('<8sI')  # at the end of a file, where faiss does not read
_MARK = b'xdet-crc'
_PER_LIST = 64  # rows of the sample that a list is trained on; faiss asks for 39


@dataclass(frozen=True)
class Recipe:
    """How to build an approximate index.

    Attributes:
        kind (str): ``'ivfpq'``: inverted lists of product-quantised rows, ``code`` + 8 bytes per row. ``'hnsw'``: a
            graph with whole rows, about ``4 C + 8 neighbours`` bytes per row; graphs are not merged but searched one
            after the other.
        lists (int, optional): Inverted lists; None is four times the square root of the number of rows.
        code (int): Bytes per row; divides the width of a row.
        neighbours (int): Of a row in the graph.
        depth (int): Lists that are searched, or candidates that the search in the graph keeps.
    """

    kind: Literal['ivfpq', 'hnsw'] = 'ivfpq'
    lists: int | None = None
    code: int = 64
    neighbours: int = 16
    depth: int = 32

    def __post_init__(self) -> None:
        if self.kind not in ('ivfpq', 'hnsw'):
            raise ValueError(f"kind is {shown(self.kind)}; accepted are 'ivfpq' and 'hnsw'")
        for name in ('code', 'neighbours', 'depth', *(['lists'] if self.lists is not None else [])):
            number(name, getattr(self, name), int, 1)


def train(sample: NDArray[np.float32], recipe: Recipe, total: int | None = None) -> Any:
    """An empty index that has learned how rows are spread.

    Args:
        sample (np.ndarray): float32 ``[n, C]``, drawn from all of the collection.
        recipe (Recipe): What kind.
        total (int, optional): Rows of the collection, for the number of lists; None are those of the sample.

    Returns:
        faiss.Index: For :func:`fill`.

    Raises:
        ImportError: faiss is not installed.
        ValueError: Too few rows, or a width that ``code`` does not divide.
    """
    from .index import import_faiss

    faiss, width = import_faiss(), sample.shape[1]
    if recipe.kind == 'hnsw':
        graph = faiss.index_factory(width, f'IDMap,HNSW{recipe.neighbours}', faiss.METRIC_INNER_PRODUCT)
        faiss.ParameterSpace().set_index_parameter(graph, 'efSearch', recipe.depth)
        return graph
    lists = recipe.lists or max(1, int(4 * math.sqrt(total or len(sample))))
    if width % recipe.code:
        raise ValueError(f'code is {recipe.code} bytes, which does not divide the width of a row, {width}')
    if len(sample) < max(lists, 256):
        raise ValueError(f'the sample has {len(sample)} rows; {max(lists, 256)} are needed for {lists} lists')
    # 'np': faiss otherwise sorts the codes for searches by Hamming distance, most of the time of training, for nothing.
    index = faiss.index_factory(width, f'IVF{lists},PQ{recipe.code}np', faiss.METRIC_INNER_PRODUCT)
    index.nprobe = min(recipe.depth, lists)
    index.cp.spherical, index.cp.max_points_per_centroid = True, _PER_LIST
    index.train(np.ascontiguousarray(sample, np.float32))
    return index


def fill(empty: Any, rows: NDArray[Any], start: int) -> Any:
    """A copy of a trained index with rows, whose numbers begin at ``start``; rows may be memory-mapped and of any
    precision.
    """
    from .index import import_faiss

    index = import_faiss().clone_index(empty)
    for first in range(0, len(rows), _CHUNK):
        part = np.ascontiguousarray(rows[first : first + _CHUNK], np.float32)
        index.add_with_ids(part, np.arange(start + first, start + first + len(part)))
    return index


def merge(shards: Sequence[Any]) -> Any:
    """One index of the shards of one trained index. Inverted lists are joined, which empties all shards but the first;
    graphs are searched one after the other.

    Raises:
        ValueError: No shards, or of different training.
    """
    from .index import import_faiss

    if not shards:
        raise ValueError('there are no shards to merge')
    first = shards[0]
    if len(shards) == 1:
        return first
    if not hasattr(first, 'nprobe'):
        faiss = import_faiss()
        joined = faiss.IndexShards(first.d, False, False)
        for shard in shards:
            joined.add_shard(shard)
        return joined
    for shard in shards[1:]:
        try:
            first.merge_from(shard, 0)
        except RuntimeError as error:
            raise ValueError(f'shards were trained differently: {cause(error)}') from error
    return first


def save(index: Any, path: str | Path) -> None:
    """Write an index, whole or not at all: what faiss reads, and a sum of it.

    Raises:
        OSError: The file cannot be written.
        ValueError: It is one of several graphs, which faiss writes one by one only.
    """
    from .index import import_faiss

    faiss = import_faiss()
    if isinstance(index, faiss.IndexShards):
        raise ValueError(f"'{path}' cannot hold {index.count()} graphs; save each, and merge them after loading")
    data = faiss.serialize_index(index).tobytes()
    write_bytes(path, data + _SUM.pack(_MARK, zlib.crc32(data)))


def load(path: str | Path) -> Any:
    """Read an index of your own; faiss does not check files of strangers.

    Raises:
        ValueError: The file is missing, or damaged: its sum, which files of faiss itself do not have, is wrong.
    """
    from .index import import_faiss

    faiss = import_faiss()
    try:
        data = np.frombuffer(read_bytes(path, _LARGEST), np.uint8)
        mark, sum_of_it = _SUM.unpack(data[-_SUM.size :].tobytes()) if len(data) > _SUM.size else (b'', 0)
        if mark == _MARK:
            data = data[: -_SUM.size]
            if zlib.crc32(data.data) != sum_of_it:
                raise OSError('its sum is wrong, so it is damaged')
        return faiss.deserialize_index(data)
    except (MemoryError, OSError, RuntimeError) as error:
        raise ValueError(f"'{path}' is no index of faiss ({cause(error)})") from error


class Approximate:
    """Searches like faiss's exact index, with true scores.

    Args:
        index (faiss.Index): Of :func:`merge` or :func:`fill`; its numbers are those of the rows.
        rows (np.ndarray): ``[n, C]``, may be memory-mapped: only candidates are read.
        rescore (int): Candidates per wanted result.

    Raises:
        ValueError: The index is of other rows: wider, narrower, or more.
    """

    def __init__(self, index: Any, rows: NDArray[Any], rescore: int = 10) -> None:
        if index.d != rows.shape[1] or index.ntotal > len(rows):
            raise ValueError(
                f'the index has {index.ntotal} rows of {index.d} numbers, so it is not one of these {len(rows)} rows '
                f'of {rows.shape[1]}'
            )
        self.index, self.rows, self.rescore = index, rows, number('rescore', rescore, int, 1)

    @classmethod
    def build(
        cls, rows: NDArray[Any], recipe: Recipe, shards: Iterable[NDArray[Any]] | None = None, rescore: int = 10
    ) -> Approximate:
        """Train on a sample of the rows and fill with all of them, or with shards that are these rows in parts."""
        lists = recipe.lists or int(4 * math.sqrt(len(rows)))
        wanted = min(len(rows), max(_PER_LIST * lists, 256 * _PER_LIST))
        chosen = np.sort(np.random.default_rng(0).choice(len(rows), wanted, replace=False))
        empty = train(np.asarray(rows[chosen], np.float32), recipe, len(rows))
        filled, start = [], 0
        for part in [rows] if shards is None else shards:
            filled.append(fill(empty, part, start))
            start += len(part)
        return cls(merge(filled), rows, rescore)

    def search(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Scores and numbers ``[n, k]`` of the best rows, best first; -1 where there are none."""
        candidates = self.index.search(queries, min(k * self.rescore, len(self.rows)))[1]
        if candidates.max(initial=-1) >= len(self.rows):
            raise ValueError(f'the index names row {candidates.max()}, and there are {len(self.rows)}')
        scores = np.full(candidates.shape, -np.inf, np.float32)
        for query, found, score in zip(queries, candidates, scores, strict=True):
            score[found >= 0] = np.asarray(self.rows[found[found >= 0]], np.float32) @ query
        best = np.argsort(-scores, axis=1, kind='stable')[:, :k]
        return np.take_along_axis(scores, best, 1), np.take_along_axis(candidates, best, 1)
