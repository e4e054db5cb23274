"""What is shown in a terminal: texts of others cannot command it, end a line or hide what follows.

Names of files and classes may hold any character. Those that a terminal obeys are shown as JSON writes them, such as
``\\u001b``, so printed JSON stays JSON. The standard library is enough but for progress bars.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Generator, Iterable
from typing import TypeVar

_T = TypeVar('_T')

# Control characters but line ends and tabs; line ends that only some programs know; what turns the direction of text;
# halves of pairs, which stand for bytes of file names that are no text.
_OBEYED = re.compile('[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]')


def plain(text: str) -> str:
    """``text``, of any number of lines, with the characters that a terminal obeys written out."""
    return _OBEYED.sub(lambda found: f'\\u{ord(found[0]):04x}', text)


def tell(*lines: object, error: bool = False, flush: bool = False) -> None:
    """Print lines; whatever they hold, each of them stays one line.

    Args:
        lines (object): What to print; ``tell()`` prints an empty line.
        error (bool): Print to standard error.
        flush (bool): Send what was printed at once.
    """
    stream = sys.stderr if error else sys.stdout
    for line in lines or ('',):
        print(plain(str(line)).replace('\n', '\\n'), file=stream, flush=flush)


class PlainRecord(logging.LogRecord):
    """A record whose message is :func:`plain`, in terminals and in log files; formats may still bring colours."""

    def getMessage(self) -> str:  # noqa: N802  (its name in the standard library)
        """The message."""
        return plain(super().getMessage())


def progress(
    items: Iterable[_T], what: str, total: int | None = None, disable: bool = False
) -> Generator[_T, None, None]:
    """Yield ``items`` behind a progress bar on standard error.

    What is printed meanwhile goes where it belongs: above the bar in a terminal, else into the file or program that
    reads standard output.

    Args:
        items (Iterable): What is worked on.
        what (str): What is done.
        total (int, optional): How many there are, if ``items`` has no length.
        disable (bool): Show nothing.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = TextColumn('{task.description}', markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    screen = Console(stderr=True)
    with Progress(*columns, console=screen, redirect_stdout=sys.stdout.isatty(), disable=disable) as bar:
        yield from bar.track(items, total, description=what)
