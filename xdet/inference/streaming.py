"""Three stages in a row: read ahead, compute, write behind."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

DEPTH = 2
"""Batches that wait before and after the computation; memory holds these and the one in work."""

_Batch = TypeVar('_Batch')
_Read = TypeVar('_Read')
_Computed = TypeVar('_Computed')
_Written = TypeVar('_Written')


def staged(
    batches: Iterable[_Batch],
    read: Callable[[_Batch], _Read],
    compute: Callable[[_Read], _Computed],
    write: Callable[[_Computed], _Written],
) -> Generator[_Written, None, None]:
    """``write(compute(read(batch)))`` of every batch, in order, while the neighbours are read and written.

    ``read`` runs in a thread of its own and ``write`` in another; ``compute``, and the iteration over ``batches``, in
    the caller's, because a device and the modes of torch belong to a thread. Whoever stops early (a break, an error,
    Ctrl-C) still gets written what was computed, and no thread stays.

    Raises:
        Exception: What one of the stages raised, at its place in the order.
    """
    reading: deque[Future[_Read]] = deque()
    writing: deque[Future[_Written]] = deque()
    todo = iter(batches)
    with ThreadPoolExecutor(1, 'xdet-read') as reader, ThreadPoolExecutor(1, 'xdet-write') as writer:

        def read_ahead() -> None:
            while len(reading) < DEPTH:
                for batch in todo:
                    reading.append(reader.submit(read, batch))
                    break
                else:
                    return

        try:
            read_ahead()
            while reading:
                try:
                    batch = reading.popleft().result()
                    read_ahead()
                    writing.append(writer.submit(write, compute(batch)))
                    del batch
                except Exception as error:  # raised below, after the results of those before
                    writing.append(Future())
                    writing[-1].set_exception(error)
                    break
                while writing and (len(writing) > DEPTH or writing[0].done()):
                    yield writing.popleft().result()
            while writing:
                yield writing.popleft().result()
        finally:
            for future in reading:
                future.cancel()
