"""Changes of foreign modules wait for their import."""

from __future__ import annotations

import importlib
import inspect
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from xdet.compat.after_import import _FINDER, after_import


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / 'foreign_of_test.py').write_text('import sys\nhidden = "not_there" in sys.modules\nvalue = 1\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(_FINDER, 'changes', {})
    yield 'foreign_of_test'
    sys.modules.pop('foreign_of_test', None)


def test_change_waits_for_the_import(foreign: str) -> None:
    after_import(foreign, lambda loaded: setattr(loaded, 'value', 2))
    assert foreign not in sys.modules
    loaded = importlib.import_module(foreign)
    assert loaded.value == 2 and 'value = 1' in inspect.getsource(loaded)


def test_change_of_what_is_loaded_comes_at_once(foreign: str) -> None:
    loaded = importlib.import_module(foreign)
    after_import(foreign, lambda found: setattr(found, 'value', 3))
    assert loaded.value == 3


def test_surroundings_of_the_import(foreign: str) -> None:
    @contextmanager
    def around():
        sys.modules['not_there'] = None
        yield
        del sys.modules['not_there']

    after_import(foreign, lambda loaded: None, around)
    assert importlib.import_module(foreign).hidden and 'not_there' not in sys.modules


def test_adafactor_is_still_an_optimizer() -> None:
    pytest.importorskip('transformers')
    from mmengine.optim import OPTIMIZERS

    built = OPTIMIZERS.build(dict(type='Adafactor', params=[torch.nn.Parameter(torch.zeros(2))]))
    assert type(built).__name__ == 'Adafactor'
