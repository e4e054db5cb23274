"""``xdet serve``: mistakes are one line, before a model is built."""

from __future__ import annotations

import socket
import sys

import pytest

from xdet.cli.commands import serve


def error_of(capsys: pytest.CaptureFixture, *words: str) -> str:
    assert serve.main(words) == 2
    captured = capsys.readouterr()
    assert not captured.out
    (line,) = captured.err.splitlines()
    return line


def test_missing_packages(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'fastapi', None)
    line = error_of(capsys)
    assert line.startswith('error: xdet serve needs fastapi (') and line.endswith('; pip install "xdet[serve]"')


def test_wrong_usage(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip('fastapi', reason='fastapi is not installed (pip install "xdet[serve]")')
    pytest.importorskip('uvicorn', reason='uvicorn is not installed (pip install "xdet[serve]")')
    monkeypatch.setattr('xdet.serve.listening.listen', lambda *_: pytest.fail('it listens'))
    assert '--pixels is 0; accepted are numbers above 0' in error_of(capsys, '--pixels', '0')
    assert '--batch-size is 0' in error_of(capsys, '--batch-size', '0')
    assert 'the token is empty' in error_of(capsys, '--token', ' ')
    assert '--port is 70000; accepted are numbers from 0 to 65535' in error_of(capsys, '--port', '70000')
    assert 'no such address' in error_of(capsys, '--host', 'no.such.host.invalid')
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert f'127.0.0.1:{port} is in use by another program' in error_of(capsys, '--port', port)


def test_forbidden_port(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip('uvicorn', reason='uvicorn is not installed (pip install "xdet[serve]")')
    from xdet.serve import listening

    def refuse(self, address):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(listening.socket.socket, 'bind', refuse)
    with pytest.raises(OSError, match='127.0.0.1:80: this user may not listen there; accepted are ports from 1024'):
        listening.bind('127.0.0.1', 80)
