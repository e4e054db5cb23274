"""What the tools in ``tools/dataset_converters`` share: they go on where they stopped, show progress, and check what
they made.

A conversion is a list of items, usually images, each of which becomes some files and a record. A journal next to the
result remembers the finished ones, so a run that was killed loses at most the items it was working on. At the end all
files are counted and hashed into a list that ``sha256sum -c`` reads, and a later run checks them against it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xdet.io.locking import locked
from xdet.io.reading import file_sha256
from xdet.io.terminal import progress, tell
from xdet.io.writing import write_text

Record = dict[str, Any]
"""What an item leaves behind: ``files``, paths relative to the root, and whatever the final step needs; JSON types."""


@dataclass(frozen=True)
class Summary:
    """What a conversion made.

    Attributes:
        files (int): Number of files.
        size (int): Their bytes.
        digest (str): SHA-256 of the list of file names and hashes, by which two results can be compared.
    """

    files: int
    size: int
    digest: str

    def __str__(self) -> str:
        return f'{self.files} files, {self.size / 2**20:.1f} MiB, sha256 of the list {self.digest[:16]}'


class Conversion:
    """One conversion into folder ``root``.

    Args:
        root (Path): Folder of the result; paths of files are relative to it.
        name (str): Names the list of hashes, ``<name>.sha256``, and the journal, ``.<name>.journal``.
        processes (int): Worker processes; 1 converts in this one.
        dry_run (bool): Only say what would be done.
        overwrite (bool): Convert everything again.
    """

    def __init__(
        self, root: Path, name: str, *, processes: int = 1, dry_run: bool = False, overwrite: bool = False
    ) -> None:
        if processes < 1:
            raise ValueError(f'processes is {processes}; it must be at least 1')
        self.root = Path(root)
        self.name = name
        self.processes = processes
        self.dry_run = dry_run
        self.overwrite = overwrite
        self.list_file = self.root / f'{name}.sha256'
        self.journal = self.root / f'.{name}.journal'

    def run(
        self,
        items: Mapping[str, Any],
        convert: Callable[[Any], Record],
        finish: Callable[[dict[str, Record]], Iterable[str]] = lambda records: (),
    ) -> Summary | None:
        """Convert what is not converted yet, then check everything.

        Args:
            items (Mapping[str, Any]): Argument of ``convert`` by the name of the item.
            convert (Callable): Writes the files of one item (:func:`write_image` and the like leave no half-written
                ones) and returns its record. With several processes it must be picklable.
            finish (Callable): Gets all records in the order of the items, writes what is made of them together, and
                returns the relative paths of these files.

        Returns:
            Summary | None: What there is now; None of a dry run.

        Raises:
            ValueError: There are no items, an item cannot be converted, or files are missing or were changed since.
        """
        if not items:
            raise ValueError(f'{self.name}: there is nothing to convert')
        if self.list_file.is_file() and not self.overwrite:
            tell(f'{self.list_file} exists: its files are checked; --overwrite converts again')
            return None if self.dry_run else self.check()
        if self.dry_run:
            todo = len(items) - len(self._read_journal(items))
            tell(f'{self.name}: {todo} of {len(items)} items would be converted into {self.root}')
            return None
        lock = self.root / f'.{self.name}.lock'
        try:
            with locked(lock, wait=False):
                summary = self._run_alone(items, convert, finish)
        except BlockingIOError:
            told = f'{self.name}: another process converts into {self.root}; wait until that has ended'
            raise ValueError(told) from None
        lock.unlink(missing_ok=True)
        return summary

    def _run_alone(
        self,
        items: Mapping[str, Any],
        convert: Callable[[Any], Record],
        finish: Callable[[dict[str, Record]], Iterable[str]],
    ) -> Summary:
        records = self._read_journal(items)
        todo = {key: item for key, item in items.items() if key not in records}
        # Written anew, without what a killed run left half-written or that does not belong to these items.
        write_text(self.journal, ''.join(map(_journal_line, records.items())))
        with self.journal.open('a', encoding='utf-8') as journal:
            for key, record in progress(self._converted(todo, convert), self.name, len(todo)):
                records[key] = record
                journal.write(_journal_line((key, record)))
                journal.flush()
        ordered = {key: records[key] for key in items}
        made = [*(path for record in ordered.values() for path in record['files']), *finish(ordered)]
        summary = self._write_list(made)
        self.journal.unlink()
        return summary

    def check(self) -> Summary:
        """Compare the files with the list of an earlier run.

        Raises:
            ValueError: A file is missing or was changed.
        """
        lines = self.list_file.read_text(encoding='utf-8').splitlines()
        listed = {path: digest for digest, path in (line.split('  ', 1) for line in lines)}
        for path, digest in progress(listed.items(), f'{self.name}: checking'):
            if not (self.root / path).is_file():
                raise ValueError(f'{self.root / path}: is listed in {self.list_file} but missing; use --overwrite')
            if file_sha256(self.root / path) != digest:
                raise ValueError(f'{self.root / path}: differs from {self.list_file}; use --overwrite')
        return self._summary(listed)

    def _converted(self, todo: Mapping[str, Any], convert: Callable[[Any], Record]) -> Iterator[tuple[str, Record]]:
        if self.processes == 1:
            yield from ((key, convert(item)) for key, item in todo.items())
            return
        # Ctrl-C in a terminal reaches all processes; this one alone tells it.
        with ProcessPoolExecutor(self.processes, None, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
            futures = {pool.submit(convert, item): key for key, item in todo.items()}
            try:
                for future in as_completed(futures):
                    yield futures[future], future.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def _read_journal(self, items: Mapping[str, Any]) -> dict[str, Record]:
        """Records of items that are finished and whose files are still there."""
        records: dict[str, Record] = {}
        if self.journal.is_file() and not self.overwrite:
            for line in self.journal.read_text(encoding='utf-8').splitlines():
                try:
                    key, record = json.loads(line)
                except ValueError:  # the run was killed while it wrote this line
                    continue
                if key in items and all((self.root / path).is_file() for path in record['files']):
                    records[key] = record
        return records

    def _write_list(self, paths: Iterable[str]) -> Summary:
        hashes = {path: file_sha256(self.root / path) for path in progress(sorted(paths), f'{self.name}: checking')}
        write_text(self.list_file, ''.join(f'{digest}  {path}\n' for path, digest in hashes.items()))
        return self._summary(hashes)

    def _summary(self, hashes: Mapping[str, str]) -> Summary:
        text = ''.join(f'{digest}  {path}\n' for path, digest in sorted(hashes.items()))
        size = sum((self.root / path).stat().st_size for path in hashes)
        return Summary(len(hashes), size, hashlib.sha256(text.encode()).hexdigest())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of every converter."""
    parser.add_argument('--processes', type=int, default=1, help='worker processes (default 1)')
    parser.add_argument('--dry-run', action='store_true', help='say what would be done and write nothing')
    parser.add_argument('--overwrite', action='store_true', help='convert again what is there already')


def run_conversion(
    args: argparse.Namespace,
    root: Path,
    name: str,
    items: Mapping[str, Any],
    convert: Callable[[Any], Record],
    finish: Callable[[dict[str, Record]], Iterable[str]] = lambda records: (),
    split: str = '',
) -> None:
    """Convert with the options of :func:`add_arguments` and print what there is now, of ``split`` if that is given.

    Arguments and errors are those of :class:`Conversion` and :meth:`Conversion.run`.
    """
    conversion = Conversion(root, name, processes=args.processes, dry_run=args.dry_run, overwrite=args.overwrite)
    if summary := conversion.run(items, convert, finish):
        tell(f'{split}: {len(items)} images; {summary}' if split else summary)


def _journal_line(entry: tuple[str, Record]) -> str:
    return json.dumps(entry) + '\n'
