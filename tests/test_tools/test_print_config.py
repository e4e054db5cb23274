"""tools/misc/print_config.py prints what the other tools work with."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config
from tiny.tools import CONFIG, run_tool

TOOL = 'misc/print_config'


def printed(tmp_path: Path, capsys: pytest.CaptureFixture, *arguments: str | Path) -> Config:
    """What the tool prints, read as a config again."""
    run_tool(TOOL, *arguments)
    path = tmp_path / 'printed.py'
    path.write_text(capsys.readouterr().out)
    return Config.fromfile(str(path))


def test_bases_options_and_references_are_merged(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    own = tmp_path / 'balloons.py'
    own.write_text("_base_ = 'xdet::_base_/own/instance.py'\ndata_root = 'data/balloons'\n")
    cfg = printed(tmp_path, capsys, own, '--cfg-options', 'max_iters=7', 'model.decoder.num_queries=9')
    assert cfg.train_cfg.max_iters == 7 and cfg.model.decoder.num_queries == 9
    assert cfg.val_evaluator[0].ann_file == 'data/balloons/val.json'
    assert cfg.train_dataloader.dataset.dataset.data_prefix.img == 'images/'
    assert '${' not in cfg.pretty_text


def test_values_that_nothing_reads_are_named(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    own = tmp_path / 'balloons.py'
    own.write_text("_base_ = 'xdet::_base_/own/instance.py'\nepochs = 3\nwork_dir = 'x'\nmax_iters = 30\n")
    run_tool(TOOL, own, '--key', 'train_cfg')
    warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith('warning: ')]
    assert len(warnings) == 1 and "nothing reads 'epochs'" in warnings[0]
    run_tool(TOOL, CONFIG, '--key', 'train_cfg')
    assert 'warning: ' not in capsys.readouterr().err


def test_part(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    cfg = printed(tmp_path, capsys, CONFIG, '--key', 'train_dataloader.sampler')
    assert cfg.to_dict() == dict(sampler=dict(type='ResumableSampler'))
    with pytest.raises(SystemExit, match=r"--key model.decodr: there is no 'decodr'; accepted are .*decoder"):
        run_tool(TOOL, CONFIG, '--key', 'model.decodr')


def test_benchmark(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    cfg = printed(tmp_path, capsys, CONFIG, '--benchmark', 'folder-semantic@my', '--key', 'test_dataloader')
    assert cfg.test_dataloader.dataset.data_root.startswith('my')


def test_a_mistake_is_one_line() -> None:
    with pytest.raises(SystemExit) as info:
        run_tool(TOOL, CONFIG, '--cfg-options', 'modle.x=1')
    assert "did you mean 'model'" in str(info.value)
