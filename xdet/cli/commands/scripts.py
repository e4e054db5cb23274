"""Commands whose programs are scripts that come with the package: ``xdet convert``, ``xdet demo``, and so on.

A new converter in ``tools/dataset_converters`` is a new ``xdet convert NAME`` without a word here.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from xdet.cli.parsing import Parser
from xdet.io.terminal import tell

FOLDERS = dict(
    convert=('tools/dataset_converters/*.py', 'tools/misc/split_coco.py'),
    download=('tools/misc/download_dataset.py',),
    demo=('demo/tour.py',),
    export=('tools/deployment/export_onnx.py',),
)
"""Scripts of each command, as patterns below the folder that ``tools`` and ``demo`` lie in."""


def find_scripts(command: str) -> dict[str, Path]:
    """The scripts of a command by their names.

    Raises:
        FileNotFoundError: They are not there.
    """
    from xdet.model_zoo import shipped_file

    root = shipped_file('tools').parent
    return {path.stem: path for pattern in FOLDERS[command] for path in sorted(root.glob(pattern))}


def parser(prog: str | None = None, command: str = 'convert') -> argparse.ArgumentParser:
    """Command line in front of the scripts, each of which has its own."""
    scripts = find_scripts(command)
    lines = [f'  {name:<18}{summary(path)}' for name, path in scripts.items()]
    parser = Parser(
        prog,
        description='\n'.join(['Data sets into the layouts that training reads, and parts of them:', '', *lines]),
        epilog='xdet convert NAME --help shows the arguments of one.',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('name', metavar='NAME', choices=[*scripts], help='one of these')
    parser.add_argument('arguments', nargs=argparse.REMAINDER, help='its arguments')
    return parser


def main(argv: Sequence[str] | None = None, prog: str | None = None, command: str = 'convert') -> int:
    """Run a script with the arguments that follow its name; returns its exit code."""
    rest = list(sys.argv[1:] if argv is None else argv)
    scripts = find_scripts(command)
    if len(scripts) == 1:
        return _run(next(iter(scripts.values())), f'{prog}', rest)
    if not rest or rest[0] in ('-h', '--help'):
        parser(prog, command).print_help()
        return 0 if rest else 2
    name = rest[0].replace('-', '_')
    if name not in scripts:
        close = difflib.get_close_matches(name, scripts, n=1)
        hint = f'did you mean {close[0]}?' if close else f'accepted are {", ".join(scripts)}'
        tell(f'error: {prog}: {rest[0][:80]!r} is unknown; {hint}', error=True)
        return 2
    return _run(scripts[name], f'{prog} {name}', rest[1:])


def _run(script: Path, prog: str, arguments: list[str]) -> int:
    # Not `runpy.run_path`, which would call the program by its file.
    code = compile(script.read_bytes(), script, 'exec', dont_inherit=True)
    program, caller, written = ModuleType('__main__'), sys.modules['__main__'], sys.argv
    program.__file__ = str(script)
    sys.modules['__main__'], sys.argv = program, [prog, *arguments]
    try:
        exec(code, program.__dict__)
    except SystemExit as ended:
        if isinstance(ended.code, str):
            tell(ended.code, error=True)
            return 1
        return ended.code or 0
    finally:
        sys.modules['__main__'], sys.argv = caller, written
    return 0


def summary(path: Path) -> str:
    """First line of a script's documentation, read without running it."""
    documentation = ast.get_docstring(ast.parse(path.read_text(encoding='utf-8'))) or ''
    return documentation.split('\n')[0]
