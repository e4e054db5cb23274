"""``xdet label-studio``: mistakes are one line, before a model is built."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip('fastapi', reason='fastapi is not installed (pip install "xdet[serve]")')
pytest.importorskip('uvicorn', reason='uvicorn is not installed (pip install "xdet[serve]")')

from xdet.cli.commands import label_studio


@pytest.mark.parametrize(
    'words, told',
    [
        (['--score', '2'], '--score is 2.0; accepted are numbers from 0 to 1'),
        (['--local-files', 'no/such'], "--local-files 'no/such' is no folder"),
        (['--label-studio-url', 'http://a'], 'needs a token'),
        (['--label-studio-token', 'a'], '--label-studio-token says nothing without --label-studio-url'),
        (['--label-studio-url', 'a', '--label-studio-token', 'b'], "--label-studio-url is 'a'; accepted are addresses"),
        (['--label-studio-url', 'http://a', '--label-studio-token', 'b\n'], 'the token of Label Studio is empty or no'),
        (['--train-dir', 'runs', '--train-iters', '0'], '--train-iters is 0'),
        (['--queue', '0'], '--queue is 0'),
    ],
)
def test_wrong_usage(
    words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(label_studio.URL_VARIABLE, raising=False)
    monkeypatch.delenv(label_studio.KEY_VARIABLE, raising=False)
    monkeypatch.setattr('xdet.serve.listening.listen', lambda *_: pytest.fail('it listens'))
    assert label_studio.main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line


def test_missing_packages(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'uvicorn', None)
    assert label_studio.main([]) == 2
    assert 'error: xdet label-studio needs uvicorn (' in capsys.readouterr().err
