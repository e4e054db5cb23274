"""Locks between processes that write into one folder."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .writing import make_folder

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


@contextmanager
def locked(path: str | os.PathLike, wait: bool) -> Iterator[None]:
    """Hold the lock of a file, which is made and stays; the lock ends with the body, or with the process.

    Where the file system has no locks, the body runs without one.

    Args:
        path (str | PathLike): The file; its folder is made.
        wait (bool): Wait until nobody else holds the lock.

    Raises:
        BlockingIOError: Somebody else holds it, and ``wait`` is False.
        OSError: The file cannot be made.
    """
    make_folder(Path(path).parent)
    with open(path, 'ab') as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise
            except OSError as error:
                if error.errno not in _UNSUPPORTED:
                    raise
        yield
