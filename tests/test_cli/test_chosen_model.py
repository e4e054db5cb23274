"""Options that choose a model, and the inferencer that is built of them."""

from __future__ import annotations

import argparse
from types import SimpleNamespace
from typing import Any

import pytest

import xdet.apis
from xdet.cli.chosen_model import add_model_options, open_model


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = []

    def build(**given: Any) -> SimpleNamespace:
        calls.append(given)
        return SimpleNamespace(embedded=SimpleNamespace(knows='it knows cats'))

    monkeypatch.setattr(xdet.apis, 'XDecoderInferencer', build, raising=False)
    return calls


@pytest.mark.parametrize('companions', [False, True])
def test_every_option_reaches_the_model(built: list, capsys: pytest.CaptureFixture, companions: bool) -> None:
    parser = argparse.ArgumentParser()
    add_model_options(parser, companions=companions)
    given = ['--model', 'photos', '--weights', 'a.pt', '--device', 'cpu', '--random-weights']
    wanted = dict(model='photos', weights='a.pt', device='cpu', random_weights=True)
    if companions:
        given += ['--text-embeddings', 'names.safetensors', '--calibration', 'learned.json', '--precision', 'bfloat16']
        wanted |= dict(text_embeddings='names.safetensors', calibration='learned.json', precision='bfloat16')
    open_model(parser.parse_args(given))
    assert built == [wanted]
    assert capsys.readouterr().err == 'note: it knows cats\n'
