"""Processes that run the stages of a model in one revision or another, for :mod:`stages`.

A worker runs this file, so it takes :mod:`stages_model` from beside it, and xdet from its own tree: ``PYTHONPATH``.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


class Worker:
    """Such a process, which imports xdet from ``tree``."""

    def __init__(self, tree: Path, settings: dict[str, Any]) -> None:
        environment = {**os.environ, 'PYTHONPATH': str(tree), 'OMP_NUM_THREADS': '1', 'MKL_NUM_THREADS': '1'}
        command = [sys.executable, '-W', 'ignore', __file__, json.dumps(settings)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=tree
        )
        self.stages: list[str] = self._answer()

    def ask(self, *order: str) -> Any:
        """What a method of :class:`stages_model.Stages` returns."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + '\n')
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End it."""
        self._process.communicate()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit('a measuring process ended; what it said stands above')
        return json.loads(line)


def unpack(revision: str, folder: Path) -> str:
    """Write the files of a revision into a folder; returns its full name."""
    try:
        verify = ['git', 'rev-parse', '--verify', f'{revision}^{{commit}}']
        name = subprocess.run(verify, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
        archive = subprocess.run(['git', 'archive', name], cwd=ROOT, check=True, capture_output=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, 'stderr', '') or error
        raise SystemExit(f'--against {revision}: no revision of this repository ({str(said).strip()})') from None
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter='data')
    return name


def work(settings: dict[str, Any]) -> None:
    """In a process of its own: does what it is told, line by line."""
    answers = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)  # what libraries print is no answer
    from stages_model import Stages  # here alone: the process that asks needs neither model nor xdet

    stages = Stages(**settings)
    print(json.dumps(list(stages.runs)), file=answers, flush=True)
    for line in sys.stdin:
        method, *arguments = json.loads(line)
        print(json.dumps(getattr(stages, method)(*arguments)), file=answers, flush=True)


if __name__ == '__main__':
    work(json.loads(sys.argv[1]))
