"""The page's answers to its events, and what its server refuses; without a browser."""

from __future__ import annotations

import json
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xdet.apis import XDecoderInferencer
from xdet.cli.main import main
from xdet.page.desk import Desk

gradio = pytest.importorskip('gradio', reason='gradio is not installed (pip install -r requirements/page.txt)')
pytestmark = pytest.mark.browser  # Gradio brings an older Pillow than the other tests are run with


@pytest.fixture(scope='module')
def desk(inferencer: XDecoderInferencer) -> Desk:
    return Desk(dict(tiny=lambda: inferencer))


@pytest.fixture(scope='module')
def url(desk: Desk) -> Iterator[str]:
    from xdet.page.app import opened

    with opened(desk, port=0) as url:
        yield url


def _get(url: str, data: object = None) -> tuple[str, dict[str, str]]:
    content = None if data is None else json.dumps(data).encode()
    request = urllib.request.Request(url, content, {'Content-Type': 'application/json'})
    with urllib.request.urlopen(request, timeout=60) as response:
        return response.read().decode(), dict(response.headers)


def test_the_browser_is_told_to_stay_here(url: str) -> None:
    text, headers = _get(url)
    policy = headers['content-security-policy']
    assert "default-src 'self'" in policy and 'http' not in policy
    assert headers['x-content-type-options'] == 'nosniff'
    assert '<script src="http' not in text and 'fonts.g' not in text
    assert url.startswith('http://127.0.0.1:')


def test_addresses_are_not_fetched(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[str] = []

    async def fetch(address: str, *_: object, **__: object) -> str:
        fetched.append(address)
        return ''

    monkeypatch.setattr('gradio.processing_utils.async_ssrf_protected_download', fetch)
    config = json.loads(_get(f'{url}config')[0])
    files = {part['id'] for part in config['components'] if part['type'] in ('image', 'file')}
    takers = [event for event in config['dependencies'] if files & set(event['inputs'])]
    assert len(takers) >= 2
    for number, event in enumerate(takers):
        values = [_file('http://example.org/x.png') if place in files else None for place in event['inputs']]
        ask = dict(data=values, fn_index=event['id'], session_hash=f'session{number}', trigger_id=None)
        _get(f'{url}gradio_api/queue/join', ask)
        told = _get(f'{url}gradio_api/queue/data?session_hash=session{number}')[0]
        assert 'addresses are not fetched' in told and '"success":false' in told.replace(' ', '')
    assert not fetched


def _file(path: str) -> dict[str, object]:
    return dict(path=path, url=path, meta=dict(_type='gradio.FileData'))


def test_files_of_the_machine_are_not_served(url: str) -> None:
    with pytest.raises(urllib.error.HTTPError, match='403'):
        _get(f'{url}gradio_api/file=/etc/passwd')


def test_unforeseen_errors_are_one_line(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from xdet.page.events import Page

    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / 'x.png')
    page = Page(desk, tmp_path)
    values = dict.fromkeys([page.files, *page.fields.values()])
    values |= {page.model: 'tiny', page.task: 'caption', page.path: str(tmp_path / 'x.png')}

    def broken(*_: object) -> None:
        raise KeyError('a fault\nwith <b>lines</b>')

    monkeypatch.setattr(desk, 'run', broken)
    (told,) = page._guarded(page.answer)(values).values()
    assert '\n' not in told and '&lt;b&gt;' in told and 'a fault with' in told and 'Traceback' not in told
    assert 'a request to the page failed' in caplog.text


def test_a_port_in_use_is_one_line(capsys: pytest.CaptureFixture, desk: Desk) -> None:
    from xdet.page.app import opened

    with socket.create_server(('127.0.0.1', 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(OSError, match=f'cannot listen at 127.0.0.1:{port} .*choose another --port'):
            opened(desk, port=port).__enter__()
    assert main(['page', '--port', '70000']) == 2
    assert '--port is 70000' in capsys.readouterr().err


def test_without_gradio_it_is_one_line(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'gradio', None)
    monkeypatch.delitem(sys.modules, 'xdet.page.app', raising=False)
    assert main(['page']) == 2
    assert 'pip install "xdet[page]"' in capsys.readouterr().err
