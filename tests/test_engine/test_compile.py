"""Compilation of parts of a model, and what happens where there is no compiler."""

from __future__ import annotations

from types import SimpleNamespace
from unittest import mock

import pytest
from torch import nn

from xdet.engine.runner import XDetRunner


def compile_with(options: object) -> tuple[nn.Module, str]:
    """The model, whose only part is ``backbone``, and what was warned of."""
    model = nn.ModuleDict(dict(backbone=nn.Linear(1, 1)))
    model.backbone.compile = mock.Mock()
    runner = SimpleNamespace(cfg=dict(compile=options), bare_model=model, logger=mock.Mock())
    XDetRunner._maybe_compile(runner, 'train_step')
    return model, str(runner.logger.warning.call_args)


@pytest.mark.parametrize('backend', [{}, dict(backend='inductor')])
def test_without_a_compiler_training_goes_on_uncompiled_and_says_so(monkeypatch, backend):
    monkeypatch.setenv('CXX', '/no/such/compiler')
    model, said = compile_with(dict(modules=['backbone'], **backend))
    assert not model.backbone.compile.called
    assert "there is no C++ compiler '/no/such/compiler'" in said


def test_other_backends_need_no_compiler(monkeypatch):
    monkeypatch.setenv('CXX', '/no/such/compiler')
    model, _ = compile_with(dict(modules=['backbone'], backend='eager'))
    model.backbone.compile.assert_called_once_with(backend='eager')


def test_unknown_parts_are_named():
    with pytest.raises(ValueError, match="names 'nose'; the model has backbone"):
        compile_with(dict(modules=['nose'], backend='eager'))
