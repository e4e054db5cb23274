"""Bulk runs on a local Ray of two workers (make test-ray)."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from test_bulk.conftest import ASKED, write_shard

from xdet.apis import run_bulk

pytest.importorskip('ray', reason='Ray is not installed: pip install "xdet[ray]"')
pytestmark = pytest.mark.ray

CHUNKS = 12


@pytest.fixture
def shard(tmp_path: Path, contents: list[bytes]) -> Path:
    """Many images, of which every fifth is damaged."""
    return write_shard(tmp_path / 'images.tar', contents * (2 * CHUNKS // 5 + 1))


@pytest.fixture(autouse=True)
def _as_important_as_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's workers let other processes go first, which takes for ever on a busy machine."""
    monkeypatch.setenv('RAY_worker_niceness', '0')


def actors() -> list[int]:
    """Processes that run a worker of Ray Data on this machine, by the title that Ray gives them."""
    found = []
    for path in Path('/proc').glob('[0-9]*'):
        try:
            title = (path / 'cmdline').read_bytes()
        except OSError:
            continue
        if title.startswith(b'ray::') and b'MapWorker' in title:
            found.append(int(path.name))
    return found


def test_equal_to_one_process_although_a_worker_is_killed(shard: Path, tmp_path: Path, saved: dict) -> None:
    alone = run_bulk(shard, tmp_path / 'alone', chunk_size=2, **saved, **ASKED)
    out, killed, finished = tmp_path / 'out', [], threading.Event()

    def kill_one() -> None:
        while not finished.wait(0.01):
            done = len(list(out.glob('part-*.parquet')))
            if done >= 2 and (pids := actors()):
                os.kill(pids[0], signal.SIGKILL)
                killed.append((pids[0], done))
                return

    killer = threading.Thread(target=kill_one)
    killer.start()
    try:
        result = run_bulk(shard, out, chunk_size=2, workers=2, **saved, **ASKED)
    finally:
        finished.set()
        killer.join()
    assert killed and killed[0][1] < len(list(out.glob('part-*.parquet'))), 'it died in the middle'
    wanted, found = (pq.read_table(folder).to_pylist() for folder in (tmp_path / 'alone', out))
    assert [row['index'] for row in found] == list(range(result.total))
    assert found == wanted and result.failed == alone.failed and len(result.failed) > 0
    others = {path.name for path in out.iterdir() if path.suffix != '.parquet'}
    assert {'_run.json', '.lock'} <= others and not [name for name in others if name.startswith('.begun')]


def test_errors_of_workers_are_lines(shard: Path, tmp_path: Path, saved: dict) -> None:
    (tmp_path / 'bad.pth').write_bytes(b'no weights')
    with pytest.raises(ValueError, match=r'bad\.pth'):
        run_bulk(shard, tmp_path / 'out', workers=1, **(saved | dict(weights=str(tmp_path / 'bad.pth'))), **ASKED)
    assert not list((tmp_path / 'out').glob('*.parquet'))
