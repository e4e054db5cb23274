"""Warnings about users' files, said once."""

from __future__ import annotations

import logging

from mmengine.logging import print_log

_reported: set[str] = set()


def warn_once(message: str) -> None:
    """Log a warning about a file, unless this process has said the same already."""
    if message not in _reported:
        _reported.add(message)
        print_log(message, logger='current', level=logging.WARNING)
