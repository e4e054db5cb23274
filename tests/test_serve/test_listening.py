"""A server on a real port: slow clients are cut, and a signal ends it when all that began is done."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Iterator

import pytest

pytest.importorskip('fastapi', reason='fastapi is not installed (pip install "xdet[serve]")')
uvicorn = pytest.importorskip('uvicorn', reason='uvicorn is not installed (pip install "xdet[serve]")')

from xdet.apis import XDecoderInferencer  # noqa: E402
from xdet.serve import listening  # noqa: E402
from xdet.serve.app import make_app  # noqa: E402
from xdet.serve.limits import Limits  # noqa: E402
from xdet.serve.service import Service  # noqa: E402

SECONDS = 0.5


@pytest.fixture
def served(inferencer: XDecoderInferencer, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple]:
    """Address, service, server and the thread that it runs in."""
    servers = []
    original = listening._Server.__init__

    def note(self, *args) -> None:
        original(self, *args)
        servers.append(self)

    monkeypatch.setattr(listening._Server, '__init__', note)
    service = Service(inferencer, Limits(body_seconds=SECONDS, seconds=10, body_bytes=1_000_000))
    listener = listening.bind('127.0.0.1', 0)
    address = listener.getsockname()
    thread = threading.Thread(target=listening.listen, args=(make_app(service), service, listener))
    thread.start()
    ends = time.monotonic() + 10
    while not (servers and servers[0].started):
        assert time.monotonic() < ends
        time.sleep(0.01)
    yield address, service, servers[0], thread
    servers[0].handle_exit(signal.SIGTERM, None)
    thread.join(20)
    listener.close()
    assert not thread.is_alive()


def received(connection: socket.socket) -> bytes:
    connection.settimeout(10)
    data = b''
    try:
        while chunk := connection.recv(65536):
            data += chunk
    except ConnectionResetError:
        pass
    return data


HEAD = b'POST /v1/tasks/caption HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n'


def test_slow_clients_are_cut(served: tuple) -> None:
    address, service, *_ = served
    connections = [socket.create_connection(address) for _ in range(4)]
    silent, headers, body, disconnecting = connections
    headers.sendall(HEAD)
    body.sendall(HEAD + b'Content-Length: 100\r\n\r\n{"image"')
    disconnecting.sendall(HEAD + b'Content-Length: 100\r\n\r\n{"image"')
    disconnecting.close()
    began = time.monotonic()
    assert received(silent) == received(headers) == b''
    answer = received(body)
    assert answer.startswith(b'HTTP/1.1 408') and b'did not come within 0.5 s' in answer
    assert time.monotonic() - began < 8
    with socket.create_connection(address) as again:
        again.sendall(b'GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
        assert received(again).startswith(b'HTTP/1.1 200')
    for connection in connections:
        connection.close()


def test_uploads_that_are_too_large_hear_so(served: tuple) -> None:
    address, *_ = served
    with socket.create_connection(address) as connection:
        connection.sendall(HEAD + b'Content-Length: 3000000\r\n\r\n' + b'x' * 3_000_000)
        assert received(connection).startswith(b'HTTP/1.1 413')
    with socket.create_connection(address) as connection:
        connection.sendall(HEAD + b'Content-Length: 99999999999\r\n\r\n')
        assert received(connection).startswith(b'HTTP/1.1 413')


def test_clients_that_go_away_do_not_reach_the_model(served: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    address, service, *_ = served
    begun, free, seen = threading.Event(), threading.Event(), []

    def hold(questions):
        seen.append(len(questions))
        begun.set()
        assert free.wait(10)
        return [{} for _ in questions]

    monkeypatch.setattr(service, '_answer', hold)
    body = b'{"handle": "x"}'
    request = HEAD + b'Content-Length: %d\r\n\r\n' % len(body) + body
    first, second = socket.create_connection(address), socket.create_connection(address)
    first.sendall(request)
    assert begun.wait(10)
    second.sendall(request)
    wait_for(lambda: service.worker.waiting == 1)
    second.close()
    wait_for(lambda: service.worker.waiting == 0)
    free.set()
    first.close()
    assert seen == [1]


def test_signal_lets_what_has_begun_end(served: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    address, service, server, thread = served
    begun, free = threading.Event(), threading.Event()

    def hold(*arguments):
        begun.set()
        assert free.wait(10)
        return dict(handle='kept')

    monkeypatch.setattr(service, '_keep_one', hold)
    body = b'{"image": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="}'
    head = HEAD.replace(b'tasks/caption', b'images')
    with socket.create_connection(address) as busy:
        busy.sendall(head + b'Content-Length: %d\r\n\r\n' % len(body) + body)
        assert begun.wait(10)
        server.handle_exit(signal.SIGTERM, None)
        wait_for(lambda: refuses(address))
        assert thread.is_alive()
        free.set()
        answer = received(busy)
    assert answer.startswith(b'HTTP/1.1 201') and b'kept' in answer
    thread.join(10)
    assert not thread.is_alive() and server.signal == signal.SIGTERM and not service.worker.is_alive


def refuses(address: tuple) -> bool:
    try:
        socket.create_connection(address).close()
    except OSError:
        return True
    return False


def wait_for(condition) -> None:
    ends = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)
