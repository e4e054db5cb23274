"""Listening for connections: what uvicorn leaves to its users, such as slow headers and slow readers."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
from types import FrameType
from typing import Any

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from .service import Service


def bind(host: str, port: int) -> socket.socket:
    """A socket at an address, which nobody can connect to yet; port 0 is a free one.

    Raises:
        OSError: The port is in use or not allowed, or there is no such address; the message is one line.
    """
    where = f'{host}:{port}'
    if not 0 <= port <= 65535:  # the system would count on from 0
        raise OSError(f'--port is {port}; accepted are numbers from 0 to 65535')
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise OSError(f'--host {host}: no such address ({getattr(error, "strerror", None) or error})') from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except (OSError, OverflowError) as error:
        listener.close()
        code = getattr(error, 'errno', None)
        if code == errno.EADDRINUSE:
            raise OSError(f'{where} is in use by another program; choose another --port') from None
        if code == errno.EACCES:
            raise OSError(f'{where}: this user may not listen there; accepted are ports from 1024') from None
        raise OSError(f'{where}: cannot listen there ({getattr(error, "strerror", None) or error})') from None
    return listener


def listen(app: FastAPI, service: Service, listener: socket.socket) -> int:
    """Serve until a signal comes, then finish what has begun.

    Returns:
        int: The signal that ended it, 0 for none.
    """
    limits = service.limits

    class Protocol(_Protocol):
        seconds = limits.body_seconds

    config = uvicorn.Config(
        app,
        http=Protocol,
        ws='none',
        lifespan='on',
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=limits.connections,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=int(limits.body_seconds + limits.seconds) + 1,
    )
    server = _Server(config, service)
    server.run(sockets=[listener])
    return server.signal


class _Server(uvicorn.Server):
    """Refuses new requests as soon as a signal comes, and leaves the exit code to the program."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self.service = service
        self.signal = 0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal ends it when all that has begun is done, a second one now."""
        self.force_exit = self.should_exit
        self.should_exit = self.service.stopping = True
        self.signal = signal.Signals(sig).value


class _Protocol(H11Protocol):
    """Closes connections whose headers do not come, and those that do not take their answer."""

    seconds = 20.0
    _due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for headers."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Wait for the rest of headers that have begun."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_watching()
        elif self._due is None and self.conn.trailing_data[0]:
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing to wait for."""
        self._stop_watching()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not take its answer."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        """It does again."""
        self._stop_watching()
        super().resume_writing()

    def _watch(self) -> None:
        self._stop_watching()
        self._due = self.loop.call_later(self.seconds, self._abort)

    def _stop_watching(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _abort(self, *_: Any) -> None:
        self.transport.abort()
