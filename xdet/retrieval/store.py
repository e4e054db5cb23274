"""Embeddings on disk: shards of rows and a manifest that says what they are. Whatever happens, it stays readable."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xdet.io.locking import locked
from xdet.io.reading import UnreadableError, expand, read_json, shorten
from xdet.io.schema import require, shown
from xdet.io.writing import make_folder, remove_forgotten, replacing, write_text

FORMAT = 'xdet-retrieval-index'
VERSION = 1
MANIFEST = 'manifest.json'
_LOCK = '.lock'
_SHARD = re.compile(r'embeddings-(\d{1,12})(?:-[0-9a-f]+)?\.npy')
_MANIFEST_KINDS = dict(kind=str, shape=list, fingerprint=str, pipeline=list, complete=bool, shards=list, items=list)
_SECONDS_BETWEEN_SAVES = 30.0
_FORGOTTEN_AFTER = 3600  # seconds
_LONGEST_PATH = 4096  # bytes, of Linux; elsewhere it is less

Item = dict[str, Any]


class RetrievalIndexError(ValueError):
    """A saved index is missing, damaged, of another model, or cannot be written; the message is one line."""


def usable(rows: np.ndarray) -> bool:
    """Whether all vectors can be compared: finite numbers, not all of them zero."""
    return bool(np.isfinite(rows).all() and rows.any(axis=-1).all())


def _checksum(table: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(table).data)


def _is_inside(path: str) -> bool:
    return not Path(path).is_absolute() and '..' not in Path(path).parts and '\0' not in path


@dataclass(frozen=True)
class Signature:
    """What embeddings depend on: only those with equal signatures may be compared or kept in one index.

    Attributes:
        kind (str): ``'images'`` or ``'texts'``.
        shape (tuple[int, ...]): Of one row: ``(2, C)`` for images (decoder, backbone), ``(C,)`` for texts.
        fingerprint (str): Hash of the weights and the configuration of the model.
        pipeline (list[dict]): Transforms from an image to the network's input, as plain JSON; empty for texts.
    """

    kind: str
    shape: tuple[int, ...]
    fingerprint: str
    pipeline: list[dict]

    def check(self, saved: Mapping[str, Any], directory: Path) -> None:
        """Raise :class:`RetrievalIndexError` unless the manifest of a saved index has this signature."""
        where = f"index '{directory}'"
        if saved['kind'] != self.kind:
            raise RetrievalIndexError(f'{where} holds {saved["kind"]}, not {self.kind}')
        if saved['fingerprint'] != self.fingerprint or tuple(saved['shape']) != self.shape:
            raise RetrievalIndexError(
                f'{where} was built with other weights or another configuration of the model (fingerprint '
                f'{saved["fingerprint"][:12]}, that of this model is {self.fingerprint[:12]}); build a new one in '
                'another folder'
            )
        if saved['pipeline'] != self.pipeline:
            raise RetrievalIndexError(
                f'{where} was built with the pipeline {json.dumps(saved["pipeline"])}, not with '
                f'{json.dumps(self.pipeline)}; use the same one, or build a new index in another folder'
            )


class EmbeddingStore:
    """Rows of embeddings by key, kept in a folder.

    The folder holds ``manifest.json`` and the ``.npy`` shards it names. New rows go into a new shard, whose name no
    other has; the manifest is replaced as a whole after it, so an interrupted run leaves the state of the last save.
    One process at a time may update a folder. Any number may read it meanwhile: a reader whose shards are gone because
    an update has joined them reads the manifest again.

    Args:
        directory (str | Path): The folder; may be missing.
        signature (Signature): What the embeddings depend on.

    Attributes:
        items (dict[str, dict]): What is known of every key; ``row`` is its row in the shards one after the other.
        facts (dict[str, Any]): Further entries of the manifest.
        complete (bool): Whether the last update ran to its end.

    Raises:
        RetrievalIndexError: There is an index with another signature, of a newer format, or a damaged one.
    """

    def __init__(self, directory: str | Path, signature: Signature) -> None:
        if directory == '':  # would be the working directory
            raise RetrievalIndexError("the folder of the index is ''; accepted are names of folders")
        try:
            self.directory = expand(directory)
        except ValueError as error:
            raise RetrievalIndexError(f'index {error}') from error
        if len(os.fsencode(self.directory)) >= _LONGEST_PATH:  # else errors of the system repeat all of it
            raise RetrievalIndexError(f"index '{shorten(str(directory))}': the path is too long")
        self.signature = signature
        self.items: dict[str, Item] = {}
        self.facts: dict[str, Any] = {}
        self._saved_facts: dict[str, Any] = {}
        self.complete = True
        self._shards: list[dict[str, Any]] = []
        self._new: list[np.ndarray] = []
        self._replaced: set[str] = set()
        self._foreign: set[str] = set()
        self._saved_at = time.monotonic()
        self._is_alone = False
        if (self.directory / MANIFEST).exists():
            self._read()

    @property
    def exists(self) -> bool:
        """Whether something has been saved."""
        return (self.directory / MANIFEST).is_file()

    def update(
        self,
        wanted: Mapping[str, Item],
        unchanged: Callable[[Item, Item], bool],
        embed: Callable[[list[str]], dict[str, np.ndarray]],
        batches: Callable[[list[str]], Iterator[list[str]]],
    ) -> None:
        """Make the store hold the wanted keys and no others, embedding only what is new or changed.

        What was embedded is saved every half minute and also when ``embed`` raises.

        Args:
            wanted (Mapping[str, dict]): Keys with what is known of them, in the order that rows shall have.
            unchanged (Callable): Saved item, wanted item -> whether the row is still valid.
            embed (Callable): Keys -> rows by key; keys that cannot be embedded are absent.
            batches (Callable): Keys to embed -> batches of them.

        Raises:
            RetrievalIndexError: The folder cannot be written, or another process updates it.
        """
        with self.alone():
            kept = {
                key: self.items[key] for key in wanted if key in self.items and unchanged(self.items[key], wanted[key])
            }
            todo = [key for key in wanted if key not in kept]
            items = {key: dict(wanted[key], row=item['row']) for key, item in kept.items()}
            is_current = self.facts == self._saved_facts and list(items.items()) == list(self.items.items())
            if self.exists and self.complete and is_current and not todo:
                return
            self.items, self.complete = items, False
            self.save()  # before the first batch, so that a folder that cannot be written costs no work
            try:
                for batch in batches(todo):
                    for key, row in embed(batch).items():
                        if not usable(row):
                            raise RetrievalIndexError(f"the embedding of '{shorten(key)}' is zero or not finite")
                        self.items[key] = dict(wanted[key], row=self._count)
                        self._new.append(row)
                    if time.monotonic() - self._saved_at > _SECONDS_BETWEEN_SAVES:
                        self.save()
            finally:
                self.save()
            self._compact([key for key in wanted if key in self.items])

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes from updating the folder, and see what they did before; may be nested.

        Raises:
            RetrievalIndexError: Another process updates it, or it cannot be written.
        """
        if self._is_alone:
            yield
            return
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(locked(self.directory / _LOCK, wait=False))
            except BlockingIOError:
                raise RetrievalIndexError(
                    f"index '{self.directory}' is being updated by another process; wait until that has ended"
                ) from None
            except OSError as error:
                raise RetrievalIndexError(
                    f"index '{self.directory}' cannot be written: {error.strerror or error}"
                ) from error
            if self.exists:
                facts, known = self.facts, {shard['file'] for shard in self._shards}
                self._read()
                self.facts = facts or self.facts
                # Where there are no locks, who wrote these may go on; they are removed when they are old.
                self._foreign = {shard['file'] for shard in self._shards} - known
            self._is_alone = True
            try:
                yield
            finally:
                self._is_alone = False

    def rows(self) -> np.ndarray:
        """Embeddings float32 ``[n, *shape]`` of all items in their order.

        Raises:
            RetrievalIndexError: A shard is missing or damaged.
        """
        try:
            return self._rows()
        except RetrievalIndexError:
            # An update may have joined the shards since the manifest was read; whoever updates knows better.
            if self._is_alone or self._new or not self.exists:
                raise
            named = self._shards
            self._read()
            if self._shards == named:
                raise
            return self._rows()

    def _rows(self) -> np.ndarray:
        rows = [item['row'] for item in self.items.values()]
        shards = [self._shard(shard) for shard in self._shards]
        if self._new:
            shards.append(np.stack(self._new))
        if len(shards) == 1 and rows == list(range(len(shards[0]))):
            return shards[0]
        return np.concatenate([np.zeros((0, *self.signature.shape), np.float32), *shards])[rows]

    def save(self) -> None:
        """Write new rows as a shard, then the manifest.

        Raises:
            RetrievalIndexError: The folder cannot be written.
        """
        with self._writing():
            make_folder(self.directory)
            if self._new:
                self._shards.append(self._write_shard(np.stack(self._new)))
                self._new.clear()
            self._write_manifest()
        self._saved_at = time.monotonic()

    @property
    def _count(self) -> int:
        """Rows so far, those of dropped items included."""
        return sum(shard['rows'] for shard in self._shards) + len(self._new)

    def _compact(self, order: list[str]) -> None:
        """Bring all rows into one shard in the given order; the old shards go after the manifest names the new one."""
        self.items = {key: self.items[key] for key in order}
        rows = [item['row'] for item in self.items.values()]
        if rows != list(range(self._count)) or len(self._shards) > 1:
            table = self._rows()
            for row, item in enumerate(self.items.values()):
                item['row'] = row
            self._replaced.update(shard['file'] for shard in self._shards)
            with self._writing():
                self._shards = [self._write_shard(table)] if rows else []
        self.complete = True
        self.save()
        # What others wrote stays, unless nobody can be writing it any more.
        named = {shard['file'] for shard in self._shards}
        for name in self._replaced - named - self._foreign:
            (self.directory / name).unlink(missing_ok=True)
        self._replaced.clear()
        remove_forgotten(self.directory, 'embeddings-*')
        for file in self.directory.glob('embeddings-*.npy'):
            if file.name not in named and time.time() - file.stat().st_mtime > _FORGOTTEN_AFTER:
                file.unlink(missing_ok=True)

    def _write_shard(self, table: np.ndarray) -> dict[str, Any]:
        found = (_SHARD.fullmatch(path.name) for path in self.directory.glob('embeddings-*.npy'))
        numbers = [int(match[1]) for match in found if match]
        name = f'embeddings-{max(numbers, default=0) + 1:06d}-{uuid.uuid4().hex[:8]}.npy'
        with replacing(self.directory / name) as file:
            np.save(file, table)
        return dict(file=name, rows=len(table), crc32=_checksum(table))

    def _write_manifest(self) -> None:
        about = dict(format=FORMAT, version=VERSION, **asdict(self.signature), **self.facts, complete=self.complete)
        lines = [f'{json.dumps(key)}: {json.dumps(value)}' for key, value in about.items()]
        for name, rows in (
            ('shards', self._shards),
            ('items', [dict(key=key, **item) for key, item in self.items.items()]),
        ):
            lines.append(f'"{name}": [\n' + ',\n'.join(map(json.dumps, rows)) + '\n]')
        write_text(self.directory / MANIFEST, '{\n' + ',\n'.join(lines) + '\n}\n')

    def _read(self) -> None:
        path = self.directory / MANIFEST
        try:
            content = read_json(path)
            if not isinstance(content, dict) or content.get('format') != FORMAT:
                raise RetrievalIndexError(f"'{path}' is no manifest of an index (format {FORMAT})")
            if require(content, 'version', int, 'it') > VERSION:
                raise RetrievalIndexError(
                    f"index '{self.directory}' has format version {content['version']}; this version of xdet reads up "
                    f'to {VERSION}. Use a newer xdet'
                )
            for key, kind in _MANIFEST_KINDS.items():
                require(content, key, kind, 'it')
            root = require(content, 'root', str, 'it', default=None)
            if root is not None and (not root or '\0' in root):
                raise ValueError(f"'root' is {shown(root)}; it must be the path of a folder")
            self.signature.check(content, self.directory)
            self._shards, self.complete = content['shards'], bool(content['complete'])
            for shard in self._shards:
                if (
                    not _SHARD.fullmatch(require(shard, 'file', str, 'a shard'))
                    or require(shard, 'rows', int, 'a shard') < 0
                ):
                    raise ValueError(f'{shorten(repr(shard))} is no shard of this folder')
            self.items = {}
            for item in content['items']:
                self._add_item(item)
            rows = [item['row'] for item in self.items.values()]
            if rows and not 0 <= min(rows) <= max(rows) < self._count:
                raise ValueError('it names rows that no shard has')
        except RetrievalIndexError:
            raise
        except UnreadableError as error:
            raise RetrievalIndexError(f"index '{self.directory}' cannot be read: {error}") from error
        except OSError as error:
            raise RetrievalIndexError(f"index '{self.directory}' cannot be read: {error.strerror or error}") from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise RetrievalIndexError(
                f"manifest '{path}' is damaged ({shorten(str(error))}); build the index in another folder"
            ) from error
        known = {'format', 'version', 'complete', 'shards', 'items', *asdict(self.signature)}
        self.facts = {key: value for key, value in content.items() if key not in known}
        self._saved_facts = dict(self.facts)

    def _add_item(self, item: Any) -> None:
        key = require(item, 'key', str, 'an item')
        where = f"item '{shorten(key)}'"
        require(item, 'row', int, where)
        path = key
        if self.signature.kind == 'texts':
            path = require(item, 'path', str, where)
            require(item, 'line', int, where)
        if key in self.items or not _is_inside(path):
            raise ValueError(f'{where} is there twice, or lies outside of the collection')
        for name in ('size', 'mtime_ns'):
            require(item, name, int, where, default=None)
        self.items[key] = {name: value for name, value in item.items() if name != 'key'}

    def _shard(self, shard: dict[str, Any]) -> np.ndarray:
        path = self.directory / shard['file']
        try:
            if not path.is_file():
                raise ValueError('no such file')
            # Mapped first: a header that claims more than the file has is refused before memory is taken.
            table = np.load(path, allow_pickle=False, mmap_mode='r') if shard['rows'] else np.load(path)
            if table.shape != (shard['rows'], *self.signature.shape) or table.dtype != np.float32:
                raise ValueError(f'it holds {table.dtype} of shape {table.shape}')
            table = np.array(table)
            if shard.get('crc32') not in (None, _checksum(table)):  # indexes of earlier versions have none
                raise ValueError('their sum differs from that in the manifest')
            if not usable(table):
                raise ValueError('some are zero or not finite')
        except (OSError, ValueError, EOFError, OverflowError, MemoryError, SyntaxError) as error:
            raise RetrievalIndexError(
                f"embeddings '{path}' are missing or damaged ({shorten(str(error))}); open the index again, or "
                'build it in another folder'
            ) from error
        return table

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RetrievalIndexError(
                f"index '{self.directory}' cannot be written: {error.strerror or error}"
            ) from error
