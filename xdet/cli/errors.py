"""Mistakes of users end in one line, not in a traceback."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from xdet.io.errors import cause

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
