"""Mistakes of users end in one line, not in a traceback."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

DEBUG_VARIABLE = 'XDET_DEBUG'


@contextmanager
def one_line_errors(doing: str, *kinds: type[Exception]) -> Iterator[None]:
    """End the program with one line on standard error and exit status 1 when the body raises.

    Setting the environment variable ``XDET_DEBUG`` lets the exception through with its traceback.

    Args:
        doing (str): What the body does, for the message, such as ``'building the model of x.py'``.
        kinds (type[Exception]): Exceptions that mean a mistake of the user; none given means every exception.
    """
    accepted = kinds or (Exception,)
    try:
        yield
    except accepted as error:
        if os.environ.get(DEBUG_VARIABLE):
            raise
        raise SystemExit(f'error: {doing}: {cause(error)} ({DEBUG_VARIABLE}=1 shows the traceback)') from None


def cause(error: BaseException) -> str:
    """Message of an exception in one line, with its class where the message alone says little."""
    # A KeyError shows its argument in quotes, which doubles those of a whole sentence.
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    if 'Original Traceback (most recent call last):' in lines:  # raised in a worker process of a data loader
        return lines[-1]
    line = ' '.join(lines)
    return line if ' ' in line else f'{type(error).__name__}: {line}'
