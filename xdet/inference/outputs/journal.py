"""Remembers which images of a run are finished, so that a run that was killed can be continued."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from xdet.io.locking import locked
from xdet.io.reading import shorten
from xdet.io.schema import shown
from xdet.io.writing import remove_unfinished

NAME = 'run.jsonl'


class ResumeError(ValueError):
    """A run cannot be continued; the message is one line for the user."""


class Journal:
    """``run.jsonl`` in the folder of results: a line with what decides about results, then one line per image.

    The line of an image is written *before* its files take their places, and holds their digest. So whenever a process
    ends, an image is finished if, and only if, its files have the digest of its line; no line is needed afterwards that
    could be missing. Files that somebody has changed or removed since are made again, and so are those of an image that
    has changed.

    Args:
        folder (Path): Where results lie.
        run (Mapping[str, Any]): What decides about results, see :func:`plain`.
        resume (bool): Go on with the run that is noted there. Without one, begin.

    Raises:
        BlockingIOError: Another process writes this journal.
        OSError: It cannot be written.
        ResumeError: The run that is noted there was another one.
    """

    def __init__(self, folder: Path, run: Mapping[str, Any], resume: bool) -> None:
        self.folder = folder
        self.path = folder / NAME
        self._lines: dict[int, int] = {}  # where the latest line of an image begins; texts of all would be large
        self._open = ExitStack()
        try:
            self._open.enter_context(locked(self.path, wait=False))
            self._file = self._open.enter_context(open(self.path, 'r+b', buffering=0))
            header = json.dumps(run, sort_keys=True).encode() + b'\n'
            if resume and (noted := self._read()) is not None:
                self._compare(noted, json.loads(header))
            else:
                self._lines.clear()
                self._file.truncate(0)
                self._append(header)
        except BaseException:
            self._open.close()
            raise

    def close(self) -> None:
        """Let others write."""
        self._open.close()

    def begin(self, index: int, image: str, stamp: Any, files: Mapping[str, str], contents: Sequence[bytes]) -> None:
        """Note the files of an image; they are written next.

        Args:
            index (int): Position of the image in the run.
            image (str): Its name.
            stamp (Any): What changes with the image, as JSON.
            files (Mapping[str, str]): Paths below the folder, by kind.
            contents (Sequence[bytes]): What they will hold, in this order.
        """
        digest = _digest(contents)
        self._append_json(dict(index=index, image=image, stamp=stamp, files=files, sha256=digest))

    def fail(self, index: int, image: str, error: str) -> None:
        """Note that an image gave no result; a continued run tries it again."""
        self._append_json(dict(index=index, image=image, error=error))

    def finished(self, index: int, image: str, stamp: Any) -> dict[str, Any] | None:
        """The prediction of an image that is finished, else None; unfinished files of it are removed."""
        if index not in self._lines:
            return None
        with open(self.path, 'rb') as file:
            file.seek(self._lines[index])
            entry = json.loads(file.readline())
        paths = {kind: self.folder / path for kind, path in entry.get('files', {}).items() if '..' not in path}
        if (entry['image'], entry.get('stamp')) == (image, stamp) and 'json' in paths:
            try:
                contents = {kind: path.read_bytes() for kind, path in paths.items()}
            except OSError:
                contents = {}
            if contents and _digest(list(contents.values())) == entry['sha256']:
                return json.loads(contents['json'])
        for path in paths.values():
            remove_unfinished(path)
        return None

    def _read(self) -> dict[str, Any] | None:
        """The first line, if there is a whole one; notes where the others begin and cuts off half of a last one."""
        start, header = 0, None
        with open(self.path, 'rb') as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b'\n'):
                    break
                try:
                    entry = json.loads(line)
                    if header is None:
                        header = dict(entry)
                    else:
                        self._lines[int(entry['index'])] = start
                except (KeyError, TypeError, ValueError) as error:
                    raise ResumeError(
                        f"'{shorten(str(self.path))}' is damaged in line {number}; start again without resume"
                    ) from error
                start += len(line)
        self._file.truncate(start)
        return header

    def _compare(self, noted: Mapping[str, Any], run: Mapping[str, Any]) -> None:
        for key in sorted(noted.keys() | run.keys()):
            if noted.get(key) != run.get(key):
                raise ResumeError(
                    f"the run in '{shorten(str(self.folder))}' cannot be continued: its {key} was "
                    f'{shown(noted.get(key))} and is now {shown(run.get(key))}; choose another folder, or start again '
                    'without resume'
                )

    def _append_json(self, entry: Mapping[str, Any]) -> None:
        self._append(json.dumps(entry).encode() + b'\n')

    def _append(self, line: bytes) -> None:
        self._file.seek(0, os.SEEK_END)
        self._file.write(line)


def plain(value: Any) -> Any:
    """What stands for an option in a journal: equal for equal options, in every process."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, 'detach'):
        value = value.detach().cpu().numpy()
    if hasattr(value, 'tobytes'):
        return f'{value.dtype} {list(value.shape)} {_digest([value.tobytes()])}'
    return repr(value)


def _digest(contents: Sequence[bytes]) -> str:
    digest = hashlib.sha256()
    for content in contents:
        digest.update(len(content).to_bytes(8, 'little'))
        digest.update(content)
    return digest.hexdigest()
