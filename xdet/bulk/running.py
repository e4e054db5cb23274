"""Runs: chunk by chunk in this process, or by workers of Ray Data."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xdet import model_zoo
from xdet.compat.quiet import hushed
from xdet.inference.asking import check_request
from xdet.inference.inferencer import XDecoderInferencer
from xdet.inference.outputs import reporting
from xdet.inference.outputs.journal import ResumeError, plain
from xdet.inference.outputs.provenance import Origin
from xdet.inference.outputs.results import TASK_FORMATS
from xdet.inference.outputs.writer import OutputError
from xdet.io.errors import cause
from xdet.io.locking import locked
from xdet.io.reading import expand, read_json, shorten
from xdet.io.schema import number, shown
from xdet.io.terminal import progress
from xdet.io.writing import remove_forgotten, write_json
from xdet.lazy import import_optional

from .results import Row, part_name, read_failures, row_of, write_rows
from .sources import Chunk, find_chunks

if TYPE_CHECKING:
    from xdet.retrieval.embedding import Embedder

EMBEDDING = 'embedding'
"""Name of the task whose results are the vectors of images (docs/retrieval.md)."""

MANIFEST = '_run.json'
_TRIES = 4
"""How often a chunk is begun before a run ends because its workers die of it."""

_FORESEEN = (ImportError, OSError, RuntimeError, ValueError)
_NOT_HERE = ('formats', 'return_vis', 'return_datasamples', 'return_embeddings', 'print_result', 'tiles')


@dataclass(frozen=True)
class Work:
    """What every worker needs to know; travels between processes.

    Attributes:
        model (str | None): As for :class:`XDecoderInferencer`.
        weights (str | None): Likewise.
        device, precision (str, str | None): Likewise.
        task (str): A task, or :data:`EMBEDDING`.
        batch_size (int): Images per forward pass.
        out_dir (str): Folder of the results.
        options (Mapping[str, Any]): Prompts and settings of every image.
    """

    model: str | None
    weights: str | None
    device: str
    precision: str | None
    task: str
    batch_size: int
    out_dir: str
    options: Mapping[str, Any]


@dataclass
class BulkResult:
    """What became of a run.

    Attributes:
        total (int): Number of images.
        resumed (int): How many of them an earlier run had finished.
        failed (list[dict]): ``index``, ``image`` and ``error`` of those without a result, in order.
        problems (list[str]): What is missing because shards are damaged.
    """

    total: int
    resumed: int = 0
    failed: list[Row] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class Worker:
    """Makes the file of a chunk; it holds one model, which is built when the first chunk comes.

    Args:
        work (Work): What is asked.
    """

    def __init__(self, work: Work) -> None:
        self.work = work

    @cached_property
    def inferencer(self) -> XDecoderInferencer:
        """The model."""
        return XDecoderInferencer(self.work.model, self.work.weights, self.work.device, precision=self.work.precision)

    @cached_property
    def embedder(self) -> Embedder:
        """What embeds images, with that model."""
        from xdet.retrieval.embedding import Embedder

        return Embedder(self.inferencer)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """For Ray Data: a batch of one chunk becomes a batch of one receipt."""
        (content,) = batch['chunk']
        chunk: Chunk = pickle.loads(content)  # made by `_on_ray`
        # Ray begins again what a dead worker had begun, for ever; what no process survives must end the run.
        begun = Path(self.work.out_dir, f'.begun-{chunk.number:08d}')
        receipt: dict[str, Any] = {}
        try:
            with open(begun, 'ab') as file:
                file.write(b'.')
            if begun.stat().st_size > _TRIES:
                raise RuntimeError(
                    f'{_TRIES} workers ended without a word at images {chunk.first} to {chunk.first + chunk.count - 1}'
                    f", the first is '{next(chunk.names())}'; they may need more memory than there is"
                )
            receipt['failed'] = self.run(chunk)
        except _FORESEEN as error:  # as data: Ray would bury it in errors of its own
            kind = next(kind for kind in _FORESEEN if isinstance(error, kind))
            receipt['error'] = [kind.__name__, cause(error)]
        begun.unlink(missing_ok=True)
        return dict(receipt=np.array([json.dumps(receipt)]))

    def run(self, chunk: Chunk) -> list[Row]:
        """Write the file of a chunk, unless it is there; returns the rows of images that gave no result.

        The same chunk gives the same file, so a worker may take up what another one has begun.

        Raises:
            OutputError: The file cannot be written.
        """
        path = Path(self.work.out_dir, part_name(chunk.number))
        failed = read_failures(path, chunk.count)
        if failed is not None:
            return failed
        embeds = self.work.task == EMBEDDING
        rows = list(self._embedded(chunk) if embeds else self._predicted(chunk))
        try:
            write_rows(path, rows, embeds)
        except OSError as error:
            raise OutputError(f"'{path}' cannot be written: {error.strerror or error}") from error
        return [_failure(row) for row in rows if 'error' in row]

    def _predicted(self, chunk: Chunk) -> Iterator[Row]:
        work = self.work
        items = self.inferencer.stream(iter(chunk.sources()), work.task, work.batch_size, **work.options)
        with hushed(logging.getLogger(reporting.__name__)):  # failures are told once, at the end of the run
            for place, item in enumerate(items):
                if isinstance(item.prediction, dict):
                    yield row_of(chunk.first + place, item.image, item.prediction)
                else:
                    yield dict(index=chunk.first + place, image=item.image, error=item.error)

    def _embedded(self, chunk: Chunk) -> Iterator[Row]:
        sources, size = chunk.sources(), self.work.batch_size
        for start in range(0, len(sources), size):
            part = sources[start : start + size]
            vectors, failed = self.embedder.images(part)
            found = iter(vectors)
            for place, source in enumerate(part):
                row: Row = dict(index=chunk.first + start + place, image=source.name)
                if place in failed:
                    yield dict(row, error=str(failed[place]))
                else:
                    decoder, backbone = next(found)
                    yield dict(row, decoder=decoder, backbone=backbone)


def run_bulk(
    images: str | Path | Sequence[str | Path],
    out_dir: str | Path,
    task: str = 'panoptic',
    model: str | None = None,
    weights: str | Path | None = None,
    device: str = 'auto',
    workers: int = 0,
    batch_size: int = 1,
    chunk_size: int = 64,
    image_column: str = 'image',
    address: str | None = None,
    cpus: float = 1.0,
    gpus: float = 0.0,
    resume: bool = False,
    show_progress: bool = False,
    precision: str | None = None,
    **options: Any,
) -> BulkResult:
    """Run a task on many images, with results in Parquet files: ``part-00000000.parquet`` and so on, in order.

    A file holds the results of one chunk and takes its place when it is complete. So a worker that dies loses nothing
    that is finished, another one begins its chunk again, and no image is there twice.

    Args:
        images (str | Path | Sequence[str | Path]): Image files, folders, patterns, tar shards (``.tar``) and Parquet
            files (``.parquet``); see :func:`~xdet.bulk.sources.find_chunks`. Workers must see them under these paths.
        out_dir (str | Path): New or empty folder, which all workers see.
        task (str): A task of :class:`XDecoderInferencer` but retrieval, or ``'embedding'``.
        model, weights, device, precision: As for :class:`XDecoderInferencer`.
        workers (int): Processes with a model each, on Ray; 0 is this process, without Ray.
        batch_size (int): Images per forward pass; results do not depend on it.
        chunk_size (int): Images per file.
        image_column (str): Column of Parquet files with the images.
        address (str, optional): Of a Ray cluster, ``'auto'`` for the one on this machine; None starts one here.
        cpus, gpus (float): What a worker takes of the cluster; it has as many threads as CPUs.
        resume (bool): Go on with the run that was interrupted in ``out_dir``.
        show_progress (bool): Show a progress bar.
        **options: Prompts, the same for all images, and settings, as for :meth:`XDecoderInferencer.stream`.

    Raises:
        FileNotFoundError, ImageReadError: There are no images, or no such model.
        ImportError: Ray or pyarrow is not installed.
        OutputError: The folder is not empty, or cannot be written.
        ResumeError: The run in ``out_dir`` was another one.
        RuntimeError: A chunk ends its workers, whoever takes it.
        TypeError, ValueError: Unusable prompts or options.
    """
    workers = number('workers', workers, int, 0)
    chunk_size = number('chunk_size', chunk_size, int, 1)
    batch_size = number('batch_size', batch_size, int, 1)
    cpus, gpus = number('cpus', cpus, float, 0.0), number('gpus', gpus, float, 0.0)
    _check(task, options)
    import_optional('pyarrow', 'writing results in Parquet', 'data')
    if workers:
        import_optional('ray', 'a run with workers above 0', 'ray')
    folder = expand(out_dir)
    chunks, problems = find_chunks(images, chunk_size, image_column, folder)
    spec = model_zoo.resolve_model(model, weights, False)
    used = precision or spec.cfg.model.get('precision', 'single')
    origin = Origin(spec.name, spec.weights, spec.knows, used).describe()
    facts = origin | dict(task=task, chunk_size=chunk_size, images=_digest(chunks), options=plain(options))
    weights = None if weights is None else str(weights)
    work = Work(model, weights, device, precision, task, batch_size, str(folder.absolute()), options)
    result = BulkResult(chunks[-1].first + chunks[-1].count, problems=problems)
    with _claimed(folder, facts, resume):
        todo = []
        for chunk in chunks:
            failed = read_failures(folder / part_name(chunk.number), chunk.count)
            if failed is None:
                todo.append(chunk)
            else:
                result.resumed += chunk.count
                result.failed += failed
        done = _on_ray(todo, work, workers, cpus, gpus, address) if workers and todo else _here(todo, work)
        for failed in progress(done, 'Chunks', len(todo), disable=not show_progress or not todo):
            result.failed += failed
    result.failed.sort(key=lambda row: row['index'])
    return result


def _check(task: str, options: Mapping[str, Any]) -> None:
    """Check without any model what can be."""
    given = [name for name in _NOT_HERE if options.get(name)]
    if given:
        raise ValueError(f'a bulk run takes no {given[0]}; its results are Parquet files')
    if task == EMBEDDING:
        if options:
            raise ValueError(f"task '{EMBEDDING}' takes no options, but {next(iter(options))} was given")
        return
    if task in TASK_FORMATS and TASK_FORMATS[task].ranks:
        raise ValueError(f"task '{task}' compares images with each other; embed them (task '{EMBEDDING}') instead")
    check_request(np.zeros((8, 8, 3), np.uint8), task, **options)


def _digest(chunks: Iterable[Chunk]) -> str:
    """Of the names of all images, in order."""
    digest = hashlib.sha256()
    for chunk in chunks:
        for name in chunk.names():
            digest.update(name.encode('utf-8', 'surrogateescape') + b'\0')
    return digest.hexdigest()


@contextmanager
def _claimed(folder: Path, facts: Mapping[str, Any], resume: bool) -> Iterator[None]:
    """The folder, for this run alone; a manifest in it says what decides about results."""
    where = f"'{shorten(str(folder))}'"
    facts = json.loads(json.dumps(facts))
    with ExitStack() as stack:
        try:
            there = folder.exists() and any(name != '.lock' for name in os.listdir(folder))
            stack.enter_context(locked(folder / '.lock', wait=False))
            if not resume and there:
                raise OutputError(f'{where} is not empty; give a new folder, or resume (--resume) the run in it')
            noted = read_json(folder / MANIFEST) if resume and (folder / MANIFEST).exists() else None
            if noted is None and there:
                raise ResumeError(f'{where} holds no bulk run ({MANIFEST} is missing); give a new folder')
            if noted is None:
                write_json(folder / MANIFEST, facts, indent=1)
        except BlockingIOError as error:
            raise OutputError(f'another process is writing into {where}') from error
        except OSError as error:
            if isinstance(error, OutputError):
                raise
            raise OutputError(f'output folder {where} cannot be written: {error.strerror or error}') from error
        noted = noted if isinstance(noted, dict) else facts
        for key in sorted(facts.keys() | noted.keys()):
            if facts.get(key) != noted.get(key):
                raise ResumeError(
                    f'the run in {where} cannot be continued: its {key} was {shown(noted.get(key))} and is now '
                    f'{shown(facts.get(key))}; choose another folder'
                )
        remove_forgotten(folder)
        for begun in folder.glob('.begun-*'):  # whoever resumes wants another try
            begun.unlink()
        yield


def _here(chunks: Iterable[Chunk], work: Work) -> Iterator[list[Row]]:
    """Failures of every chunk, as it is finished."""
    worker = Worker(work)
    for chunk in chunks:
        yield worker.run(chunk)


def _failure(row: Row) -> Row:
    return {key: row[key] for key in ('index', 'image', 'error')}


def _on_ray(
    chunks: Sequence[Chunk], work: Work, workers: int, cpus: float, gpus: float, address: str | None
) -> Iterator[list[Row]]:
    """Likewise, in any order, from actors of Ray Data, each with a model of its own."""
    os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')
    os.environ.setdefault('RAY_BACKEND_LOG_LEVEL', 'fatal')  # what it finds wrong it also raises
    import ray
    import ray.data
    import ray.exceptions

    workers = min(workers, len(chunks))
    own = not ray.is_initialized()
    if own:
        local: dict[str, Any] = dict(num_cpus=int(np.ceil(workers * cpus)) + 1, object_store_memory=2**28)
        ray.init(
            address, include_dashboard=False, log_to_driver=False, logging_level='ERROR', **({} if address else local)
        )
    try:
        resources: dict[str, float] = ray.cluster_resources()
        for name, each in dict(CPU=cpus, GPU=gpus).items():
            there = resources.get(name, 0.0)
            if workers * each > there:
                raise ValueError(
                    f'{workers} workers with {each:g} {name} each need {workers * each:g}, the cluster has {there:g}; '
                    'use fewer workers'
                )
        settings = ray.data.DataContext.get_current()
        settings.enable_progress_bars = False
        logging.getLogger('ray.data').setLevel(logging.ERROR)
        rows = [dict(chunk=pickle.dumps(chunk)) for chunk in chunks]
        receipts = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            Worker,
            fn_constructor_args=(work,),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=workers),
            num_cpus=cpus,
            num_gpus=gpus,
        )
        for row in receipts.iter_rows():
            receipt = json.loads(row['receipt'])
            if 'error' in receipt:
                name, message = receipt['error']
                raise next(kind for kind in _FORESEEN if kind.__name__ == name)(message)
            yield receipt['failed']
    except ray.exceptions.RayError as error:
        raise RuntimeError(
            f'the workers ended: {shorten(cause(getattr(error, "cause", None) or error), 500)}'
        ) from None
    finally:
        if own:
            ray.shutdown()
