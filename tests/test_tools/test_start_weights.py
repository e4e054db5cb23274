"""Weights from several files, and what becomes of parts that differ in number."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest
import timm
import torch
from mmengine.config import Config
from safetensors.torch import load_file, save_file

from xdet.model_zoo import EMBEDDED, find_config

SCRIPT = Path(__file__).resolve().parents[2] / 'tools' / 'misc' / 'start_weights.py'
TOOL = runpy.run_path(str(SCRIPT))
CONFIG = 'xdecoder_lite0-nano_joint-photos'


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, 'argv', [str(SCRIPT), *map(str, arguments)])
    TOOL['main']()


def test_every_part_comes_from_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = timm.create_model('tf_efficientnet_lite0').half().float().state_dict()
    save_file(backbone, tmp_path / 'lite0.safetensors')
    base = load_file(EMBEDDED['scenes'].weights)
    text = {key: value + 1 for key, value in base.items() if key.startswith('text_encoder.')}
    save_file(text, tmp_path / 'text.safetensors')
    target = tmp_path / 'start.safetensors'
    run(
        monkeypatch,
        CONFIG,
        target,
        '--backbone',
        tmp_path / 'lite0.safetensors',
        '--text',
        tmp_path / 'text.safetensors',
    )
    made = load_file(target)
    assert torch.equal(made['backbone.model.conv_stem.weight'].float(), backbone['conv_stem.weight'])
    assert all(torch.equal(made[key], text[key]) for key in text)
    mask_head = next(key for key in base if key.startswith('decoder.') and 'mask' in key and key in made)
    assert torch.equal(made[mask_head], base[mask_head])
    own, known = (Config.fromfile(find_config(name)).model.tasks.vqa.answers for name in (CONFIG, 'scenes'))
    rows = made['tasks.vqa.classifier.3.weight'], base['tasks.vqa.classifier.3.weight']
    assert torch.equal(rows[0][own.index('star')], rows[1][known.index('star')]) and len(rows[0]) == len(own)
    query, old = made['decoder.query_feat.weight'], base['decoder.query_feat.weight']
    assert len(query) > len(old) and torch.equal(query[: len(old) - 1], old[:-1]) and torch.equal(query[-1], old[-1])


def test_all_but_the_text_encoder_is_left_to_chance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known, target = EMBEDDED['scenes'].weights, tmp_path / 'start.safetensors'
    run(monkeypatch, 'scenes', target, '--base', 'none', '--text', known)
    made, base = load_file(target), load_file(known)
    assert made.keys() >= base.keys()
    for key in ('text_encoder.positional_embedding', 'decoder.query_feat.weight', 'tasks.vqa.classifier.3.weight'):
        assert torch.equal(made[key], base[key]) == key.startswith('text_encoder.')


def test_fewer_and_more_queries() -> None:
    rows = torch.arange(5.0)[:, None].expand(5, 2)
    change = TOOL['other_number_of_queries']
    assert torch.equal(change(rows, 3), rows[[0, 1, 4]]) and torch.equal(change(rows, 5), rows)
    more = change(rows, 11)
    assert more.shape == (11, 2) and torch.equal(more[:4], rows[:4]) and torch.equal(more[-1], rows[-1])
    assert len({tuple(row.tolist()) for row in more}) == 11


def test_what_is_in_no_file_is_named() -> None:
    own = {'backbone.a': torch.ones(1), 'text_encoder.b': torch.ones(2), 'decoder.c': torch.ones(3), 'd': torch.ones(4)}
    base = {
        'backbone.a': torch.zeros(1),
        'text_encoder.b': torch.zeros(2),
        'decoder.c': torch.zeros(2),
        'e': torch.ones(1),
    }
    found, new = TOOL['compose'](own, base, {})
    assert new == ['decoder.c', 'd'] and found['backbone.a'].item() == 1 and found['text_encoder.b'].sum() == 0
    for text in ({'text_encoder.x': torch.ones(1)}, {'text_encoder.b': torch.ones(5)}):
        with pytest.raises(ValueError, match='--text'):
            TOOL['compose'](own, base, text)


def test_bad_files_end_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    for arguments in (('scenes', 'x.safetensors', '--backbone', 'a.pth'), ('no-such-config', 'x.safetensors')):
        with pytest.raises(SystemExit) as end:
            run(monkeypatch, *arguments)
        message = f'{end.value}{capsys.readouterr().err}'.strip()
        assert 'start weights' in message and '\n' not in message
