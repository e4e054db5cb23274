"""Names reach the coarsest memory, of which the rest stays what it was."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from safetensors.torch import load_file

from xdet.model_zoo import EMBEDDED

SCRIPT = Path(__file__).resolve().parents[2] / 'tools' / 'misc' / 'warm_up_pixels.py'
TOOL = runpy.run_path(str(SCRIPT))
CONFIGS = SCRIPT.parents[2] / 'configs' / 'xdecoder'


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, 'argv', [str(SCRIPT), *map(str, arguments)])
    TOOL['main']()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    head = dict(type='PixelNames', embed_dims=128, maps=dict(memory_0=128, memory_2=128, backbone_3=256))
    path = tmp_path / 'own.py'
    base = (CONFIGS / 'xdecoder_focal-nano_scenes-joint.py').as_posix()
    path.write_text(f'_base_ = {base!r}\nmodel = dict(tasks=dict(segmentation=dict(pixel_names={head!r})))\n')
    return path


def test_names_reach_the_memory(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    target, weights = tmp_path / 'warm.safetensors', EMBEDDED['scenes'].weights
    # As many steps as it takes to see names being learned, whatever the machine.
    monkeypatch.setitem(TOOL['train'].__globals__, 'time', Clock())
    run(monkeypatch, config, weights, target, '--images', 8, '--minutes', 2.2, '--batch', 4)
    losses = [float(line.split()[3].strip(',')) for line in capsys.readouterr().out.splitlines() if 'step' in line]
    assert len(losses) == 2 and losses[1] < losses[0]
    before, after = load_file(weights), load_file(target)
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    assert moved and all(key.startswith('pixel_decoder.encoder') for key in moved)
    assert {key for key in after if key not in before} == {
        f'tasks.segmentation.pixel_names.projections.{name}.{layer}.{kind}'
        for name in ('memory_0', 'memory_2', 'backbone_3')
        for layer in (0, 2)
        for kind in ('weight', 'bias')
    }


class Clock:
    """Time that passes by 1.2 seconds whenever somebody looks."""

    def __init__(self) -> None:
        self.now = 0.0

    def time(self) -> float:
        self.now += 1.2
        return self.now


def test_refused(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    target = tmp_path / 'warm.safetensors'
    plain = CONFIGS / 'xdecoder_focal-nano_scenes-joint.py'
    assert 'PixelNames' not in Config.fromfile(plain).pretty_text
    for arguments, message in (
        ((plain, EMBEDDED['scenes'].weights, target), 'no PixelNames on memory_0'),
        ((config, tmp_path / 'none.pth', target), 'none.pth'),
        ((config, EMBEDDED['scenes'].weights, target, '--sources', 'cats'), "--sources: ['cats']"),
    ):
        with pytest.raises(SystemExit) as error:
            run(monkeypatch, *arguments)
        assert message in f'{error.value}{capsys.readouterr().err}'
    assert not target.exists()
