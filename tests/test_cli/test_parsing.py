"""Options are taken by their whole names, and refused where nothing reads them."""

from __future__ import annotations

import argparse
import ast
from pathlib import Path

import pytest

from xdet.cli.parsing import Parser, refuse_unread

ROOT = Path(__file__).parents[2]


@pytest.fixture
def parser() -> Parser:
    parser = Parser('tool')
    parser.add_argument('-k', '--keep-going', type=int, default=3)
    parser.add_argument('--copy', action=argparse.BooleanOptionalAction, default=True)
    commands = parser.add_subparsers(dest='command')
    commands.add_parser('check').add_argument('--all', action='store_true')
    return parser


def test_options_that_were_given(parser: Parser) -> None:
    assert parser.parse_args([]).given == {}
    args = parser.parse_args(['-k', '3', '--no-copy', 'check', '--all'])
    assert args.given == dict(keep_going='--keep-going', copy='--copy', all='--all')


@pytest.mark.parametrize('words', [['--keep', '4'], ['check', '--al']])
def test_no_part_of_a_name_is_enough(parser: Parser, words: list[str], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        parser.parse_args(words)
    assert 'error: ' in capsys.readouterr().err


def test_messages_command_no_terminal(parser: Parser, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        parser.parse_args(['check', '--\x1b[2J'])
    assert '\\u001b[2J' in capsys.readouterr().err


def test_unread_options_are_refused(parser: Parser) -> None:
    args = parser.parse_args(['--keep-going', '3'])
    with pytest.raises(ValueError, match='^--keep-going is for check$'):
        refuse_unread(args, True, 'is for check', 'copy', 'keep_going')
    refuse_unread(args, False, 'is for check', 'keep_going')
    refuse_unread(args, True, 'is for check', 'copy')
    refuse_unread(argparse.Namespace(), True, 'is for check', 'copy')


@pytest.mark.parametrize('folder', ['xdet', 'tools', 'demo'])
def test_every_program_uses_it(folder: str) -> None:
    found = [
        f'{path.relative_to(ROOT)}:{node.lineno}'
        for path in sorted((ROOT / folder).rglob('*.py'))
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8')))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith('ArgumentParser')
    ]
    assert not found, 'use xdet.cli.parsing.Parser'
