"""The tool teaches a text tower; a teacher's embeddings are read from its cache here."""

from __future__ import annotations

import itertools
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from xdet.models.text.tokenizer import _bpe
from xdet.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / 'tools' / 'misc' / 'distill_text.py'
TOWER = dict(type='XDecoderTextEncoder', width=16, num_heads=2, num_layers=1, embed_dims=8, context_length=77)
TABLE = 'text_encoder.token_embedding.weight'
NAMES = ['dog', 'cat', 'horse', 'cow', 'sofa', 'car', 'bus', 'tree']


@pytest.fixture(scope='module')
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


def test_meanings_are_two_texts_per_line(script: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / 'meanings.txt'
    file.write_text('foal\thorse\n\n gun dog \t dog\n', encoding='utf-8')
    assert script['read_meanings']([file]) == {'foal': 'horse', 'gun dog': 'dog'}
    for line in ('ewe', 'ewe\t', 'ewe\tsheep\tanimal'):
        file.write_text(f'foal\thorse\n{line}\n', encoding='utf-8')
        with pytest.raises(ValueError, match=r'meanings.txt, line 2: .ewe.* is not a name, a tab and what it is'):
            script['read_meanings']([file])


def test_a_teacher_reads_a_name_halfway_to_its_meaning(script: dict[str, Any]) -> None:
    teacher = {'foal': torch.tensor([1.0, 0.0]), 'horse': torch.tensor([0.0, 1.0])}
    assert script['halfway'](teacher, {'foal': 'horse'})['foal'].tolist() == pytest.approx([0.5**0.5, 0.5**0.5])


def test_a_damaged_cache_is_told(script: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / 'teacher.pt').write_bytes(b'PK\x03\x04half')
    with pytest.raises(ValueError, match=r'teacher.pt. is damaged'):
        script['teach'](tmp_path, ['dog'], tmp_path / 'teacher.pt')


@pytest.mark.parametrize('kind', ['keep', 'hold'])
def test_writes_the_weights_with_another_text_encoder(
    kind: str, script: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    torch.manual_seed(0)
    (tmp_path / 'config.py').write_text(f'model = dict(text_encoder={TOWER})')
    before = {f'text_encoder.{key}': value for key, value in MODELS.build(TOWER).state_dict().items()}
    save_file({**before, 'decoder.x': torch.ones(3)}, tmp_path / 'start.safetensors')
    sentences, keep = [f'a {a} and a {b}' for a in NAMES for b in NAMES], ['a red star', 'a blue ring', 'grass']
    (tmp_path / 'names.txt').write_text('\n'.join(NAMES))
    (tmp_path / 'sentences.txt').write_text('\n'.join(sentences))
    (tmp_path / 'keep.txt').write_text('\n'.join(keep))
    (tmp_path / 'meanings.txt').write_text('puppy\tdog')
    (tmp_path / 'words.txt').write_text('dog\ncat\nred')
    np.save(tmp_path / 'vectors.npy', np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32))
    torch.save({text: torch.randn(4) for text in [*NAMES, *sentences, *keep, 'puppy']}, tmp_path / 'teacher.pt')
    options = dict(weights='start.safetensors', names='names.txt', sentences='sentences.txt', cache='teacher.pt')
    options['meanings'] = 'meanings.txt'
    options[kind] = 'keep.txt'
    if kind == 'keep':
        options |= {'word-vectors': 'vectors.npy', 'words': 'words.txt'}
    arguments = [tmp_path / 'config.py', tmp_path / 'teacher', tmp_path / 'out.safetensors', '--minutes', 0.02]
    for name, file in options.items():
        arguments += [f'--{name}', tmp_path / file]
    monkeypatch.setattr(sys, 'argv', [str(SCRIPT), *map(str, arguments), '--batch', '8', '--unseen', '12'])
    script['main']()
    after = load_file(tmp_path / 'out.safetensors')
    assert after.keys() == {*before, 'decoder.x'} and torch.equal(after['decoder.x'], torch.ones(3))
    assert any(not torch.equal(after[key], before[key]) for key in before)
    assert all(value.isfinite().all() for value in after.values())
    printed = capsys.readouterr().out
    assert 'after' in printed and f'texts to {kind}' in printed
    if kind == 'keep':
        assert '2 rows of the token table start from word vectors' in printed  # "red" is used by a text to keep
    else:  # captions are written with these rows
        changed = (after[TABLE] != before[TABLE]).any(1)
        held = {token for text in keep for token in _bpe().encode(text)}
        assert not changed[[0, *held]].any() and changed[_bpe().encode('dog')].all()


def test_what_a_name_means_is_learned(
    script: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """Two trainings that differ in the meaning of one word alone, on a clock that advances by a second per step."""
    (tmp_path / 'config.py').write_text(f'model = dict(text_encoder={TOWER})')
    (tmp_path / 'names.txt').write_text('\n'.join(NAMES))
    generator = torch.Generator().manual_seed(0)
    torch.save({text: torch.randn(8, generator=generator) for text in [*NAMES, 'foal']}, tmp_path / 'teacher.pt')

    def nearness(meaning: str) -> float:
        """Of "foal" to "horse" rather than to "sofa"."""
        ticks = itertools.count()
        monkeypatch.setitem(script['main'].__globals__, 'time', SimpleNamespace(time=lambda: next(ticks)))
        (tmp_path / 'meanings.txt').write_text(f'foal\t{meaning}')
        arguments = [tmp_path / 'config.py', tmp_path / 'teacher', tmp_path / 'out.safetensors', '--minutes', 1]
        for name in ('names', 'meanings'):
            arguments += [f'--{name}', tmp_path / f'{name}.txt']
        arguments += ['--cache', tmp_path / 'teacher.pt', '--batch', 16, '--unseen', 0, '--lr', 0.01]
        monkeypatch.setattr(sys, 'argv', [str(SCRIPT), *map(str, arguments)])
        script['main']()
        tower = MODELS.build(TOWER)
        weights = load_file(tmp_path / 'out.safetensors')
        tower.load_state_dict({key.removeprefix('text_encoder.'): value for key, value in weights.items()})
        with torch.no_grad():
            foal, horse, sofa = torch.nn.functional.normalize(tower.eval()(['foal', 'horse', 'sofa']).pooled, dim=1)
        return float(foal @ horse - foal @ sofa)

    nearnesses = nearness('horse'), nearness('sofa')
    assert nearnesses[0] > nearnesses[1] + 0.1, nearnesses
