"""What the documents tell users to type is true: marked commands run, all others name what exists."""

from __future__ import annotations

import argparse
import ast
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from unittest import mock

import pytest
from packaging.requirements import Requirement

from xdet.cli.main import COMMANDS, main
from xdet.model_zoo import find_config

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [
    *sorted(ROOT.glob('*.md')),
    ROOT / 'configs' / 'xdecoder' / 'README.md',
    *sorted((ROOT / 'docs').glob('*.md')),
]
FENCED = re.compile(r'(<!-- test -->\n)?^```(bash|python)\n(.*?)^```$', re.MULTILINE | re.DOTALL)
SCRIPT = re.compile(r'(?:^|\s)((?:tools|demo|benchmarks)/[\w/]+\.(?:py|sh))((?:\s[^\n]*)?)')
XDET = re.compile(rf'^\s*(?:python -m )?xdet ((?:{"|".join(COMMANDS)})(?:\s[^\n]*)?)$')
VARIABLE = re.compile(r'^\s*([A-Z]+)="([^"]*)"$', re.MULTILINE)
PATH = re.compile(r'(?<![\w/.:-])((?:tests|tools|demo|benchmarks|configs|docs|requirements|xdet)/[\w./+-]+\.\w+)\b')


def marked_blocks() -> Iterator[tuple[str, str]]:
    for marker, language, body in FENCED.findall((ROOT / 'README.md').read_text(encoding='utf-8')):
        if marker:
            yield language, body


def commands(document: Path) -> Iterator[tuple[str, list[str]]]:
    """Scripts that a document calls, or ``xdet``, with their arguments; what may be left out is in brackets there."""
    text = document.read_text(encoding='utf-8').replace('\\\n', ' ')
    for name, value in VARIABLE.findall(text):
        text = text.replace(f'${name}', value)
    for line in text.splitlines():
        if re.match(r'\s*(\w+=\S+ )*(python|bash) ', line):
            for script, rest in SCRIPT.findall(line.replace('`', ' ')):
                yield script, list(arguments_in(rest))
        if ' -> ' not in line and (called := XDET.match(line)):  # a picture of who calls whom is no command
            yield 'xdet', list(arguments_in(called[1]))


def arguments_in(text: str) -> Iterator[str]:
    lexer = shlex.shlex(text, posix=True, punctuation_chars=';&|<>')
    lexer.whitespace_split = True
    for token in lexer:
        if token[0] in ';&|<>':
            return
        if token.startswith('[') or (token.endswith(']') and '[' not in token):  # what may be left out
            token = token.strip('[]')
        if token.strip('.'):
            yield token


ALL_COMMANDS = [(document, *command) for document in DOCUMENTS for command in commands(document)]


@pytest.mark.parametrize(('language', 'body'), list(marked_blocks()))
def test_marked_block_runs(language: str, body: str, tmp_path: Path) -> None:
    program = body.replace('outputs/demo', str(tmp_path))
    python_first = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    environment = {**os.environ, 'PATH': python_first, 'PYTHONPATH': str(ROOT)}
    command = ['bash', '-euc', program] if language == 'bash' else [sys.executable, '-c', program]
    result = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert result.returncode == 0, result.stdout
    assert list(tmp_path.rglob('*.png')) and list(tmp_path.rglob('*.json')), 'it wrote nothing'


def test_documents_are_read() -> None:
    assert len(list(marked_blocks())) >= 2
    scripts = {script for _, script, _ in ALL_COMMANDS}
    assert {'xdet', 'tools/train.py', 'tools/test.py', 'tools/dist_train.sh'} <= scripts


class Parsed(BaseException):
    """Ends a program when it has understood its arguments."""


def parse(script: Path | str, arguments: list[str]) -> None:
    """Run a program up to the point where its arguments are parsed; a mistake in them is a ``SystemExit``."""
    understand = argparse.ArgumentParser.parse_args

    def parse_and_stop(
        parser: argparse.ArgumentParser, argv: list[str] | None = None, namespace: object = None
    ) -> None:
        understand(parser, argv, namespace)
        raise Parsed

    with (
        mock.patch.object(argparse.ArgumentParser, 'parse_args', parse_and_stop),
        mock.patch.object(sys, 'argv', [str(script), *arguments]),
        mock.patch.object(sys, 'path', [str(Path(script).parent), *sys.path]),  # as Python does
        mock.patch.dict(os.environ),
        pytest.raises(Parsed),
    ):
        main(arguments) if str(script) == 'xdet' else runpy.run_path(str(script), run_name='__main__')


