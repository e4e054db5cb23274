"""Mistakes of users end in one line, not in a traceback."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from xdet.io.errors import cause
from xdet.io.reading import shorten
from xdet.io.terminal import tell

from .running import was_interrupted

DEBUG_VARIABLE = 'XDET_DEBUG'
_LONGEST = 3000


@contextmanager
def one_line_errors(doing: str, *kinds: type[Exception]) -> Iterator[None]:
    """End the program with one line on standard error and exit status 1 when the body raises.

    An exception that is no ImportError, OSError or ValueError may be a fault of a program, so the line says where it
    was raised. Being interrupted (Ctrl-C) ends in a line and exit status 130. Setting the environment variable
    ``XDET_DEBUG`` lets exceptions through with their traceback.

    Args:
        doing (str): What the body does, for the message, such as ``'building the model of x.py'``.
        kinds (type[Exception]): Exceptions that mean a mistake of the user; none given means every exception.
    """
    accepted: tuple[type[BaseException], ...] = (*(kinds or (Exception,)), KeyboardInterrupt)
    try:
        yield
    except BrokenPipeError:  # of a reader that has seen enough; no input is wrong
        raise
    except accepted as error:
        if shows_tracebacks():
            raise
        if was_interrupted(error):
            tell(f'interrupted: {doing}', error=True)
            raise SystemExit(130) from None
        where = '' if isinstance(error, (ImportError, OSError, ValueError)) else f', raised in {_place(error)}'
        line = shorten(cause(error), _LONGEST)
        raise SystemExit(f'error: {doing}: {line} ({DEBUG_VARIABLE}=1 shows the traceback{where})') from None


def shows_tracebacks() -> bool:
    """Whether the user wants tracebacks instead of lines."""
    return bool(os.environ.get(DEBUG_VARIABLE))


def exit_code(body: Callable[[], int], debug: bool = False, interrupted: str = 'interrupted') -> int:
    """Exit code of a program that works on images: that of ``body``, 2 after an error, 130 when interrupted.

    Args:
        body (Callable): The program. Every error that can be foreseen is one line on standard error.
        debug (bool): Let errors through with their traceback, as ``XDET_DEBUG`` does.
        interrupted (str): What to say when the user stops the program.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, 'reconfigure'):
            stream.reconfigure(errors='replace')  # a terminal may not know every letter of a phrase
    try:
        return body()
    except BrokenPipeError:  # of a reader that has seen enough; no input is wrong
        raise
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        if debug or shows_tracebacks():
            raise
        if was_interrupted(error):
            tell(interrupted, error=True)
            return 130
        tell(f'error: {" ".join(_told(error).split())}', error=True)
        return 2
    except KeyboardInterrupt:
        tell(interrupted, error=True)
        return 130


def add_debug(parser: argparse._ActionsContainer) -> None:
    """The option ``--debug`` that :func:`exit_code` and :func:`program` understand."""
    parser.add_argument('--debug', action='store_true', help='show the traceback of errors')


def _told(error: Exception) -> str:
    """The message; those of the system begin with what they are about, and without a number."""
    if not isinstance(error, OSError) or error.errno is None or not error.strerror:
        return str(error)
    if error.filename is None:  # most often that standard output is full or gone
        return f'{error.strerror} (while writing or printing)'
    names = [f"'{shorten(str(name))}'" for name in (error.filename, error.filename2) if name is not None]
    return f'{" -> ".join(names)}: {error.strerror}'


def program(
    parser: Callable[[str | None], argparse.ArgumentParser], run: Callable[[argparse.Namespace], int]
) -> Callable[..., int]:
    """The ``main(argv, prog)`` of a program that works on images; errors end it as :func:`exit_code` says.

    Args:
        parser (Callable): Makes the command line from the name of the program; with ``--debug`` if it has one.
        run (Callable): The program, which returns its exit code.
    """

    def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
        args = parser(prog).parse_args(argv)
        return exit_code(lambda: run(args), getattr(args, 'debug', False))

    return main


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f'{frames[-1].filename}:{frames[-1].lineno}' if frames else 'an unknown place'
