"""Limits are documented as they are declared."""

from __future__ import annotations

from pathlib import Path

import pytest

from xdet.serve.limits import Limits, documented

ROOT = Path(__file__).resolve().parents[2]


def test_table_in_the_documents() -> None:
    text = (ROOT / 'docs' / 'serve.md').read_text(encoding='utf-8')
    assert documented() in text, 'run `python -m xdet.serve.limits` and copy the table'


@pytest.mark.parametrize('value', [0, -1, float('nan')])
def test_limits_are_above_zero(value: float) -> None:
    with pytest.raises(ValueError, match='--kept-seconds is .*; accepted are numbers above 0'):
        Limits(kept_seconds=value)
