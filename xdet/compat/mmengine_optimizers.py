"""Keeps ``mmengine.optim`` from importing transformers, and with it peft, for one rarely used optimizer."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType
from typing import Any


@contextmanager
def hidden_transformers() -> Iterator[None]:
    """``import transformers`` fails inside, unless it has been imported before."""
    if 'transformers' in sys.modules:
        yield
        return
    sys.modules['transformers'] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules['transformers']


def register_adafactor(builder: ModuleType) -> None:
    """Register transformers' Adafactor, if installed, as a function that imports it.

    Args:
        builder (ModuleType): ``mmengine.optim.optimizer.builder``, imported with :func:`hidden_transformers`.
    """
    if 'Adafactor' not in builder.OPTIMIZERS and find_spec('transformers') is not None:
        builder.OPTIMIZERS.register_module(name='Adafactor', module=_adafactor)


def _adafactor(*args: Any, **kwargs: Any) -> Any:
    from transformers import Adafactor

    return Adafactor(*args, **kwargs)
