"""Numbers about the server in the text format of Prometheus."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable

_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """Counts requests by endpoint and status, and their seconds. Used by the event loop only."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()
        self._buckets: Counter[tuple[str, float]] = Counter()
        self._seconds: Counter[str] = Counter()
        self._count: Counter[str] = Counter()

    def count(self, endpoint: str, status: int, seconds: float) -> None:
        """Note a request that has ended; ``endpoint`` is one of a fixed set."""
        self._requests[endpoint, status] += 1
        self._count[endpoint] += 1
        self._seconds[endpoint] += seconds  # type: ignore[assignment]
        for most in _BUCKETS:
            if seconds <= most:
                self._buckets[endpoint, most] += 1

    def text(self, gauges: Iterable[tuple[str, str, str, float]]) -> str:
        """All of it.

        Args:
            gauges (Iterable): Name, type, help and value of others.
        """
        lines = ['# HELP xdet_requests_total Requests by endpoint and status.', '# TYPE xdet_requests_total counter']
        for (endpoint, status), number in sorted(self._requests.items()):
            lines.append(f'xdet_requests_total{{endpoint="{endpoint}",status="{status}"}} {number}')
        name = 'xdet_request_seconds'
        lines += [f'# HELP {name} Time from the headers of a request to the end of its answer.']
        lines += [f'# TYPE {name} histogram']
        for endpoint in sorted(self._count):
            for most in _BUCKETS:
                lines.append(f'{name}_bucket{{endpoint="{endpoint}",le="{most:g}"}} {self._buckets[endpoint, most]}')
            lines.append(f'{name}_bucket{{endpoint="{endpoint}",le="+Inf"}} {self._count[endpoint]}')
            lines.append(f'{name}_sum{{endpoint="{endpoint}"}} {self._seconds[endpoint]:.6f}')
            lines.append(f'{name}_count{{endpoint="{endpoint}"}} {self._count[endpoint]}')
        for name, kind, help, value in gauges:
            lines += [f'# HELP {name} {help}', f'# TYPE {name} {kind}', f'{name} {value}']
        return '\n'.join(lines) + '\n'


def resident_bytes() -> int:
    """Memory of this process; 0 where the system does not say."""
    try:
        with open('/proc/self/statm', encoding='ascii') as file:
            return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')
    except (OSError, ValueError, IndexError):
        return 0
