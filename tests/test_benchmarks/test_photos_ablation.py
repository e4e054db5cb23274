"""The table of short trainings: rows differ in what they say, share the rest, and are kept."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from tiny.photos import write_photos
from tiny.tools import ROOT

from xdet.analysis.subject import import_components
from xdet.compat.checkpoint import read_state_dict, save_weights
from xdet.registry import MODELS

TINY = ROOT / 'tests' / 'tiny' / 'photo_run.py'


@pytest.fixture
def script(tmp_path: Path) -> dict:
    """The program's names, on the tiny model and images."""
    write_photos(tmp_path / 'photos')
    config = tmp_path / 'tiny_photos.py'
    config.write_text(
        f"_base_ = '{TINY}'\n"
        f"train_dataloader = dict(segments=dict(dataset=dict(dataset=dict(data_root='{tmp_path}/photos/'))))\n"
        f"val_dataloader = dict(dataset=dict(data_root='{tmp_path}/photos/'))\n"
    )
    program = runpy.run_path(str(ROOT / 'benchmarks' / 'photos_ablation.py'))
    names = program['main'].__globals__
    names['CONFIG'] = str(config)
    return names


def test_rows_are_trained_measured_and_kept(
    script: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    import_components()
    torch.manual_seed(0)
    weights = tmp_path / 'start.safetensors'
    save_weights(MODELS.build(Config.fromfile(str(TINY)).model), weights, dtype=None)
    rows = ['before', 'base', 'queries-26', 'larger-end', 'larger-test', 'single-task', 'distilled']
    options = ['--steps', '4', '--size', '64', '--every', '1', '--out', str(tmp_path / 'out')]
    monkeypatch.setattr(sys, 'argv', ['photos_ablation', str(weights), *options, '--only', *rows])
    script['main']()
    printed = capsys.readouterr().out
    assert 'distilled: left out, it needs --start' in printed and '| larger-test' in printed
    records = {path.name.split('_')[0]: json.loads(path.read_text()) for path in (tmp_path / 'out').glob('*.json')}
    assert records.keys() == set(rows) - {'distilled'}
    assert all(record['images'] == 3 and record['steps'] == 4 for record in records.values())
    assert 'class_loss' in records['base'] and 'class_loss' not in records['before']
    assert len(read_state_dict(str(tmp_path / 'out' / 'queries-26.safetensors'))['decoder.query_feat.weight']) == 26
    monkeypatch.setitem(script, 'measure', None)  # nothing is done again
    script['main']()
    assert '| queries-26' in capsys.readouterr().out


def test_budgets_of_all_rows_are_equal(script: dict) -> None:
    variants = script['VARIANTS'].values()
    assert all(sum(variant.sources.values()) == 8 for variant in variants)
    texts = [variant.text for variant in variants]
    assert len(set(texts)) == len(texts)


def test_images_change_their_size_in_the_middle(script: dict) -> None:
    steps = [dict(type='LargeScaleJitter', size=(256, 256)), dict(type='ResizeShortestEdge', scale=256, max_size=512)]
    changed = script['resized'](steps, 0.625)
    assert changed == [
        dict(type='LargeScaleJitter', size=(160, 160)),
        dict(type='ResizeShortestEdge', scale=160, max_size=320),
    ]
    assert steps[0]['size'] == (256, 256)
