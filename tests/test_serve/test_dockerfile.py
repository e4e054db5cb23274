"""The Dockerfile names files, requirements and options that exist; an image is not built here."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from xdet.cli.commands import serve

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / 'docker' / 'Dockerfile'


def instructions() -> list[tuple[str, str]]:
    """Instructions with their arguments, continued lines joined, without comments."""
    lines = [line for line in DOCKERFILE.read_text(encoding='utf-8').splitlines() if not line.lstrip().startswith('#')]
    joined = re.sub(r'\\\n\s*', ' ', '\n'.join(lines))
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


def arguments(name: str) -> list[str]:
    return [rest for instruction, rest in instructions() if instruction == name]


def test_instructions_are_known_and_in_order() -> None:
    names = [name for name, _ in instructions()]
    assert names[:2] == ['ARG', 'FROM'] and names[-2:] == ['ENTRYPOINT', 'CMD']
    assert set(names) <= set('ARG FROM RUN ENV WORKDIR COPY USER EXPOSE HEALTHCHECK ENTRYPOINT CMD'.split())
    assert arguments('ARG')[0].startswith('BASE=') and arguments('FROM') == ['${BASE}']
    user = names.index('USER')
    assert arguments('USER') == ['xdet'] and 'RUN' not in names[user:] and 'COPY' not in names[user:]


def test_what_is_copied_exists_and_is_not_ignored() -> None:
    kept = (ROOT / 'docker' / 'Dockerfile.dockerignore').read_text(encoding='utf-8').splitlines()
    for rest in arguments('COPY'):
        *sources, _ = rest.split()
        for source in sources:
            assert (ROOT / source).exists(), source
            assert f'!{source.rstrip("/")}' in kept, source


def test_all_that_setup_reads_is_copied() -> None:
    copied = ' '.join(arguments('COPY'))
    for name in ('setup.py', 'pyproject.toml', 'MANIFEST.in', 'README.md', 'requirements/', 'model-index.yml', 'xdet/'):
        assert name in copied


def test_pip_lines() -> None:
    lines = [line.strip() for run in arguments('RUN') for line in run.split('&&') if ' install ' in line]
    lines = [line for line in lines if 'pip install' in line]
    assert len(lines) == 4
    pins = {line.split('==')[0] for line in (ROOT / 'requirements' / 'constraints-ci.txt').read_text().splitlines()}
    for line in lines:
        words = shlex.split(line)
        for option, value in zip(words, words[1:], strict=False):
            if option in ('--constraint', '--requirement'):
                assert (ROOT / value).is_file(), value
        plain = words[words.index('install') + 1 :]
        named = {word for word, before in zip(plain, ['', *plain], strict=False) if not before.startswith('--')}
        assert {word for word in named if not word.startswith('-') and word != '.' and '/' not in word} <= pins | {
            'opencv-python-headless'
        }


def test_it_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    (entry,), (command,) = arguments('ENTRYPOINT'), arguments('CMD')
    words = [*re.findall(r'"([^"]+)"', entry), *re.findall(r'"([^"]+)"', command)]
    assert words[:2] == ['xdet', 'serve']
    args = serve.parser().parse_args(words[2:])
    assert args.host == '0.0.0.0' and str(args.port) in arguments('EXPOSE')
    (health,) = arguments('HEALTHCHECK')
    assert f'127.0.0.1:{args.port}/healthz' in health
