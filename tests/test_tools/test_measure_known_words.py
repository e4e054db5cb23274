"""The threshold of a model is measured, and stored with its weights, by one command."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny.data import CLASSES, write_pictures
from tiny.tools import CONFIG, data_options, run_tool

from xdet.analysis import known_words as module
from xdet.compat.checkpoint import known_words_of, read_checkpoint, save_weights
from xdet.compat.fitting import load_weights
from xdet.model_zoo import load_config
from xdet.registry import MODELS
from xdet.structures import KnownWords

KNOWN = KnownWords(('ball',), frozenset(['the']))


@pytest.fixture(scope='module')
def lists(tmp_path_factory: pytest.TempPathFactory) -> list[str | Path]:
    folder = tmp_path_factory.mktemp('lists')
    (folder / 'related.txt').write_text(
        '# kinds\nball: football, sphere, tennis ball, globe\nmarble, bead\norb\nbowl\nbubble'
    )
    (folder / 'unrelated.txt').write_text(', '.join(f'thing{letter}' for letter in 'abcdefghijkl'))
    return ['--related', folder / 'related.txt', '--unrelated', folder / 'unrelated.txt']


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    from mmengine.registry import init_default_scope

    init_default_scope('xdet')
    torch.manual_seed(0)
    save_weights(MODELS.build(load_config(CONFIG).model), tmp_path / 'w.safetensors', None, KNOWN)
    return tmp_path / 'w.safetensors'


def tell_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the text encoder tell the lists apart."""

    def embed(encoder: object, names: list[str]) -> torch.Tensor:
        return torch.eye(2)[[int(name.startswith('thing')) for name in names]]

    monkeypatch.setattr(module, 'embed', embed)


def test_into_the_file_itself(
    lists: list, weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    tell_apart(monkeypatch)
    before = read_checkpoint(weights)['state_dict']
    run_tool('misc/measure_known_words', CONFIG, weights, *lists)
    checkpoint = read_checkpoint(weights)
    known = known_words_of(checkpoint, weights)
    assert known is not None and known.names == ('ball',) and known.phrase_words == {'the'}
    assert known.also == ('football', 'sphere', 'tennis ball', 'globe', 'marble', 'bead', 'orb', 'bowl', 'bubble')
    assert len(known.others) == 12 and known.threshold is not None and 0 < known.threshold < 1
    assert all(torch.equal(value, before[key]) for key, value in checkpoint['state_dict'].items())
    assert '100.0 % of 9 related ones pass, with the trained ones 100.0 %' in capsys.readouterr().out
    load_weights(MODELS.build(load_config(CONFIG).model), weights)


def test_an_encoder_that_cannot_tell_gets_no_threshold(
    lists: list, weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(module, 'embed', lambda encoder, names: torch.ones(len(names), 1))
    run_tool('misc/measure_known_words', CONFIG, weights, *lists)
    assert known_words_of(read_checkpoint(weights), weights) == KNOWN
    assert 'cannot tell them apart: no threshold is stored' in capsys.readouterr().out


def test_words_of_a_training_that_left_none(
    lists: list, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell_apart(monkeypatch)
    data = write_pictures(tmp_path / 'data')
    plain, out = tmp_path / 'plain.pth', tmp_path / 'out.safetensors'
    torch.save(read_checkpoint(weights)['state_dict'], plain)
    run_tool('misc/measure_known_words', CONFIG, plain, *lists, '--out', out, *data_options(data))
    known = known_words_of(read_checkpoint(out), out)
    assert known is not None and sorted(known.names) == sorted(CLASSES)
    assert 'state_dict' not in read_checkpoint(plain)


def test_dry_run_writes_nothing(lists: list, weights: Path) -> None:
    before = weights.read_bytes()
    run_tool('misc/measure_known_words', CONFIG, weights, *lists, '--dry-run')
    assert weights.read_bytes() == before


def test_wrong_input_ends_in_one_line(lists: list, weights: Path, tmp_path: Path) -> None:
    (tmp_path / 'empty.txt').write_text('# nothing\n')
    cases = (
        ([weights, *lists, '--out', tmp_path / 'x.pth'], 'is no .safetensors file'),
        ([weights, *lists, '--unrelated', tmp_path / 'empty.txt'], 'empty.txt has no names'),
        ([weights, *lists, '--near', tmp_path / 'none.txt'], 'none.txt'),
        ([tmp_path / 'none.safetensors', *lists], 'does not exist'),
    )
    for arguments, reason in cases:
        with pytest.raises(SystemExit) as info:
            run_tool('misc/measure_known_words', CONFIG, *arguments)
        assert str(info.value).startswith('error: ') and reason in str(info.value) and '\n' not in str(info.value)
