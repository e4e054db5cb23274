"""Runs the programs of tools/ on the tiny run."""

from __future__ import annotations

import importlib.util
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer

from xdet.visualization import XDetLocalVisualizer

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'tests' / 'tiny' / 'tiny_run.py'


def run_tool(name: str, *arguments: str | Path) -> None:
    """Run ``tools/<name>.py`` as :func:`run_script` does."""
    run_script(f'tools/{name}.py', *arguments)


def run_script(path: str, *arguments: str | Path) -> None:
    """Run a program of the repository in this process; raises the ``SystemExit`` of a failure."""
    forget_instances()
    script = str(ROOT / path)
    with mock.patch.object(sys, 'argv', [script, *map(str, arguments)]), mock.patch.dict(os.environ):
        try:
            runpy.run_path(script, run_name='__main__')
        except SystemExit as ended:
            if ended.code:
                raise


def load_script(path: str) -> Any:
    """A program of the repository as a module, by its path such as ``'demo/image_demo.py'``; nothing of it is run."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def forget_instances() -> None:
    """Forget what MMEngine remembers of earlier runs, as in a new process."""
    for manager in (DefaultScope, MessageHub, MMLogger, Visualizer, XDetLocalVisualizer):
        manager._instance_dict.clear()


def start(*command: str | Path, **variables: str) -> subprocess.Popen:
    """Start a program in its own process group, with xdet importable and one thread per process."""
    environment = {
        **os.environ,
        'OMP_NUM_THREADS': '1',
        'PYTHON': sys.executable,
        'PYTHONPATH': os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')]),
        **variables,
    }
    return subprocess.Popen(
        [*map(str, command)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def data_options(data: Path, *more: str) -> list[str]:
    """``--cfg-options`` that point the tiny run at its pictures."""
    datasets = ('train_dataloader.dataset.dataset', 'val_dataloader.dataset', 'test_dataloader.dataset')
    return ['--cfg-options', *(f'{dataset}.data_root={data}' for dataset in datasets), *more]
