"""What is wrong with annotations: the first mistake ends a conversion, a check collects them all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from xdet.io.errors import cause
from xdet.io.warnings import warn_once


@dataclass
class Problems:
    """Collects what readers find.

    Attributes:
        strict (bool): Whether mistakes are raised.
        errors (list[str]): Lines, each naming file, entry and field.
        left_out (dict[str, list[str]]): Names of entries that mean nothing, by the reason.
    """

    strict: bool = True
    errors: list[str] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    @contextmanager
    def entry(self) -> Iterator[None]:
        """The body reads one entry. What is wrong with it is raised, or noted and the entry left out."""
        try:
            yield
        except (OSError, ValueError) as error:
            if self.strict:
                raise
            self.errors.append(cause(error))

    def leave_out(self, reason: str, name: str) -> None:
        """Note that the entry called ``name`` is left out."""
        self.left_out[reason].append(name)

    def report(self) -> None:
        """Warn of what was left out, with one line per reason."""
        for reason, names in self.left_out.items():
            warn_once(f'{len(names)} left out that {reason}, first {names[0]}')
