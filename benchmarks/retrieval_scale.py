"""Exact against approximate search in millions of made-up embeddings: recall, times, memory and sizes.

    OMP_NUM_THREADS=1 python benchmarks/retrieval_scale.py --vectors 10000000 --graph-vectors 100000 --folder /tmp
    OMP_NUM_THREADS=1 python benchmarks/retrieval_scale.py --vectors 50000 --graph-vectors 5000 --lists 64  # small

A row is what an index of images stores: two unit vectors of ``--width`` channels side by side, decoder and backbone. A
query is a text's unit vector twice, weighted by half each. Rows and queries lie around common centres (one for about a
thousand rows), with noise whose spectrum falls as those of learned embeddings do, half of it shared by the two vectors.

Rows are kept as float16 in a file under ``--folder`` that is mapped into memory and removed at the end. Inverted lists
are trained on a sample, filled in four shards and merged; graphs, which hold whole rows in memory, are measured on the
first ``--graph-vectors`` rows, beside inverted lists and exact search in the same rows. Times are processor times, so a
busy machine changes them less than a clock would; memory is what the process holds of its own after
filling, without mapped files.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from process_memory import memory

from xdet.cli.places import output_file
from xdet.io.writing import write_json

ROOT = Path(__file__).resolve().parents[1]
CHUNK, SHARDS, BEST = 65536, 4, 10
ROWS_PER_LIST = 40  # of the sample; faiss warns below 39


class Collection:
    """Made-up embeddings.

    Args:
        count (int): Rows.
        width (int): Channels of one of the two vectors.
        file (Path): Where the rows go, as float16.
    """

    def __init__(self, count: int, width: int, file: Path) -> None:
        random = np.random.default_rng(0)
        spectrum = np.arange(1, width + 1, dtype=np.float32) ** -0.5
        turned = np.linalg.qr(random.standard_normal((width, width)))[0].astype(np.float32)
        self._mix = (spectrum / np.linalg.norm(spectrum))[:, None] * turned
        self._centres = self._spread(random, max(10, count // 1000))
        self.rows = np.memmap(file, np.float16, 'w+', shape=(count, 2 * width))
        for number, start in enumerate(range(0, count, CHUNK)):
            random = np.random.default_rng((1, number))
            size = min(CHUNK, count - start)
            near = self._near(random, size)
            for half in range(2):
                own = near + 0.5 * self._spread(random, size)
                self.rows[start : start + size, half * width : (half + 1) * width] = _unit(own)

    def queries(self, count: int) -> np.ndarray:
        """Float32 ``[n, 2 C]``, as the weighted text vectors of a search."""
        texts = _unit(self._near(np.random.default_rng(2), count))
        return np.concatenate([0.5 * texts, 0.5 * texts], axis=1)

    def _near(self, random: np.random.Generator, count: int) -> np.ndarray:
        return self._centres[random.integers(0, len(self._centres), count)] + 0.5 * self._spread(random, count)

    def _spread(self, random: np.random.Generator, count: int) -> np.ndarray:
        """Vectors of length about 1 with the spectrum."""
        return random.standard_normal((count, len(self._mix)), dtype=np.float32) @ self._mix


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def exact(rows: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Numbers ``[n, 10]`` of the best rows, from all scores, chunk by chunk."""
    import faiss

    scores = np.zeros((len(queries), 0), np.float32)
    numbers = np.zeros((len(queries), 0), np.int64)
    for start in range(0, len(rows), CHUNK):
        part = np.asarray(rows[start : start + CHUNK], np.float32)
        top, found = faiss.knn(queries, part, min(BEST, len(part)), faiss.METRIC_INNER_PRODUCT)
        scores = np.concatenate([scores, top], axis=1)
        numbers = np.concatenate([numbers, found + start], axis=1)
        best = np.argsort(-scores, axis=1, kind='stable')[:, :BEST]
        scores, numbers = np.take_along_axis(scores, best, 1), np.take_along_axis(numbers, best, 1)
    return numbers


def recall(found: np.ndarray, wanted: np.ndarray) -> float:
    """Share of the wanted ten that are among the found ten."""
    return float(np.mean([len(set(one) & set(two)) / len(two) for one, two in zip(found, wanted, strict=True)]))


