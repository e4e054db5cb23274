"""The command line of every program. Standard library only."""

from __future__ import annotations

import argparse
from typing import Any

from xdet.io.terminal import plain


class Parser(argparse.ArgumentParser):
    """A parser that takes options by their whole names alone, and whose messages cannot command a terminal.

    What it returns has ``given``: the options that were on the command line, by the names of their values.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{'allow_abbrev': False, **options})
        self._given: dict[str, str] = {}

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """As :class:`argparse.ArgumentParser` does."""
        self._given = {}
        found, rest = super().parse_known_args(args, namespace)
        found.given = {**getattr(found, 'given', {}), **self._given}  # those of a command below are there already
        return found, rest

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        if action.option_strings:
            self._given[action.dest] = (
                next((name for name in action.option_strings if name.startswith('--')), '')
                or (action.option_strings[0])
            )
        return super()._get_values(action, arg_strings)

    def _print_message(self, message: str, file: Any = None) -> None:
        super()._print_message(plain(message) if message else message, file)


def refuse_unread(args: argparse.Namespace, unread: bool, why: str, *names: str) -> None:
    """Refuse options that somebody gave and nothing reads, so that nobody believes that they did something.

    Args:
        args (argparse.Namespace): Of :class:`Parser`.
        unread (bool): Whether nothing reads them.
        why (str): What they are for, as the end of a sentence: ``'is for --val or --test'``.
        names (str): Names of their values.

    Raises:
        ValueError: One of them was given.
    """
    for name in names if unread else ():
        if name in getattr(args, 'given', ()):
            raise ValueError(f'{args.given[name]} {why}')
