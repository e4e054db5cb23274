"""Says once per file what of it is not used, and why."""

from __future__ import annotations

from xdet.io.warnings import warn_once


class LeftOut:
    """Counts what is left out of a file, by reason.

    Args:
        path (str): The file.
        what (str): What it has, in the plural.
    """

    def __init__(self, path: str, what: str) -> None:
        self.path = path
        self.what = what
        self._first: dict[str, str] = {}
        self._counts: dict[str, int] = {}

    def add(self, reason: str, name: str) -> None:
        """Count one, called ``name``, that is left out for ``reason``."""
        self._first.setdefault(reason, name)
        self._counts[reason] = self._counts.get(reason, 0) + 1

    @property
    def total(self) -> int:
        """How many are left out."""
        return sum(self._counts.values())

    def report(self, total: int) -> None:
        """Warn of what is left out of ``total``. A process says the same thing once, however many read the file."""
        if self.total:
            warn_once(f'{self} ({total} in all)')

    def __str__(self) -> str:
        reasons = (f'{count} {reason}, first {self._first[reason]}' for reason, count in self._counts.items())
        return f'{self.path}: {self.total} {self.what} are left out: {"; ".join(reasons)}'