def program_of(script: str, arguments: list[str]) -> tuple[Path, list[str]]:
    """The Python program behind a script, and what reaches it."""
    path = ROOT / script
    if path.suffix == '.py':
        return path, arguments
    own = dict(dist_train=(0, 1), dist_test=(0, 2), slurm_train=(2, 3), slurm_test=(2, 4))[path.stem]
    kept = arguments[own[0] : own[1]] + arguments[own[1] + (path.stem.startswith('dist')) :]
    if path.stem == 'slurm_train':
        kept = [arguments[2], '--work-dir', *arguments[3:]]
    return path.with_name(path.stem.split('_')[1] + '.py'), kept


@pytest.mark.parametrize(
    ('document', 'script', 'arguments'), ALL_COMMANDS, ids=[f'{doc.name}-{script}' for doc, script, _ in ALL_COMMANDS]
)
def test_command_is_understood(document: Path, script: str, arguments: list[str]) -> None:
    """Files, options, values and names of configs are right; the program is not run."""
    if script == 'xdet':
        parse(script, arguments)
        return
    assert (ROOT / script).is_file()
    program, given = program_of(script, arguments)
    if '--benchmarks' in given and script.endswith('dist_test.sh'):
        program = ROOT / 'tools' / 'zeroshot_suite.py'
    text = program.read_text(encoding='utf-8')
    if 'ArgumentParser' in text or 'from xdet.cli.' in text:
        parse(program, given)
    else:
        assert not given, f'{script} takes no arguments'
    for argument in arguments:
        if re.fullmatch(r'(xdet::xdecoder/)?xdecoder_[\w.-]+', argument) and not argument.endswith(('.pt', '.pth')):
            assert find_config(argument).is_file()
        elif argument.startswith(('configs/', 'demo/', 'xdet/')):
            assert (ROOT / argument).exists()


@pytest.mark.parametrize('document', DOCUMENTS, ids=lambda path: path.name)
def test_files_that_are_named_exist(document: Path) -> None:
    named = {path for path in PATH.findall(document.read_text(encoding='utf-8')) if 'NAME' not in path}
    assert not {path for path in named if not (ROOT / path).exists()}


def installed_by(*files: str) -> set[str]:
    """Distributions that requirement files bring, with what those require in turn."""
    todo = [line for file in files for line in (ROOT / 'requirements' / file).read_text().splitlines()]
    found: set[str] = set()
    while todo:
        line = todo.pop().split('#')[0].strip()
        if not line or line.startswith('-'):
            continue
        requirement = Requirement(line)
        name = requirement.name.lower().replace('_', '-')
        if name in found or (requirement.marker and not requirement.marker.evaluate(dict(extra=''))):
            continue
        found.add(name)
        try:
            todo += metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
    return found


def test_documented_programs_need_no_more_than_make_demo_installs() -> None:
    """What is imported when a program starts; pages that need more say `pip install` or `make test`."""
    brought = installed_by('runtime.txt', 'mim.txt')
    distributions = metadata.packages_distributions()
    for document, script, _ in ALL_COMMANDS:
        if not script.endswith('.py'):
            continue
        for node in ast.parse((ROOT / script).read_text(encoding='utf-8')).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ''] if isinstance(node, ast.ImportFrom) else []
            for name in {name.split('.')[0] for name in names} - sys.stdlib_module_names - {'xdet'}:
                if (ROOT / script).with_name(f'{name}.py').is_file():
                    continue
                origins = {origin.lower().replace('_', '-') for origin in distributions.get(name, ())}
                text = document.read_text(encoding='utf-8')
                assert origins & brought or 'make test' in text, f'{document.name}: {script} imports {name}'


@pytest.mark.parametrize('document', DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r'\]\((?!https?://)([^)#]+)(?:#[^)]*)?\)', document.read_text(encoding='utf-8'))
    missing = [link for link in links if not (document.parent / link).exists()]
    assert not missing


def test_make_targets_exist() -> None:
    makefile = (ROOT / 'Makefile').read_text(encoding='utf-8')
    for document in DOCUMENTS:
        for target in re.findall(
            r'(?:^|`)make (?:\w+=\S+ )*([a-z]+)', document.read_text(encoding='utf-8'), re.MULTILINE
        ):
            assert re.search(rf'^{target}:', makefile, re.MULTILINE), f'{document.name}: make {target}'
