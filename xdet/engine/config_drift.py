"""Tells what differs between the config of a training and the one it is resumed with."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

_RUN_ONLY = ('work_dir', 'resume', 'load_from', 'launcher', 'experiment_name')  # differ without changing the training
_SHOWN = 20


def config_drift(saved: str, current: str) -> list[str]:
    """Lines that were added to or removed from a config.

    Compared as text: a config from a checkpoint is Python code, which is never run.

    Args:
        saved (str): The config in the checkpoint, as MMEngine formats it (``Config.pretty_text``).
        current (str): The present one, formatted likewise.

    Returns:
        list[str]: ``'- old line'`` and ``'+ new line'``, at most the first 20 and a count of the rest.
    """
    before, after = ([line.rstrip() for line in _relevant(text)] for text in (saved, current))
    changes = [
        f'{line[0]} {line[1:].strip()}'
        for line in difflib.unified_diff(before, after, n=0, lineterm='')
        if line[0] in '+-' and not line.startswith(('+++', '---')) and line[1:].strip()
    ]
    rest = len(changes) - _SHOWN
    return changes if rest <= 0 else [*changes[:_SHOWN], f'... and {rest} more']


def _relevant(text: str) -> Iterator[str]:
    return (line for line in text.splitlines() if not line.startswith(tuple(f'{key} =' for key in _RUN_ONLY)))
