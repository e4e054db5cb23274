"""Starts the launcher scripts with forks of this process in place of new Pythons, which import everything again."""

from __future__ import annotations

import importlib
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch

from xdet.compat.quiet import quiet_imports
from xdet.registry import DATASETS, METRICS, MODELS, TRANSFORMS

from .tools import ROOT, forget_instances, start

TORCHRUN = 'torch.distributed.elastic.multiprocessing.subprocess_handler.subprocess_handler'
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def start_launcher(script: str, *arguments: str | Path, **variables: str) -> subprocess.Popen:
    """Start ``tools/SCRIPT`` and torchrun, which it calls; all that differs is how torchrun starts the ranks.

    A process of a rank has the name ``rank 0`` or so.
    """
    with quiet_imports():  # once, for all processes
        for name in ('torch.distributed.run', TORCHRUN, 'xdet.engine.runner', 'mmdet.models'):
            importlib.import_module(name)
        for registry in (MODELS, DATASETS, TRANSFORMS, METRICS):
            registry.import_from_location()
    return Forked(
        called_by('bash', f'tools/{script}', *arguments, **variables),
        cwd=ROOT,
        env={**os.environ, 'OMP_NUM_THREADS': '1', **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def called_by(*command: str | Path, **variables: str) -> list[str]:
    """What a script calls Python with."""
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder, 'python')
        python.write_text('#!/bin/sh\nprintf "%s\\0" "$0" "$@"\n')
        python.chmod(0o755)
        process = start(*command, **variables, PYTHON=str(python))
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    return output.split('\0')[:-1]


class Forked(subprocess.Popen):
    """``Popen([PYTHON, '-m', MODULE, ...])`` or ``Popen([PYTHON, FILE, ...])`` without starting another Python."""

    def _execute_child(self, args: Sequence[str], *more: Any) -> None:
        cwd, env, pipes = more[4], more[5], more[9:15]
        self.pid = os.fork()
        if self.pid == 0:
            _become(args, cwd, env, pipes[3], pipes[5])  # the ends for the output and the errors
        self._child_created = True
        self._close_pipe_fds(*pipes)


def _become(command: Sequence[str], cwd: Path | None, variables: Mapping[str, str] | None, *output: int) -> NoReturn:
    """Be the new process, until it ends."""
    status: Any = 1
    try:
        os.setsid()
        for source, target in zip(output, (1, 2), strict=True):
            if source != -1:
                os.dup2(source, target)
        sys.stdout, sys.stderr = (open(target, 'w', buffering=1, closefd=False) for target in (1, 2))  # noqa: SIM115
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        if cwd is not None:
            os.chdir(cwd)
        if variables is not None:
            os.environ.clear()
            os.environ.update(variables)
        _run(command[1:])
        for thread in {*threading.enumerate()} - {threading.current_thread()}:
            if not thread.daemon:
                thread.join()
        status = 0
    except SystemExit as end:
        status = end.code or 0
        if not isinstance(status, int):
            print(status, file=sys.stderr)
            status = 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _run(arguments: Sequence[str]) -> None:
    """Do what Python does with its arguments."""
    if 'RANK' in os.environ:
        Path('/proc/self/comm').write_text(f'rank {os.environ["RANK"]}')
    torch.set_num_threads(1)  # a forked process must not use its parent's thread pool
    importlib.import_module(TORCHRUN).Popen = Forked  # type: ignore[attr-defined]
    forget_instances()
    sys.argv = [*arguments][arguments[0] in ('-u', '-m') :]
    if arguments[0] == '-m':
        runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)
    else:
        runpy.run_path(sys.argv[0], run_name='__main__')
