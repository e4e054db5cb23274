"""Images of tasks: uploads, whose addresses may be asked, and with which token."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest

pytest.importorskip('fastapi', reason='fastapi is not installed (pip install "xdet[serve]")')
pytest.importorskip('starlette.testclient', reason='httpx2 is not installed (requirements/tests.txt)')

from xdet.serve.label_studio.images import LabelStudio, TaskImages  # noqa: E402
from xdet.serve.refusal import Refused  # noqa: E402


class Served:
    """What a Label Studio answers, by path."""

    def __init__(self, answers: dict[str, bytes]) -> None:
        self.answers, self.asked = answers, []

    def open(self, request, timeout):
        self.asked.append((request.full_url, request.headers.get('Authorization')))
        body = io.BytesIO(self.answers[request.full_url.removeprefix('http://127.0.0.1:8080/x')])
        return body


def test_uploads_come_from_label_studio_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = (folder / 'in' / '0 a.png').read_bytes()
    own = LabelStudio('http://127.0.0.1:8080/x/', 'abc')
    served = Served({'/data/upload/1/a%20b.png': content})
    monkeypatch.setattr(own, '_opener', served)
    images = TaskImages(None, own, 300_000)
    for link in ('/data/upload/1/a%20b.png', 'http://127.0.0.1:8080/x/data/upload/1/a b.png'):
        assert images.read(link) == ('a b.png', content)
    assert served.asked == [('http://127.0.0.1:8080/x/data/upload/1/a%20b.png', 'Token abc')] * 2
    for link in ('http://127.0.0.1:8080.evil.net/data/upload/a', '/data/upload/../../api/users', '/api/projects'):
        with pytest.raises(Refused):
            images.read(link)
    with pytest.raises(Refused, match='more than 10 bytes'):
        own.get('/data/upload/1/a%20b.png', 10)
    assert len(served.asked) == 3


def test_personal_access_tokens_are_exchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    token = '.'.join(base64.urlsafe_b64encode(part).decode().strip('=') for part in (b'{}', b'{}', b'x'))
    own = LabelStudio('http://127.0.0.1:8080/x', token)
    served = Served({'/api/token/refresh': b'{"access": "short"}', '/a': b'1'})
    monkeypatch.setattr(own, '_opener', served)
    assert own.get('/a', 9) == own.get('/a', 9) == b'1'
    assert [header for _, header in served.asked] == [None, 'Bearer short', 'Bearer short']
    served.answers['/api/token/refresh'] = b'[]'
    own._until = 0.0
    with pytest.raises(Refused, match='did not accept the token'):
        own.get('/a', 9)


def test_redirects_are_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    own = LabelStudio('http://127.0.0.1:8080', 'abc')
    handlers = {type(handler).__name__ for handler in own._opener.handlers}
    assert handlers == {'HTTPHandler', 'HTTPSHandler', 'HTTPDefaultErrorHandler', 'HTTPErrorProcessor'}


@pytest.mark.parametrize('url', ['', 'ftp://a', 'http://', 'http://user:x@a', 'http://a?b=c', 'localhost:8080'])
def test_bad_addresses(url: str) -> None:
    with pytest.raises(ValueError, match='--label-studio-url is'):
        LabelStudio(url, 'abc')
