"""Warnings about users' files and words."""

from __future__ import annotations

import logging
import sys

_reported: set[str] = set()


def warn_once(message: str, about: str = '') -> None:
    """Log a warning about a file, unless this process has said the same already, or something ``about`` the same."""
    if (about or message) not in _reported:
        _reported.add(about or message)
        warn(message)


def warn(message: str) -> None:
    """Log a warning where MMEngine logs now; where exported models run without MMEngine, to the logger ``xdet``."""
    if 'mmengine' not in sys.modules:
        logging.getLogger('xdet').warning(message)
        return
    from mmengine.logging import print_log

    print_log(message, logger='current', level=logging.WARNING)
