"""What every server here does with requests: bodies within limits, tokens, waiting for the model, one-line errors."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import json
import re
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Request, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xdet.io.schema import shown

from .metrics import Metrics
from .refusal import Refused
from .service import Service

_OPEN = ('/healthz', '/readyz', '/health')
_BODIES_IN_MEMORY = 8
_READ_TO_THE_END = 4
_READERS = 2
"""Threads that read bodies and write answers, so that none of them keeps the others waiting."""
_T = TypeVar('_T')


class Handling:
    """Handlers of requests build on it."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.limits = service.limits
        self.metrics = Metrics()
        self._in_memory = 0
        self._readers = CapacityLimiter(_READERS)

    async def body(self, request: Request) -> bytes:
        """The body, which is cut where it is too large or too slow."""
        limits = self.limits
        too_large = f'the body has more than {limits.body_bytes} bytes'
        ends = time.monotonic() + limits.body_seconds
        length = request.headers.get('content-length', '')
        told = int(length) if re.fullmatch('[0-9]{1,18}', length) else 0  # what comes is counted anyway
        if told > limits.body_bytes:
            if told <= _READ_TO_THE_END * limits.body_bytes:
                await _discard(request, ends)
            raise Refused(413, too_large)
        body = bytearray()
        try:
            while True:
                message = await asyncio.wait_for(request.receive(), max(ends - time.monotonic(), 0))
                if message['type'] == 'http.disconnect':
                    raise _Gone
                chunk = message.get('body', b'')
                body += chunk
                self._in_memory += len(chunk)
                if len(body) > limits.body_bytes:
                    raise Refused(413, too_large)
                if self._in_memory > _BODIES_IN_MEMORY * limits.body_bytes:
                    raise Refused(429, 'too many large bodies are on their way; try again later', {'Retry-After': '1'})
                if not message.get('more_body', False):
                    return bytes(body)
        except asyncio.TimeoutError:
            raise Refused(408, f'the body did not come within {limits.body_seconds:g} s') from None
        finally:
            self._in_memory -= len(body)

    async def result(self, request: Request, future: Future[_T]) -> _T:
        """Wait for an answer; a client that goes away or waits too long takes its request out of the queue."""
        answer = asyncio.ensure_future(asyncio.wrap_future(future))
        gone = asyncio.ensure_future(_disconnected(request))
        try:
            both: set[asyncio.Future[Any]] = {answer, gone}
            await asyncio.wait(both, timeout=self.limits.seconds, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            if gone.done():
                raise _Gone
            raise Refused(503, f'this request was not answered within {self.limits.seconds:g} s')
        finally:
            gone.cancel()
            answer.cancel()  # nothing happens to one that has begun, and nobody waits for it

    async def in_thread(self, function: Callable[..., _T], *arguments: Any) -> _T:
        return await to_thread.run_sync(partial(function, *arguments), limiter=self._readers)


class _Gone(Refused):
    """The client has closed its connection; nobody reads what it is told."""

    def __init__(self) -> None:
        super().__init__(499, 'the client is gone')


class Guard:
    """Counts requests, and refuses those without the token or from pages of other hosts."""

    def __init__(
        self, app: ASGIApp, metrics: Metrics, token: str | None = None, hosts: Collection[str] | None = None
    ) -> None:
        self.app = app
        self.metrics = metrics
        self.token = token
        self.hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope['type'] != 'http':
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message['type'] == 'http.response.start':
                status = message['status']
            await send(message)

        try:
            refusal = self._refusal(Request(scope))
            if refusal is not None:
                await _answer_of(refusal)(scope, receive, noting)
            else:
                await self.app(scope, receive, noting)
        finally:
            route = scope.get('route')
            endpoint = getattr(route, 'path', 'other')
            self.metrics.count(endpoint, status, time.perf_counter() - began)

    def _refusal(self, request: Request) -> Refused | None:
        host = request.headers.get('host', '')
        if self.hosts is not None and _name_of(host) not in self.hosts:
            return Refused(403, f'the host is {shown(host)}; accepted are {", ".join(sorted(self.hosts))}')
        origin = request.headers.get('origin')
        if origin is not None and origin.partition('://')[2] != host:
            return Refused(403, f'pages of {shown(origin)} may not use this server')
        if self.token is not None and request.url.path not in _OPEN:
            given = _token_of(request.headers.get('authorization', ''))
            if not hmac.compare_digest(given.encode('utf-8', 'replace'), self.token.encode()):
                return Refused(401, 'the token is missing or wrong', {'WWW-Authenticate': 'Bearer'})
        return None


def _token_of(header: str) -> str:
    """The token of ``Authorization``: that of a bearer, or the password of any user."""
    kind, _, given = header.partition(' ')
    if kind.lower() == 'bearer':
        return given.strip()
    if kind.lower() == 'basic':
        try:
            return base64.b64decode(given.strip(), validate=True).decode('utf-8', 'replace').partition(':')[2]
        except (binascii.Error, ValueError):
            return ''
    return ''


def _name_of(host: str) -> str:
    """Name or address in a ``Host`` header, without the port."""
    return (host.partition(']')[0] + ']' if host.startswith('[') else host.partition(':')[0]).lower()


async def _discard(request: Request, ends: float) -> None:
    """Read a body that is refused: many clients listen to the answer only when they have sent all of it."""
    try:
        while (await asyncio.wait_for(request.receive(), max(ends - time.monotonic(), 0))).get('more_body', False):
            pass
    except asyncio.TimeoutError:
        pass


async def _disconnected(request: Request) -> None:
    while (await request.receive())['type'] != 'http.disconnect':
        pass


def json_answer(data: Any, status: int = 200) -> Response:
    return json_of(json.dumps(data, ensure_ascii=False).encode('utf-8', errors='replace'), status)


def json_of(data: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(data, status, headers, 'application/json')


def _answer_of(error: Refused) -> Response:
    # What is left of a body that was not read is not waited for.
    data = json.dumps(dict(error=error.message), ensure_ascii=False).encode('utf-8', errors='replace')
    return json_of(data, error.status, {**error.headers, 'Connection': 'close'})


async def refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return _answer_of(error)


async def http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    told = {404: 'there is no such path; /v1/tasks lists what there is', 405: 'this path takes another method'}
    return _answer_of(Refused(error.status_code, told.get(error.status_code, str(error.detail)), error.headers))


async def fault(request: Request, error: Exception) -> Response:
    return _answer_of(Refused(500, f'the server failed ({type(error).__name__}); its log says more'))
