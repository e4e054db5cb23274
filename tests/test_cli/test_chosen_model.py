"""Options that choose a model, and the inferencer that is built of them."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import xdet.apis
from xdet.cli.chosen_model import add_model_options, chosen, open_model
from xdet.cli.main import COMMANDS


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
    given = ['--model', 'photos', '--weights', 'a.pt', '--device', 'cpu', '--random-weights', '--precision', 'bfloat16']
    wanted = dict(model='photos', weights='a.pt', device='cpu', random_weights=True, precision='bfloat16')
    if companions:
        given += ['--text-embeddings', 'names.safetensors', '--calibration', 'learned.json']
        wanted |= dict(text_embeddings='names.safetensors', calibration='learned.json')
    open_model(parser.parse_args(given))
    assert built == [wanted]
    assert capsys.readouterr().err == 'note: it knows cats\n'


OF_A_MODEL = 'predict bulk video page edit index search serve label-studio prompts examples tune calibrate'.split()


@pytest.mark.parametrize('name', OF_A_MODEL)
def test_every_command_that_runs_a_model_takes_the_same_options(name: str) -> None:
    command = COMMANDS[name]
    module = import_module(f'xdet.cli.commands.{command.module}')
    options = module.parser(f'xdet {name}', *((command.variant,) if command.variant else ()))._option_string_actions
    plain = argparse.ArgumentParser()
    add_model_options(plain, untrained=False)
    for option in ('--model', '--weights', '--device', '--precision'):
        wanted, found = plain._option_string_actions[option], options[option]
        assert (found.help, found.choices, found.default) == (wanted.help, wanted.choices, wanted.default)


def test_bulk_runs_use_what_was_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import xdet.bulk.running
    from xdet.cli.commands import bulk

    calls: list[dict[str, Any]] = []

    def run_bulk(images: Any, **given: Any) -> xdet.bulk.running.BulkResult:
        calls.append(given)
        return xdet.bulk.running.BulkResult(1)

    monkeypatch.setattr(xdet.bulk.running, 'run_bulk', run_bulk)
    words = ['a.png', '--out-dir', str(tmp_path), '--model', 'scenes', '--device', 'cpu', '--precision', 'bfloat16']
    assert bulk.main(words) == 0
    assert chosen(bulk.parser().parse_args(words)).items() <= calls[0].items()
    assert calls[0]['precision'] == 'bfloat16'
