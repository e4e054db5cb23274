"""The service as HTTP: routes, bodies that are read within limits, one-line errors, and the OpenAPI description."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import partial
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xdet.datasets.vocab import VOCABULARIES
from xdet.inference.outputs.writer import json_bytes, png_bytes
from xdet.io.schema import shown
from xdet.structures import FORMATS
from xdet.version import __version__

from .bodies import Asked, load_json, parse
from .metrics import Metrics, resident_bytes
from .refusal import Refused
from .schema import Schema, option_schema, options_of_task, options_schema, result_schema
from .service import Answer, Service

_LOGGER = logging.getLogger(__name__)
_OPEN = ('/healthz', '/readyz')
_EXPIRY_SECONDS = 5.0
_BODIES_IN_MEMORY = 8
_READ_TO_THE_END = 4
_READERS = 2
"""Threads that read bodies and write answers, so that none of them keeps the others waiting."""
_T = TypeVar('_T')

_ERRORS = {
    400: 'the body cannot be read',
    401: 'no token, or a wrong one',
    404: 'no such path, or the image of this handle is not kept',
    408: 'the body did not come in time',
    413: 'more bytes, pixels, prompts or text than accepted',
    415: 'a body of another kind',
    422: 'an image, a prompt or an option is wrong; the error names it',
    429: 'too many requests wait',
    503: 'the server is stopping, or the request was not answered in time',
}
"""Statuses of refusals, all with the body ``{"error": "one line"}``."""


def make_app(service: Service, token: str | None = None, hosts: Collection[str] | None = None) -> FastAPI:
    """The application of a service.

    Args:
        service (Service): Its thread ends with the application.
        token (str, optional): What requests must have as ``Authorization: Bearer TOKEN``.
        hosts (Collection[str], optional): Names by which the server may be called; None: any. With those of this
            machine alone, no page that a browser shows can reach the server under a name of its own.
    """
    server = _Server(service)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        expiry = asyncio.create_task(server.expire())
        yield
        expiry.cancel()
        service.stopping = True
        await to_thread.run_sync(service.worker.close)

    app = FastAPI(
        title='xdet',
        version=__version__,
        description=f'Tasks of {service.inferencer.origin.model} on images. docs/serve.md explains it.',
        docs_url=None,  # these pages would load scripts from other hosts
        redoc_url=None,
        lifespan=lifespan,
        exception_handlers={Refused: _refused, HTTPException: _http_error, Exception: _fault},
    )
    app.add_middleware(_Guard, metrics=server.metrics, token=token, hosts=hosts)
    add = partial(app.add_api_route, response_class=Response, response_model=None)
    names = service.inferencer.task_names
    add('/v1/tasks', server.tasks, methods=['GET'], summary='Tasks, their options, and limits', responses=_errors(401))
    for name in names:
        add(
            f'/v1/tasks/{name}',
            partial(server.one_task, name),
            methods=['POST'],
            operation_id=name,
            summary=' '.join((type(FORMATS[name]).__doc__ or name).split('\n')[0].split()),
            openapi_extra=_body(options_schema(name)),
            responses={200: _json_and_png(result_schema(name)), **_errors()},
        )
    several: Schema = dict(
        type='object',
        required=['tasks'],
        properties=dict(tasks=dict(type='object', properties={name: options_schema(name) for name in names})),
    )
    results = dict(type='object', properties={name: result_schema(name) for name in names})
    add(
        '/v1/predict',
        server.several_tasks,
        methods=['POST'],
        operation_id='predict',
        summary='Several tasks of one image',
        openapi_extra=_body(several),
        responses={200: _content(dict(type='object', properties=dict(results=results))), **_errors()},
    )
    add(
        '/v1/images',
        server.keep,
        methods=['POST'],
        operation_id='keep_image',
        status_code=201,
        summary='Encode an image once and keep it for many prompts',
        openapi_extra=_body(
            dict(type='object', properties=dict(task=dict(enum=list(names), description='resize as for it'))), False
        ),
        responses={201: _content(_KEPT), **_errors()},
    )
    add(
        '/v1/images/{handle}',
        server.drop,
        methods=['DELETE'],
        operation_id='drop_image',
        status_code=204,
        summary='Forget a kept image',
        responses=_errors(401, 404),
    )
    add('/healthz', server.health, methods=['GET'], summary='Whether the process answers')
    add('/readyz', server.ready, methods=['GET'], summary='Whether a request would be taken now')
    add('/metrics', server.prometheus, methods=['GET'], summary='Numbers in the text format of Prometheus')
    return app


class _Server:
    """Handlers of the routes."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.limits = service.limits
        self.metrics = Metrics()
        self._in_memory = 0
        self._readers = CapacityLimiter(_READERS)

    async def expire(self) -> None:
        """Forget kept images in time, also when nobody asks for any."""
        while True:
            await asyncio.sleep(_EXPIRY_SECONDS)
            self.service.kept.expire()

    async def tasks(self) -> Response:
        """What there is."""
        service = self.service
        tasks = {}
        for name in service.inferencer.task_names:
            options = {option: option_schema(entry) for option, entry in options_of_task(name).items()}
            form = FORMATS[name]
            needs = dict(needs_one_of=list(form.one_of), needs_any_of=list(form.any_of))
            tasks[name] = dict(path=f'/v1/tasks/{name}', **needs, options=options)
        default = service.inferencer.default_vocabulary
        return _json(
            dict(
                **service.inferencer.origin.describe(),
                tasks=tasks,
                classes=None if default is None else list(default.names),
                vocabularies=list(VOCABULARIES),
                limits=asdict(self.limits),
            )
        )

    async def one_task(self, task: str, request: Request) -> Response:
        """The result of a task, as ``xdet predict`` writes it; with ``Accept: image/png`` the overlay alone."""
        asked = await self._asked(request)
        wants_png = 'image/png' in request.headers.get('accept', '')
        options = dict(asked.options, return_vis=True) if wants_png else asked.options
        answers = await self._result(request, self.service.submit(asked, {task: options}))
        if wants_png:
            data = await self._in_thread(png_bytes, answers[task].overlay)
            return Response(data, media_type='image/png')
        return _json_of(await self._in_thread(_encode, answers, task))

    async def several_tasks(self, request: Request) -> Response:
        """Results of several tasks of one image, which is encoded once."""
        asked = await self._asked(request)
        tasks = asked.options.pop('tasks', None)
        if isinstance(tasks, str):
            tasks = await self._in_thread(load_json, tasks)
        if isinstance(tasks, list):
            tasks = {task: {} for task in tasks if isinstance(task, str)}
        if not isinstance(tasks, dict):
            raise Refused(422, f'tasks is {shown(tasks)}; accepted is an object with the options of every task')
        if asked.options:
            raise Refused(422, f'{shown(sorted(asked.options)[0])} stands outside of tasks; options belong to a task')
        answers = await self._result(request, self.service.submit(asked, tasks))
        return _json_of(await self._in_thread(_encode, answers))

    async def keep(self, request: Request) -> Response:
        """Encode an image and keep it; the answer says its handle."""
        asked = await self._asked(request)
        task = asked.options.pop('task', None)
        if asked.image is None:
            raise Refused(422, 'image is missing; send a file, or its bytes as base64')
        if asked.options:
            raise Refused(422, f'unknown option {shown(sorted(asked.options)[0])}; accepted are image and task')
        names = self.service.inferencer.task_names
        if task is not None and task not in names:
            raise Refused(422, f'task is {shown(task)}; accepted are {", ".join(names)}')
        return _json(await self._result(request, self.service.submit_image(asked, task)), 201)

    async def drop(self, handle: str) -> Response:
        """Forget a kept image."""
        if not self.service.kept.drop(handle):
            raise Refused(404, 'there is no image of this handle, or not any more')
        return Response(status_code=204)

    async def health(self) -> Response:
        """The event loop runs."""
        return _json(dict(status='ok'))

    async def ready(self) -> Response:
        """Whether a request would be taken now."""
        self.service.check_open()
        return _json(dict(status='ready'))

    async def prometheus(self) -> Response:
        """Metrics."""
        service = self.service
        kept, worker = service.kept, service.worker
        text = self.metrics.text(
            [
                ('xdet_requests_waiting', 'gauge', 'Requests that wait for the model.', worker.waiting),
                ('xdet_requests_running', 'gauge', 'Requests that the model works on.', worker.running),
                ('xdet_model_requests_total', 'counter', 'Requests that the model worked on.', worker.ran),
                ('xdet_model_batches_total', 'counter', 'Batches of these.', worker.batches),
                ('xdet_images_kept', 'gauge', 'Encoded images that are kept.', len(kept)),
                ('xdet_images_kept_bytes', 'gauge', 'Their memory.', kept.bytes),
                ('xdet_images_dropped_total', 'counter', 'Kept images that made room or were too old.', kept.dropped),
                ('process_resident_memory_bytes', 'gauge', 'Memory of the process.', resident_bytes()),
            ]
        )
        return Response(text, media_type='text/plain; version=0.0.4; charset=utf-8')

    # -------------------------------------------------------------------------------------------------- one request

    async def _asked(self, request: Request) -> Asked:
        self.service.check_open()  # before the body is read
        encoding = request.headers.get('content-encoding', 'identity')
        if encoding != 'identity':
            raise Refused(415, f'the content encoding is {shown(encoding)}; send the body as it is')
        body = await self._body(request)
        return await self._in_thread(parse, body, request.headers.get('content-type', ''), self.limits)

    async def _body(self, request: Request) -> bytes:
        """The body, which is cut where it is too large or too slow."""
        limits = self.limits
        too_large = f'the body has more than {limits.body_bytes} bytes'
        ends = time.monotonic() + limits.body_seconds
        told = int(request.headers.get('content-length') or 0)
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

    async def _result(self, request: Request, future: Future[_T]) -> _T:
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

    async def _in_thread(self, function: Callable[..., _T], *arguments: Any) -> _T:
        return await to_thread.run_sync(partial(function, *arguments), limiter=self._readers)


