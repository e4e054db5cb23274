"""Places for results are looked at while the command line is read."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from xdet.cli.main import main
from xdet.cli.places import output_file, output_folder


def test_places(tmp_path: Path) -> None:
    (tmp_path / 'file').touch()
    parser = argparse.ArgumentParser()
    parser.add_argument('--out-dir', type=output_folder, default=str(tmp_path / 'default'))
    parser.add_argument('--out', type=output_file)
    assert parser.parse_args([]).out_dir == tmp_path / 'default' and not (tmp_path / 'default').exists()
    assert parser.parse_args(['--out', str(tmp_path / 'file')]).out == tmp_path / 'file'


@pytest.mark.parametrize(
    'arguments, told',
    [
        (['--out-dir', 'file'], "'file' is a file; give a folder"),
        (['--out-dir', 'file/in'], "'file/in' cannot be written: 'file' is no folder"),
        (['--out', '.'], "'.' is a folder; give a file"),
        (['--out', '~nobody-of-this-name/x'], '~nobody-of-this-name/x: there is no user'),
    ],
)
def test_places_that_cannot_be(
    arguments: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'file').touch()
    parser = argparse.ArgumentParser()
    parser.add_argument('--out-dir', type=output_folder)
    parser.add_argument('--out', type=output_file)
    with pytest.raises(SystemExit):
        parser.parse_args(arguments)
    assert f'error: argument {arguments[0]}: {told}' in capsys.readouterr().err


@pytest.mark.parametrize(
    'words, told',
    [
        (['calibrate', 'a.json', '--out', '.'], "--out: '.' is a folder; give a file"),
        (['edit', 'a.jpg', '--phrase', 'x', '--pipeline', '.', '--out-dir', 'file'], "--out-dir: 'file' is a file"),
        (['search', '--index', 'i', '--text', 'x', '--out-dir', 'file'], "--out-dir: 'file' is a file; give a folder"),
        (['suite', 'a.py', 'a.pth', '--out', 'file'], "--out: 'file' is a file; give a folder"),
    ],
)
def test_commands_look_at_places_before_anything_else(
    words: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'file').touch()
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f'xdet {words[0]}: error: argument {told}')
