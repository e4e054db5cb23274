"""Names that others chose are shown in a terminal, and do nothing else there."""

from __future__ import annotations

import ast
import io
import json
import logging
import sys
from pathlib import Path

import pytest

from xdet.io.terminal import PlainRecord, plain, progress, tell

ROOT = Path(__file__).parents[2]
OBEYED = ['\x1b[31m', '\x9b2J', '\r', '\x08', '\x07', '\x7f', '\u2028', '\u202e', '\u2066', '\udcff', '\x00']


@pytest.mark.parametrize('letters', OBEYED)
def test_what_a_terminal_obeys_is_written_out(letters: str, capsys: pytest.CaptureFixture) -> None:
    tell(f'a{letters}b.jpg')
    code = f'\\u{ord(letters[0]):04x}'
    assert capsys.readouterr().out == f'a{code}{letters[1:]}b.jpg\n'


@pytest.mark.parametrize('text', ['Größe', '猫', '👩‍🚀', 'می‌خواهم', 'a\tb', 'क्‍ष'])
def test_texts_stay_as_they_are(text: str) -> None:
    assert plain(text) == text


def test_a_line_stays_a_line(capsys: pytest.CaptureFixture) -> None:
    tell('a\nerror: b', 'c')
    tell()
    tell(1, error=True)
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ('a\\nerror: b\nc\n\n', '1\n')


def test_json_stays_json(capsys: pytest.CaptureFixture) -> None:
    content = {'na\x1bme\x7f': ['\x9b\u202e\r\n', 'é']}
    tell(*json.dumps(content, ensure_ascii=False, indent=1).split('\n'))
    assert json.loads(capsys.readouterr().out) == content


def test_log_records(monkeypatch: pytest.MonkeyPatch) -> None:
    record = PlainRecord('x', logging.WARNING, 'x.py', 1, '%s is\ngone', ('a\x1b[2J',), None)
    assert logging.Formatter('\x1b[33m%(message)s').format(record) == '\x1b[33ma\\u001b[2J is\ngone'


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize('piped', [True, False])
def test_what_is_printed_behind_a_bar_reaches_standard_output(piped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('TERM', 'xterm')
    screen, out = Screen(), io.StringIO() if piped else Screen()
    monkeypatch.setattr(sys, 'stderr', screen)
    monkeypatch.setattr(sys, 'stdout', out)
    for number in progress(iter(range(2)), 'of [x]', 2):
        tell(f'line {number}')
    assert 'of [x]' in screen.getvalue() and '100%' in screen.getvalue()
    assert ('line 0\nline 1\n' == out.getvalue()) is piped
    assert ('line 1' in screen.getvalue()) is not piped


@pytest.mark.parametrize('folder', ['xdet', 'tools', 'demo'])
def test_nothing_prints_by_itself(folder: str) -> None:
    allowed = {'xdet/io/terminal.py', 'xdet/runtime/inferencer.py'}  # the second counts images, without their names
    paths = sorted((ROOT / folder).rglob('*.py'))
    found = [
        f'{path.relative_to(ROOT)}:{node.lineno}'
        for path in paths
        if str(path.relative_to(ROOT)) not in allowed
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8')))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'print'
    ]
    assert paths and not found, 'texts of others command terminals; use xdet.io.terminal.tell'
