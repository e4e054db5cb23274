"""Shell completion of all commands, as a script made once: nothing of xdet runs when a key is pressed."""

from __future__ import annotations

import argparse
from importlib import import_module

from xdet.cli.errors import program
from xdet.cli.parsing import Parser
from xdet.io.terminal import tell
from xdet.lazy import import_optional

_DESCRIPTION = """Print a script that completes commands, options and files in your shell.

    xdet completion bash > ~/.local/share/bash-completion/completions/xdet
    xdet completion zsh > ~/.zfunc/_xdet          (with ~/.zfunc in fpath)
    xdet completion tcsh >> ~/.tcshrc

Make it again after an update. It needs the package shtab: pip install "xdet[completion]".
"""


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    """Command line."""
    parser = Parser(prog, description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('shell', choices=('bash', 'zsh', 'tcsh'))
    return parser


def whole_parser() -> argparse.ArgumentParser:
    """The command lines of all commands under one, which is what ``xdet`` itself never builds."""
    from xdet.cli.main import COMMANDS

    whole = Parser('xdet', add_help=True)
    commands = whole.add_subparsers(dest='command', metavar='COMMAND')
    for name, command in COMMANDS.items():
        make = import_module(f'xdet.cli.commands.{command.module}').parser
        own = make(f'xdet {name}', *((command.variant,) if command.variant else ()))
        commands.add_parser(name, parents=[own], add_help=False, help=command.help)
    return whole


def run(args: argparse.Namespace) -> int:
    """Print the script; returns the exit code."""
    shtab = import_optional('shtab', 'completion', 'completion')
    tell(*shtab.complete(whole_parser(), args.shell).split('\n'))
    return 0


main = program(parser, run)
