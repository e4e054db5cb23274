"""Loggers that are hushed say what they said before afterwards."""

from __future__ import annotations

import logging

import pytest

from xdet.compat.quiet import hushed


def test_levels_come_back_whatever_happens() -> None:
    loud, strict = logging.getLogger('test.loud'), logging.getLogger('test.strict')
    loud.setLevel(logging.DEBUG)
    strict.setLevel(logging.CRITICAL)
    with pytest.raises(KeyError), hushed(loud, strict):
        assert (loud.level, strict.level) == (logging.ERROR, logging.CRITICAL)
        raise KeyError
    assert (loud.level, strict.level) == (logging.DEBUG, logging.CRITICAL)
    with hushed(loud, below=logging.WARNING):
        assert loud.level == logging.WARNING
