"""Libraries of other tools, which tests compare with."""

from __future__ import annotations

import importlib
import importlib.util
import os
from typing import Any

import pytest


def library(name: str, load: bool = True) -> Any:
    """Import a module, or skip the test if it is not installed; ``make test-libraries`` has it, and skips nothing.

    Args:
        name (str): Of the module.
        load (bool): Whether it is imported at all.
    """
    wanted = 'XDET_TEST_LIBRARIES' in os.environ
    if not load and (wanted or importlib.util.find_spec(name) is not None):
        return None
    if wanted:
        return importlib.import_module(name)
    return pytest.importorskip(name, reason=f'{name} is not installed (make test-libraries)', exc_type=ImportError)
