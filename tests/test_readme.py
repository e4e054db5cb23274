"""What the documents tell users to type is true: marked commands run, all others name what exists."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from xdet.model_zoo import EMBEDDED_WEIGHTS, find_config

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / 'README.md', ROOT / 'configs' / 'xdecoder' / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]
FENCED = re.compile(r'(<!-- test -->\n)?^```(bash|python)\n(.*?)^```$', re.MULTILINE | re.DOTALL)
SCRIPT = re.compile(r'(?:^|\s)((?:tools|demo)/[\w/]+\.(?:py|sh))((?:\s+[^\n#]*)?)')


def marked_blocks() -> Iterator[tuple[str, str]]:
    for marker, language, body in FENCED.findall((ROOT / 'README.md').read_text(encoding='utf-8')):
        if marker:
            yield language, body


def commands(document: Path) -> Iterator[tuple[str, list[str]]]:
    """Scripts of tools/ and demo/ that a document calls, with their arguments."""
    text = document.read_text(encoding='utf-8').replace('\\\n', ' ')
    for line in text.splitlines():
        if re.match(r'\s*(\w+=\S+ )*(python|bash) ', line):
            for script, arguments in SCRIPT.findall(line):
                yield script, shlex.split(arguments.strip().strip('`'))


ALL_COMMANDS = [(document, *command) for document in DOCUMENTS for command in commands(document)]


@pytest.mark.parametrize(('language', 'body'), list(marked_blocks()))
def test_marked_block_runs(language: str, body: str, tmp_path: Path) -> None:
    if not EMBEDDED_WEIGHTS.is_file():
        pytest.skip(f'the embedded weights {EMBEDDED_WEIGHTS.name} have not been made yet')
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
    assert {'demo/image_demo.py', 'tools/train.py', 'tools/test.py', 'tools/dist_train.sh'} <= scripts


@pytest.fixture(scope='module')
def help_of() -> dict[str, str]:
    return {}


@pytest.mark.parametrize(
    ('document', 'script', 'arguments'), ALL_COMMANDS, ids=[f'{doc.name}-{script}' for doc, script, _ in ALL_COMMANDS]
)
def test_command_exists(
    document: Path, script: str, arguments: list[str], help_of: dict[str, str], capsys: pytest.CaptureFixture
) -> None:
    assert (ROOT / script).is_file()
    name = Path(script).name.replace('dist_', '').replace('slurm_', '').replace('.sh', '.py')
    path = (ROOT / script).with_name(name)
    if path not in help_of:
        with mock.patch.object(sys, 'argv', [str(path), '--help']), pytest.raises(SystemExit):
            runpy.run_path(str(path), run_name='__main__')
        help_of[path] = capsys.readouterr().out
    for argument in arguments:
        if argument.startswith('--'):
            assert re.search(rf'{argument}\b', help_of[path]), f'{script} has no {argument}'
        elif re.fullmatch(r'(xdet::xdecoder/)?xdecoder_[\w.-]+', argument) and not argument.endswith(('.pt', '.pth')):
            assert find_config(argument).is_file()
        elif argument.startswith(('configs/', 'demo/')):
            assert (ROOT / argument).exists()


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
