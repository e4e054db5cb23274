"""Keeps libraries from talking."""

from __future__ import annotations

import contextlib
import gc
import io
import logging
import warnings
from collections.abc import Iterator

from mmengine.logging import MMLogger


@contextlib.contextmanager
def hushed(*loggers: logging.Logger, below: int = logging.ERROR) -> Iterator[None]:
    """Loggers that say nothing below a level for a while; those that say less keep their own."""
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(max(logger.level, below))
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def quiet_imports() -> Iterator[None]:
    """Silence prints, Python's warnings, and MMEngine's logger below errors; for imports only.

    Importing ``mmdet`` announces that optional parts are missing which xdet never uses, among them that "this model
    cannot work without CUDA": alarming and untrue on every machine without compiled operators.

    Nothing that is imported is garbage, so none is looked for meanwhile, which would take a fifth of the time.
    """
    collecting = gc.isenabled()
    gc.disable()
    # Made before the redirection: the logger keeps the stream that is standard output when it is made.
    logger = MMLogger.get_current_instance()
    try:
        with hushed(logger), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        if collecting:
            gc.enable()
