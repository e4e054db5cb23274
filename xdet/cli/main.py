"""The command ``xdet``: finds the module of a command and hands over to it.

Nothing but the standard library is imported before it is known which command is meant, so ``xdet --help`` and mistyped
names answer at once.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

from xdet.io.terminal import tell
from xdet.version import __version__

from .running import run_program


@dataclass(frozen=True)
class Command:
    """Where a command lives.

    Attributes:
        module (str): With ``parser(prog)`` and ``main(argv, prog)``, below ``xdet.cli.commands``.
        help (str): What it does, in one line.
        group (str): Heading under which ``xdet --help`` lists it.
        variant (str): Told to both functions if a module serves several commands.
    """

    module: str
    help: str
    group: str
    variant: str = ''


USE, LEARN, TOOLS = 'use a model', 'train and measure', 'around it'

COMMANDS = dict(
    predict=Command('predict', 'segment, describe, classify or compare images', USE),
    demo=Command('scripts', 'show every task on images that come along, with a model of the package', USE, 'demo'),
    bulk=Command('bulk', 'segment, describe or embed very many images, on Ray, into Parquet files', USE),
    video=Command('video', 'segment a film and follow what it shows', USE),
    page=Command('page', 'open a page in the browser: every task, on images of yours', USE),
    edit=Command('edit', 'remove or replace what a phrase means, with an inpainting pipeline', USE),
    index=Command('retrieval', 'embed a collection of images or texts to be searched', USE, 'index'),
    search=Command('retrieval', 'search an index for texts or images', USE, 'search'),
    serve=Command('serve', 'answer requests over HTTP: every task as an endpoint', USE),
    **{'label-studio': Command('label_studio', 'annotate in Label Studio with a model', USE)},
    prompts=Command('prompts', 'say which of your names a model can hardly tell apart', USE),
    examples=Command('examples', 'learn a class name from regions of images', USE),
    tune=Command('tune', 'learn a few tokens before class names, all else as it is', USE),
    train=Command('train', 'train a model', LEARN),
    test=Command('test', 'measure a model on the test set of its config, or on benchmarks', LEARN),
    suite=Command('suite', 'measure a model on several benchmarks, with one table', LEARN),
    calibrate=Command('calibrate', 'learn from labelled images when a name or phrase is not there', LEARN),
    export=Command('scripts', 'write a model as ONNX graphs, with a runtime that needs no torch', TOOLS, 'export'),
    models=Command('models', 'list the shipped models, or show one', TOOLS),
    download=Command('scripts', 'download a public data set', TOOLS, 'download'),
    convert=Command('convert', 'convert annotated images into other formats, or public data sets', TOOLS),
    data=Command('data', 'check annotated images, or divide them', TOOLS),
    info=Command('info', 'report versions, devices and packages, for bug reports', TOOLS),
    completion=Command('completion', 'print a script that completes commands in your shell', TOOLS),
)
"""All commands by name. A new one is a row here and a module."""

_USAGE = """usage: xdet COMMAND ...
       xdet COMMAND --help

X-Decoder: one model that segments, finds, describes and compares images.
"""
_ENDING = """
exit codes: 0 done; 1 stopped by an error, or some images of several failed; 2 wrong usage or nothing could be done;
130 interrupted. XDET_DEBUG=1 shows tracebacks.
"""


def usage() -> str:
    """What ``xdet --help`` prints."""
    width = max(map(len, COMMANDS))
    lines = [_USAGE]
    for group in dict.fromkeys(command.group for command in COMMANDS.values()):
        lines.append(f'{group}:')
        lines += [f'  {name:<{width}}  {command.help}' for name, command in COMMANDS.items() if command.group == group]
        lines.append('')
    return '\n'.join(lines) + _ENDING


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    name = ' '.join(['xdet', *(word for word in words[:1] if word in COMMANDS)])
    return run_program(lambda: _command(words), name, words[1:])


def _command(words: list[str]) -> int:
    if not words or words[0] in ('-h', '--help', 'help'):
        tell(*usage().splitlines())
        return 0
    if words[0] in ('-V', '--version'):
        tell(f'xdet {__version__}')
        return 0
    name, *rest = words
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f'did you mean {close[0]}?' if close else f'commands are {", ".join(COMMANDS)}'
        tell(f'error: xdet has no command {name[:80]!r}; {hint}', error=True)
        return 2
    command = COMMANDS[name]
    variant = (command.variant,) if command.variant else ()
    return import_module(f'xdet.cli.commands.{command.module}').main(rest, f'xdet {name}', *variant) or 0
