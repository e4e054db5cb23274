"""How every program begins and ends: empty arguments, streams that take nothing, exit codes. Standard library only."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TextIO

from xdet.io.terminal import PlainRecord, plain, tell

_DEBUG = 'XDET_DEBUG'


def run_program(main: Callable[[], int | None], name: str = '', arguments: Sequence[str] | None = None) -> int:
    """Run a program; every command of ``xdet`` and every program of ``tools/`` and ``demo/`` runs through here.

    What it was given is looked at first, and what it printed is sent at the end, while errors can still be told. A
    reader that has seen enough (``xdet models | head -1``) ends it silently with code 1, standard output that is full
    or broken with one line and code 2; streams that are closed take nothing. Ctrl-C, SIGTERM and SIGHUP end it with one
    line and code 130.
    Messages, those of loggers too, hold nothing that a terminal obeys.

    Args:
        main (Callable): The program, which returns its exit code; None means 0. A ``SystemExit`` passes.
        name (str): For messages (default: that of the running script).
        arguments (Sequence[str], optional): What it was given (default: that of the running script).

    Returns:
        int: The exit code.
    """
    name = name or os.path.basename(sys.argv[0])
    for stream in ('stdout', 'stderr'):
        if getattr(sys, stream) is None:  # closed by the caller; files that are opened must not get its number
            setattr(sys, stream, open(os.devnull, 'w', encoding='utf-8'))
    if empty := _empty(sys.argv[1:] if arguments is None else arguments):
        tell(f'error: {name}: {empty} is empty; give it a value, or leave it out', error=True)
        return 2
    logging.setLogRecordFactory(PlainRecord)
    try:
        with _stopped_as_by_ctrl_c():
            code = _run(main, name)
    except SystemExit as ended:
        if isinstance(ended.code, str):
            ended.code = plain(ended.code)
        if unsent := _send(name if not ended.code else ''):
            return ended.code if isinstance(ended.code, int) and ended.code else unsent
        raise
    unsent = _send(name if not code else '')
    return code or unsent


def _run(main: Callable[[], int | None], name: str) -> int:
    try:
        return main() or 0
    except BrokenPipeError:
        return 1
    except (ImportError, OSError) as error:  # of a package that is missing; of the system, where nobody foresaw it
        if os.environ.get(_DEBUG):
            raise
        tell(f'error: {name}: {" ".join(str(error).split())}', error=True)
        return 2
    except (Exception, KeyboardInterrupt) as error:
        if not was_interrupted(error) or os.environ.get(_DEBUG):
            raise
        tell('interrupted', error=True)
        return 130


def was_interrupted(error: BaseException | None) -> bool:
    """Whether it is Ctrl-C, or what a library made of it; that a disk is full meanwhile is still told."""
    while error is not None and not isinstance(error, (KeyboardInterrupt, OSError)):
        error = error.__cause__ or error.__context__
    return isinstance(error, KeyboardInterrupt)


@contextmanager
def _stopped_as_by_ctrl_c() -> Iterator[None]:
    """What asks a process to end (SIGTERM) or takes its terminal away (SIGHUP) is told and cleaned up after, too.

    A second signal ends the process at once. A rank of a distributed run, which may wait for others where Python gets
    no word, and programs that have said what signals mean to them are left alone.
    """
    owner = os.getpid()

    def stop(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        if os.getpid() != owner:  # a worker that inherited this: it ends as workers do
            os.kill(os.getpid(), number)
        raise KeyboardInterrupt

    ours = []
    if threading.current_thread() is threading.main_thread() and 'WORLD_SIZE' not in os.environ:
        names = [getattr(signal, name) for name in ('SIGTERM', 'SIGHUP') if hasattr(signal, name)]
        ours = [number for number in names if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
        # What packages do at the end of the process would show a traceback; registered last, this runs first.
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_DFL)


def _send(name: str) -> int:
    """Send what was printed; returns the exit code. If a name is given, a failure is told."""
    code = 0
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            code = 1
            _drop(stream)
        except (OSError, ValueError) as error:
            code = 2
            _drop(stream)
            if name and stream is sys.stdout:
                reason = getattr(error, 'strerror', None) or error
                tell(f'error: {name}: cannot print: {reason}', error=True)
    return code


def _drop(stream: TextIO) -> None:
    """Python sends what is left of a stream when it ends, and would show a traceback."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def _empty(words: Sequence[str]) -> str:
    """What was given without a value, most often one of a shell's variable that is not set."""
    for place, word in enumerate(words):
        if not word.strip():
            before = words[place - 1] if place else ''
            return before if before.startswith('--') else f'argument {place + 1}'
        if word.startswith('--') and word.endswith('=') and word.count('=') == 1:
            return word[:-1]
    return ''
