"""Several benchmarks in one run: the data of all are checked first, the model is built once, results are kept."""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from mmengine.config import Config
from mmengine.dist import get_world_size, is_main_process
from mmengine.logging import print_log
from mmengine.registry import DefaultScope

from xdet.compat.quiet import quiet_imports
from xdet.io.errors import cause
from xdet.registry import DATASETS, METRICS

from .fragments import Benchmark, apply_benchmark, as_folder, load_benchmark
from .records import Record, RecordStore, config_hash, data_hash, versions
from .table import markdown_table, write_tables

if TYPE_CHECKING:
    from xdet.engine.runner import XDetRunner


@dataclass
class Entry:
    """A benchmark of a suite.

    Attributes:
        benchmark (Benchmark): What to test on.
        protocol (str): How.
        cfg (Config | None): The whole config; None when model and benchmark do not fit together.
        fingerprint (str): :func:`~xdet.benchmarks.records.config_hash`, which does not depend on where the data lie.
        data_hash (str): :func:`~xdet.benchmarks.records.data_hash`.
        num_samples (int): Images, once the data were found.
        problem (str): Why it cannot run, in one line; empty if it can.
    """

    benchmark: Benchmark
    protocol: str
    cfg: Config | None = None
    fingerprint: str = ''
    data_hash: str = ''
    num_samples: int = 0
    problem: str = ''

    @property
    def name(self) -> str:
        """Name of the benchmark."""
        return self.benchmark.name


@dataclass(frozen=True)
class Weights:
    """What is tested.

    Attributes:
        name (str): File name of the checkpoint.
        sha256 (str): Its hash.
        config (str): Name of the model's config.
    """

    name: str
    sha256: str
    config: str


def plan_suite(
    cfg: Config,
    names: Sequence[str],
    protocol: str = 'recommended',
    data_roots: Sequence[tuple[str, str]] = (),
    data: str | None = None,
) -> list[Entry]:
    """Configs of all benchmarks.

    Args:
        cfg (Config): Config with the model.
        names (Sequence[str]): See :func:`~xdet.benchmarks.fragments.load_benchmark`.
        protocol (str): One of :data:`~xdet.benchmarks.fragments.PROTOCOLS`.
        data_roots (Sequence[tuple[str, str]]): Names of benchmarks, or shell patterns, and where their data lie; the
            last that fits counts.
        data (str, optional): Folder in place of the ``data/`` that the fragments' folders begin with.

    Returns:
        list[Entry]: In order. A benchmark that the model has no task for says so in ``problem``.

    Raises:
        FileNotFoundError, ValueError: A benchmark or a protocol is unknown, or two benchmarks have one name.
    """
    entries: list[Entry] = []
    benchmarks = [load_benchmark(name) for name in names]
    for pattern, folder in data_roots:
        if not any(fnmatch.fnmatchcase(benchmark.name, pattern) for benchmark in benchmarks):
            raise ValueError(
                f"the folder '{folder}' is for '{pattern}', which is none of the benchmarks to run: "
                f'{", ".join(benchmark.name for benchmark in benchmarks)}'
            )
    for benchmark in benchmarks:
        root = _root_of(benchmark, data_roots, data)
        benchmark = replace(benchmark, data_root=as_folder(root)) if root is not None else benchmark
        if benchmark.name in [entry.name for entry in entries]:
            raise ValueError(f"two benchmarks are called '{benchmark.name}'; their folders need different names")
        entry = Entry(benchmark, protocol)
        try:
            entry.cfg = apply_benchmark(cfg, benchmark, protocol)
            entry.data_hash = data_hash(entry.cfg)
            entry.fingerprint = config_hash(apply_benchmark(cfg, benchmark, protocol, benchmark.cfg.data_root))
        except ValueError as error:
            entry.problem = cause(error)
        entries.append(entry)
    return entries


def check_data(entries: Sequence[Entry]) -> list[str]:
    """Build data sets and metrics of all entries, as their tests will, and let them go again.

    Returns:
        list[str]: One line for each entry that cannot run; it also stands in the entry.
    """
    with quiet_imports():
        for registry in (DATASETS, METRICS):
            registry.import_from_location()
    for entry in entries:
        if entry.cfg is None:
            continue
        root = entry.benchmark.data_root
        if '://' not in root and not Path(root).is_dir():
            layout = entry.benchmark.facts.get('layout')
            entry.problem = f'{root}: no such folder' + (
                f'; it should hold {layout} (docs/evaluation.md says where to get it)' if layout else ''
            )
            continue
        try:
            with DefaultScope.overwrite_default_scope('xdet'):
                entry.num_samples = len(DATASETS.build(entry.cfg.test_dataloader.dataset))
                for metric in _as_list(entry.cfg.test_evaluator):
                    METRICS.build(metric)
        except Exception as error:  # whatever is wrong with one set must not hide what is wrong with the others
            entry.problem = cause(error)
    return [f'{entry.name}: {entry.problem}' for entry in entries if entry.problem]


