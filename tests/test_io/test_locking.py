"""One process at a time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from xdet.io.locking import locked


def test_lock_is_held_and_ends_with_its_process(tmp_path: Path) -> None:
    def hold() -> None:
        with locked(tmp_path / 'a' / '.lock', wait=True):
            (tmp_path / 'held').touch()
            time.sleep(60)

    process = multiprocessing.get_context('fork').Process(target=hold)
    process.start()
    while not (tmp_path / 'held').exists():
        time.sleep(0.01)
    with pytest.raises(BlockingIOError), locked(tmp_path / 'a' / '.lock', wait=False):
        pass
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with locked(tmp_path / 'a' / '.lock', wait=True):
        pass
