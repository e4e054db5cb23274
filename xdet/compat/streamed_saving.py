"""Checkpoints go to their file as they are made, where MMEngine first makes the whole file in memory."""

from __future__ import annotations

import functools
from pathlib import Path
from types import ModuleType
from typing import IO, Any, cast

import torch


def install_streamed_saving(module: ModuleType) -> None:
    """Let file backends that have ``writing(path)``, a file to write into, save checkpoints without a copy in memory.

    Args:
        module (ModuleType): ``mmengine.runner.checkpoint``.
    """
    from mmengine.fileio import get_file_backend

    whole = module.save_checkpoint

    @functools.wraps(whole)
    def save_checkpoint(
        checkpoint: dict[str, Any], filename: str | Path, file_client_args: Any = None, backend_args: Any = None
    ) -> None:
        name = str(filename)
        streaming = backend_args is not None and file_client_args is None
        backend = get_file_backend(name, backend_args=backend_args) if streaming else None
        if backend is not None and hasattr(backend, 'writing'):
            with backend.writing(name) as file:
                _save(checkpoint, file)
        else:
            whole(checkpoint, filename, file_client_args, backend_args)

    setattr(module, whole.__name__, save_checkpoint)


def _save(checkpoint: dict[str, Any], file: IO[bytes]) -> None:
    """``torch.save``, which hides the error of a file behind one of its own."""
    noting = _Noting(file)
    try:
        torch.save(checkpoint, cast(IO[bytes], noting))
    except RuntimeError as error:
        raise noting.error or error from None


class _Noting:
    """A file that remembers why it could not be written."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.flush = file, file.flush
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return self.file.write(data)
        except OSError as error:
            self.error = error
            raise
