"""The trainings that are compared differ in what they start from, and their configs fit the weights they name."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest

from xdet.compat.fitting import load_weights
from xdet.model_zoo import EMBEDDED, load_config
from xdet.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]
TOOL = runpy.run_path(str(ROOT / 'benchmarks' / 'own_data_minutes.py'))


@pytest.mark.parametrize('start', TOOL['STARTS'])
def test_configs(start: str, tmp_path: Path) -> None:
    path = tmp_path / 'run.py'
    values = dict(start=start, minutes=0.5, seconds=30.0, data='data/balloons')
    path.write_text(TOOL['CONFIG'].format(**values, start_from=TOOL['start_from'](start)))
    cfg = load_config(path)
    assert cfg.custom_hooks[-1] == dict(type='TimeBudgetHook', seconds=30, warmup=20) and cfg.param_scheduler is None
    model = MODELS.build(cfg.model)
    if start == 'nothing':
        assert cfg.load_from is None and not model.backbone.frozen_norms
    else:
        assert cfg.load_from == str(EMBEDDED[start].weights)
        load_weights(model, cfg.load_from, allow_unexpected=cfg.allow_unexpected)
    assert cfg.optim_wrapper.paramwise_cfg.lr_mults['backbone'] == (0.1 if start == 'photos' else 1.0)


def test_what_was_measured_is_not_repeated(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for name in ('train.json', 'val.json', 'images'):
        (tmp_path / name).touch()
    for start, value in (('photos', 50.0), ('nothing', 1.0)):
        record = tmp_path / 'runs' / f'{start}_2' / 'result.json'
        record.parent.mkdir(parents=True)
        record.write_text(json.dumps(dict(iterations=90, AP=0.0, AP50=value)))
    command = [str(tmp_path), '--minutes', '2', '--starts', 'photos', 'nothing', '--work-dir', str(tmp_path / 'runs')]
    TOOL['main'](command)
    rows = ['| photos | 50.0 (90 iterations) |', '| nothing | 1.0 (90 iterations) |']
    assert capsys.readouterr().out.splitlines()[2:] == rows


def test_a_folder_without_annotations_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, 'argv', ['own_data_minutes.py', str(tmp_path)])
    with pytest.raises(SystemExit, match='train.json.* does not exist; docs/own_data.md shows the folder'):
        TOOL['main']()