def finished(entries: Sequence[Entry], weights: Weights, store: RecordStore) -> list[Record]:
    """Stored results of those entries that have one.

    Raises:
        ValueError: One is of other weights or settings.
    """
    records = []
    for entry in entries:
        record = store.read(entry.name, entry.protocol)
        if record is None or entry.cfg is None:
            continue
        path = store.path(entry.name, entry.protocol)
        if (record.checkpoint_sha256, record.config_hash) != (weights.sha256, entry.fingerprint):
            raise ValueError(
                f'{path} is a result of checkpoint {record.checkpoint} '
                f'({record.checkpoint_sha256[:12]}) and config {record.config} ({record.config_hash}), not of '
                f'{weights.name} ({weights.sha256[:12]}) and {weights.config} ({entry.fingerprint}); use --force to '
                'replace it, or another --out'
            )
        if entry.benchmark.facts.get('own_data') and record.data_root != entry.benchmark.data_root:
            raise ValueError(
                f'{path} is a result of the data in {record.data_root}, not of {entry.benchmark.data_root}; '
                'use --force to replace it, or another --out'
            )
        if record.data_hash and record.data_hash != entry.data_hash:
            raise ValueError(
                f'{path} is a result of other annotation files than those that are there now; use --force to replace '
                'it, or another --out'
            )
        records.append(record)
    return records


def run_suite(
    runner: XDetRunner, entries: Sequence[Entry], weights: Weights, store: RecordStore, done: Sequence[Record] = ()
) -> list[Record]:
    """Test on all entries that can run, and keep the result of each as soon as it is there.

    Within a benchmark, too, an interrupted test goes on where it stopped, see
    :class:`~xdet.engine.testing.resumable_test.ResumableTestLoop`.

    Args:
        runner (XDetRunner): Its model is tested; built from the config of any entry.
        entries (Sequence[Entry]): Those without a problem are run.
        weights (Weights): For the records.
        store (RecordStore): Where the main process writes.
        done (Sequence[Record]): Results from before, for the table.

    Returns:
        list[Record]: All results.
    """
    records = list(done)
    for entry in entries:
        if entry.problem or entry.cfg is None:
            continue
        print_log(f'benchmark {entry.name}, {entry.protocol} protocol, {entry.num_samples} samples', logger='current')
        start = time.perf_counter()
        try:
            metrics = runner.test_on(_resumable(entry.cfg, store))
        except (ValueError, OSError) as error:
            raise type(error)(f'benchmark {entry.name}: {cause(error)}') from error
        records.append(_record(entry, weights, metrics, time.perf_counter() - start))
        if is_main_process():
            store.write(records[-1])
            write_tables(store, records, entries)
    if is_main_process():
        write_tables(store, records, entries)
        print_log('\n' + markdown_table(records, entries), logger='current')
    return records


def _resumable(cfg: Config, store: RecordStore) -> Config:
    """``cfg`` with the loop that goes on within a benchmark, unless the benchmark has a loop of its own."""
    if cfg.test_cfg.type == 'TestLoop':
        cfg.test_cfg.update(type='ResumableTestLoop', folder=str(store.folder / 'unfinished'))
    return cfg


def _record(entry: Entry, weights: Weights, metrics: dict[str, float], seconds: float) -> Record:
    facts = entry.benchmark.facts
    return Record(
        benchmark=entry.name,
        title=entry.name if '@' in entry.name else facts['title'],
        split=entry.benchmark.split,
        protocol=entry.protocol,
        metrics={name: float(value) for name, value in metrics.items()},
        headline=[_present(name, metrics) for name in facts['headline']],
        num_samples=entry.num_samples,
        expected_samples=facts.get('num_samples'),
        seconds=round(seconds, 2),
        checkpoint=weights.name,
        checkpoint_sha256=weights.sha256,
        config=weights.config,
        config_hash=entry.fingerprint,
        data_hash=entry.data_hash,
        data_root=entry.benchmark.data_root,
        world_size=get_world_size(),
        versions=versions(),
        family=facts.get('family'),
    )


def _present(name: str, metrics: Mapping[str, float]) -> str:
    """``name``, or that of its stand-in where the original could not be computed (captions without Java)."""
    return f'{name}_py' if name not in metrics and f'{name}_py' in metrics else name


def _root_of(benchmark: Benchmark, data_roots: Sequence[tuple[str, str]], data: str | None) -> str | None:
    given = [folder for pattern, folder in data_roots if fnmatch.fnmatchcase(benchmark.name, pattern)]
    if given:
        return given[-1]
    parts = PurePath(benchmark.data_root).parts
    if data is not None and parts[0] == 'data' and '@' not in benchmark.name:
        return str(Path(data, *parts[1:]))
    return None


def _as_list(evaluator: object) -> list:
    return list(evaluator) if isinstance(evaluator, (list, tuple)) else [evaluator]