class _Gone(Refused):
    """The client has closed its connection; nobody reads what it is told."""

    def __init__(self) -> None:
        super().__init__(499, 'the client is gone')


class _Guard:
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
            kind, _, given = request.headers.get('authorization', '').partition(' ')
            if kind.lower() != 'bearer' or not hmac.compare_digest(given.strip().encode(), self.token.encode()):
                return Refused(401, 'the token is missing or wrong', {'WWW-Authenticate': 'Bearer'})
        return None


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


def _encode(answers: Mapping[str, Answer], only: str | None = None) -> bytes:
    """Answers as JSON: of one task its result alone."""
    results = {}
    for task, answer in answers.items():
        overlay = {}
        if answer.overlay is not None:
            overlay = dict(visualization=base64.b64encode(png_bytes(answer.overlay)).decode('ascii'))
        results[task] = answer.prediction | overlay
    return json_bytes(dict(results=results) if only is None else results[only])


def _json(data: Any, status: int = 200) -> Response:
    return _json_of(json.dumps(data, ensure_ascii=False).encode('utf-8', errors='replace'), status)


def _json_of(data: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(data, status, headers, 'application/json')


def _answer_of(error: Refused) -> Response:
    # What is left of a body that was not read is not waited for.
    data = json.dumps(dict(error=error.message), ensure_ascii=False).encode('utf-8', errors='replace')
    return _json_of(data, error.status, {**error.headers, 'Connection': 'close'})


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return _answer_of(error)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    told = {404: 'there is no such path; /v1/tasks lists what there is', 405: 'this path takes another method'}
    return _answer_of(Refused(error.status_code, told.get(error.status_code, str(error.detail)), error.headers))


async def _fault(request: Request, error: Exception) -> Response:
    return _answer_of(Refused(500, f'the server failed ({type(error).__name__}); its log says more'))


# ------------------------------------------------------------------------------------------------ what OpenAPI is told

_KEPT: Schema = dict(
    type='object',
    properties=dict(
        handle=dict(type='string'),
        height=dict(type='integer'),
        width=dict(type='integer'),
        bytes=dict(type='integer', description='memory that it takes'),
        seconds=dict(type='number', description='it is kept so long after its last use'),
    ),
    required=['handle', 'height', 'width', 'bytes', 'seconds'],
)


def _content(schema: Schema) -> dict[str, Any]:
    return dict(description='done', content={'application/json': dict(schema=schema)})


def _json_and_png(schema: Schema) -> dict[str, Any]:
    content: dict[str, Any] = {'application/json': dict(schema=schema)}
    return dict(description='done', content=content | {'image/png': dict(schema=dict(type='string', format='binary'))})


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    schema = dict(type='object', properties=dict(error=dict(type='string')), required=['error'])
    content = {'application/json': dict(schema=schema)}
    return {status: dict(description=_ERRORS[status], content=content) for status in statuses or _ERRORS}


def _body(options: Schema, handles: bool = True) -> dict[str, Any]:
    """Bodies of requests: an image as base64 in JSON or as a file in a form, or a handle, with options."""
    handle = dict(handle=dict(type='string', description='of a kept image, in place of image')) if handles else {}
    image = dict(type='string', contentEncoding='base64', description='content of an image file')
    file = dict(type='string', format='binary', description='image file')
    needed = {} if handles else dict(required=['image'])
    in_json = {**options, **needed, 'properties': dict(image=image, **handle, **options['properties'])}
    in_form = {**options, **needed, 'properties': dict(image=file, **handle, **options['properties'])}
    if handles and 'required' in options:
        in_json['required'] = in_form['required'] = options['required']
    content = {'multipart/form-data': dict(schema=in_form), 'application/json': dict(schema=in_json)}
    return dict(requestBody=dict(required=True, content=content))
