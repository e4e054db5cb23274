"""Memory of this process in MiB, as Linux tells it; NaN where the system does not."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def memory(kind: str = 'VmRSS') -> float:
    """What it holds now: ``VmRSS``; without mapped files ``RssAnon``; at its highest ``VmHWM``."""
    try:
        lines = Path('/proc/self/status').read_text(encoding='utf-8').splitlines()
    except OSError:
        return math.nan
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f'{kind}:')), math.nan)


@contextmanager
def peak_memory() -> Iterator[list[float]]:
    """Puts into the list how much more than before was needed inside, at its highest."""
    peak, before = [math.nan], memory()
    try:
        Path('/proc/self/clear_refs').write_text('5')  # the highest value begins anew
    except OSError:
        before = math.nan
    yield peak
    peak[0] = memory('VmHWM') - before