def measure(collection: Collection, recipe: Any, count: int, queries: np.ndarray, folder: Path) -> Iterator[dict]:
    """A row of the table per search: exact, then ever deeper with the recipe, with and without true scores."""
    from xdet.retrieval.approximate import Approximate, fill, merge, save, train

    rows = collection.rows[:count]
    clock = time.process_time()
    wanted = exact(rows, queries)
    yield dict(rows=count, search='exact', recall=1.0, query_ms=1e3 * (time.process_time() - clock) / len(queries))
    clock = time.process_time()
    if recipe.kind == 'hnsw':
        empty, parts = train(np.zeros((1, rows.shape[1]), np.float32), recipe), 1
    else:
        chosen = np.random.default_rng(3).choice(count, min(count, ROWS_PER_LIST * max(recipe.lists, 256)), False)
        empty, parts = train(np.asarray(rows[np.sort(chosen)], np.float32), recipe), SHARDS
    trained = time.process_time() - clock
    clock, edges = time.process_time(), [count * part // parts for part in range(parts + 1)]
    index = merge([fill(empty, rows[start:end], start) for start, end in zip(edges, edges[1:], strict=False)])
    filled, held = time.process_time() - clock, memory('RssAnon')
    save(index, folder / 'index.faiss')
    size = (folder / 'index.faiss').stat().st_size / 2**20
    (folder / 'index.faiss').unlink()
    built = dict(train_s=trained, fill_s=filled, memory_mib=held, file_mib=size)
    for depth in (8, 32) if recipe.kind == 'ivfpq' else (32, 128):
        set_depth(index, recipe.kind, depth)
        for rescore in (1, 10, 50) if recipe.kind == 'ivfpq' else (1,):
            search = Approximate(index, rows, rescore)
            clock = time.process_time()
            found = search.search(queries, BEST)[1]
            took = 1e3 * (time.process_time() - clock) / len(queries)
            about = dict(rows=count, search=recipe.kind, depth=depth, rescore=rescore)
            yield about | dict(recall=recall(found, wanted), query_ms=took) | built


def set_depth(index: Any, kind: str, depth: int) -> None:
    """How many lists or candidates a search looks at."""
    import faiss

    if kind == 'ivfpq':
        index.nprobe = min(depth, index.nlist)
    else:
        faiss.ParameterSpace().set_index_parameter(index, 'efSearch', depth)


def table(found: list[dict[str, Any]]) -> str:
    """The rows in Markdown."""
    digits = dict(rows=',', recall='.3f', query_ms='.2f', train_s='.0f', fill_s='.0f', memory_mib=',.0f')
    digits['file_mib'] = ',.0f'
    columns = dict(rows='rows', search='search', depth='depth', rescore='rescore', recall='recall@10')
    columns |= dict(query_ms='ms per query', train_s='training, s', fill_s='filling, s')
    columns |= dict(memory_mib='memory, MiB', file_mib='file, MiB')
    lines = ['| ' + ' | '.join(columns.values()) + ' |', '|---' * len(columns) + '|']
    for row in found:
        cells = [format(row[key], digits.get(key, '')) if key in row else '' for key in columns]
        lines.append('| ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Measure and print; JSON with ``--out``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--vectors', type=int, default=1_000_000, help='rows for inverted lists')
    parser.add_argument('--graph-vectors', type=int, default=100_000, help='rows for graphs; 0 leaves them out')
    parser.add_argument('--width', type=int, default=128, help='channels of one of the two vectors of a row')
    parser.add_argument('--lists', type=int, default=1024, help='inverted lists')
    parser.add_argument('--code', type=int, default=32, help='bytes per row in inverted lists')
    parser.add_argument('--queries', type=int, default=200, help='searched at once')
    parser.add_argument('--folder', default=tempfile.gettempdir(), help='for rows: 4 bytes per channel and row')
    parser.add_argument('--out', type=output_file, help='JSON file')
    args = parser.parse_args(arguments)
    for name in ('vectors', 'width', 'lists', 'code', 'queries'):
        if getattr(args, name) < 1:
            parser.error(f'--{name} is {getattr(args, name)}; it must be at least 1')
    least = max(256, args.lists)
    if not least <= args.vectors or not (args.graph_vectors == 0 or least <= args.graph_vectors <= args.vectors):
        parser.error(f'--vectors, and --graph-vectors up to that, must be at least {least}: --lists, and 256 for codes')
    sys.path.insert(0, str(ROOT))
    from xdet.retrieval.approximate import Recipe

    lists = Recipe('ivfpq', lists=args.lists, code=args.code)
    found: list[dict[str, Any]] = []
    load = os.getloadavg() if hasattr(os, 'getloadavg') else ()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        clock = time.process_time()
        collection = Collection(args.vectors, args.width, Path(folder, 'rows'))
        print(f'made {args.vectors} rows in {time.process_time() - clock:.0f} s', file=sys.stderr)
        queries = collection.queries(args.queries)
        plan: list[tuple[Recipe, int]] = [(lists, args.vectors)]
        if args.graph_vectors:
            fewer = replace(lists, lists=min(args.lists, max(1, args.graph_vectors // ROWS_PER_LIST // 10)))
            plan = [(fewer, args.graph_vectors), (Recipe('hnsw'), args.graph_vectors), *plan]
        for recipe, count in plan:
            for row in measure(collection, recipe, count, queries, Path(folder)):
                print(json.dumps(row), file=sys.stderr, flush=True)
                found.append(row)
    print(table(found))
    print(f'load of the machine before and after: {load}, {os.getloadavg() if load else ()}')
    if args.out:
        write_json(args.out, dict(vars(args), rows=found), indent=2, default=str)


if __name__ == '__main__':
    main()
