"""Checkpoints that survive full disks and kills."""

from __future__ import annotations

import difflib
import inspect
import logging
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.logging import print_log
from mmengine.runner import Runner

from xdet.compat.checkpoint import CheckpointError, read_checkpoint
from xdet.io.reading import read_text
from xdet.io.schema import shown
from xdet.io.writing import remove_forgotten, replacing
from xdet.registry import HOOKS


class AtomicLocalBackend(LocalBackend):
    """Local files that are either written completely or not at all."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes, see :meth:`writing`."""
        with self.writing(filepath) as file:
            file.write(obj)

    @contextmanager
    def writing(self, filepath: str | Path) -> Iterator[IO[bytes]]:
        """A temporary file beside ``filepath`` to write into, which is renamed at the end.

        Raises:
            OSError: With the path and the space that is left; nothing was changed.
        """
        path = Path(filepath)
        try:
            with replacing(path) as file:
                yield file
        except OSError as error:
            raise OSError(
                f"'{path}' could not be written: {error.strerror}; {_free_mib(path.parent)} MiB are free. "
                'Files written before are untouched'
            ) from error


register_backend('atomic', AtomicLocalBackend, force=True)


_LONGEST_PATH = 4096


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """``CheckpointHook`` after whose failure there is always a checkpoint to resume from.

    Local checkpoints are written under a temporary name and renamed; older ones are removed after, not before, the new
    one is complete. Resuming without naming a file (``resume = True``) skips damaged files, with a message, and takes
    the newest good one. Arguments are those of ``CheckpointHook``.

    Raises:
        ValueError: An argument that nothing reads, or file names that are the same for all checkpoints.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.args:  # MMEngine passes them on, with the first checkpoint, to what refuses every one of them
            names = inspect.signature(CheckpointHook.__init__).parameters.keys() - {'self', 'kwargs'}
            close = difflib.get_close_matches(next(iter(self.args)), names, n=1)
            hint = f'did you mean {close[0]!r}?' if close else f'it has {", ".join(sorted(names))}'
            raise ValueError(f'checkpoint hook: there is no argument {", ".join(map(repr, self.args))}; {hint}')
        name, rules = self.filename_tmpl, kwargs.get('rule')
        if not isinstance(name, str) or name.count('{}') != 1:
            raise ValueError(
                f'checkpoint hook: filename_tmpl is {shown(name)}; it must hold {{}} where the number goes'
            )
        for rule in rules if isinstance(rules, (list, tuple)) else [rules]:
            if rule not in (None, 'greater', 'less'):
                raise ValueError(f"checkpoint hook: rule is {shown(rule)}; accepted are 'greater' and 'less'")

    def before_run(self, runner: Runner) -> None:
        """Choose the checkpoint of an automatic resume."""
        if runner._resume and runner._load_from is None:
            runner._load_from = newest_usable_checkpoint(runner.work_dir, self.out_dir)

    def before_train(self, runner: Runner) -> None:
        """Set up the storage."""
        if self.backend_args is None and self.file_client_args is None and '://' not in str(self.out_dir):
            self.backend_args = dict(backend='atomic')
        super().before_train(runner)
        if is_main_process():
            for folder in {runner.work_dir, self.out_dir}:
                if '://' not in str(folder):
                    remove_forgotten(Path(folder), '*.pth*')
        counts = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
        if not self.by_epoch and self.interval > 0 and self.interval % counts:
            runner.logger.warning(
                f'Checkpoints every {self.interval} iterations do not fall on the ends of gradient accumulation '
                f'({counts} iterations): resuming loses the gradients accumulated so far. Use a multiple of {counts}.'
            )

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        with self._removing_last():
            super()._save_checkpoint_with_step(runner, step, meta)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        with self._removing_last():
            super()._save_best_checkpoint(runner, metrics)

    @contextmanager
    def _removing_last(self) -> Iterator[None]:
        """Put off what the base class removes until everything has been written."""
        backend = self.file_backend
        self.file_backend = _LateRemoval(backend)
        try:
            yield
            self.file_backend.remove_now()
        finally:
            self.file_backend = backend


class _LateRemoval:
    """Stands for a file backend, but only notes what to remove."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._removals = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def remove(self, path: str) -> None:
        self._removals.append((self._backend.remove, path))

    def rmtree(self, path: str) -> None:
        self._removals.append((self._backend.rmtree, path))

    def remove_now(self) -> None:
        for remove, path in self._removals:
            remove(path)


def newest_usable_checkpoint(work_dir: str, out_dir: str | None = None) -> str | None:
    """Newest undamaged training checkpoint of a work directory; damaged ones are reported and passed over.

    Args:
        work_dir (str): Where ``last_checkpoint`` lies.
        out_dir (str, optional): Where the checkpoints lie, if elsewhere.

    Returns:
        str | None: Its path; None when there is no checkpoint at all.

    Raises:
        ValueError: There are checkpoints, but all of them are damaged.
    """
    last = _pointed_to(Path(work_dir, 'last_checkpoint'))
    if '://' in last:
        return last  # not a local file; the storage that holds it writes whole objects
    candidates = [Path(last)] if last else []
    directories = {Path(work_dir), *(path.parent for path in candidates)}
    if out_dir is not None:
        directories.add(Path(out_dir, Path(work_dir).name))
    found = [path for directory in directories for path in directory.glob('*.pth') if _step(path) is not None]
    candidates += sorted(set(found) - set(candidates), key=_step, reverse=True)
    damages = []
    for path in candidates:
        damage = _damage(path)
        if damage is None:
            if damages:
                print_log(
                    f'Skipped unusable checkpoints: {"; ".join(damages)}. Resuming from {path}.',
                    logger='current',
                    level=logging.WARNING,
                )
            return str(path)
        damages.append(f'{path} ({damage})')
    if damages:
        raise ValueError(f'no checkpoint to resume from is usable: {"; ".join(damages)}')
    return None


def _pointed_to(pointer: Path) -> str:
    """Path in a file ``last_checkpoint``; empty if there is none, or something else in it."""
    if not pointer.is_file():
        return ''
    try:
        last = read_text(pointer, max_bytes=_LONGEST_PATH).strip()
        if last and ('\n' in last or '\0' in last):
            raise ValueError(f'{pointer}: is no path')
    except (OSError, ValueError) as error:
        print_log(f'{error}; looking for checkpoints beside it', logger='current', level=logging.WARNING)
        return ''
    return last


def _step(path: Path) -> int | None:
    match = re.fullmatch(r'(?:iter|epoch)_(\d+)\.pth', path.name)
    return int(match[1]) if match else None


def _damage(path: Path) -> str | None:
    """What is wrong with a file of ``torch.save``, which is a zip archive with checksums."""
    if not path.is_file():
        return 'does not exist'
    try:
        read_checkpoint(path, 'meta')
    except CheckpointError as error:
        return ' '.join(str(error).split()) or type(error).__name__
    return None


def _free_mib(directory: Path) -> str:
    try:
        return f'{shutil.disk_usage(directory).free / 2**20:.1f}'
    except OSError:
        return 'an unknown number of'
