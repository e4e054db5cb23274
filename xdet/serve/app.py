"""The service as HTTP: routes, bodies that are read within limits, one-line errors, and the OpenAPI description."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import partial
from typing import Any

from anyio import to_thread
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from xdet.datasets.vocab import VOCABULARIES
from xdet.inference.outputs.writer import json_bytes, png_bytes
from xdet.io.schema import shown
from xdet.structures import FORMATS
from xdet.version import __version__

from .bodies import Asked, load_json, parse
from .handling import Guard, Handling, fault, http_error, json_answer, json_of, refused
from .metrics import resident_bytes
from .refusal import Refused
from .schema import Schema, option_schema, options_schema, result_schema, served_options
from .service import Answer, Service

_LOGGER = logging.getLogger(__name__)
_EXPIRY_SECONDS = 5.0

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
        exception_handlers={Refused: refused, HTTPException: http_error, Exception: fault},
    )
    app.add_middleware(Guard, metrics=server.metrics, token=token, hosts=hosts)
    _add_routes(app, server, service.inferencer.task_names)
    return app


def _add_routes(app: FastAPI, server: _Server, names: Sequence[str]) -> None:
    """Paths for the tasks of these names, for kept images, and about the server."""
    add = partial(app.add_api_route, response_class=Response, response_model=None)
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


class _Server(Handling):
    """Handlers of the routes."""

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
            options = {option: option_schema(entry) for option, entry in served_options(name).items()}
            form = FORMATS[name]
            needs = dict(needs_one_of=list(form.one_of), needs_any_of=list(form.any_of))
            tasks[name] = dict(path=f'/v1/tasks/{name}', **needs, options=options)
        default = service.inferencer.default_vocabulary
        return json_answer(
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
        answers = await self.result(request, self.service.submit(asked, {task: options}))
        if wants_png:
            data = await self.in_thread(png_bytes, answers[task].overlay)
            return Response(data, media_type='image/png')
        return json_of(await self.in_thread(_encode, answers, task))

    async def several_tasks(self, request: Request) -> Response:
        """Results of several tasks of one image, which is encoded once."""
        asked = await self._asked(request)
        tasks = asked.options.pop('tasks', None)
        if isinstance(tasks, str):
            tasks = await self.in_thread(load_json, tasks)
        if isinstance(tasks, list) and all(isinstance(task, str) for task in tasks):
            tasks = {task: {} for task in tasks}
        if not isinstance(tasks, dict):
            raise Refused(422, f'tasks is {shown(tasks)}; accepted is an object with the options of every task')
        if asked.options:
            raise Refused(422, f'{shown(sorted(asked.options)[0])} stands outside of tasks; options belong to a task')
        answers = await self.result(request, self.service.submit(asked, tasks))
        return json_of(await self.in_thread(_encode, answers))

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
        return json_answer(await self.result(request, self.service.submit_image(asked, task)), 201)

    async def drop(self, handle: str) -> Response:
        """Forget a kept image."""
        if not self.service.kept.drop(handle):
            raise Refused(404, 'there is no image of this handle, or not any more')
        return Response(status_code=204)

    async def health(self) -> Response:
        """The event loop runs."""
        return json_answer(dict(status='ok'))

    async def ready(self) -> Response:
        """Whether a request would be taken now."""
        self.service.check_open()
        return json_answer(dict(status='ready'))

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
        body = await self.body(request)
        return await self.in_thread(parse, body, request.headers.get('content-type', ''), self.limits)


def _encode(answers: Mapping[str, Answer], only: str | None = None) -> bytes:
    """Answers as JSON: of one task its result alone."""
    results = {}
    for task, answer in answers.items():
        overlay = {}
        if answer.overlay is not None:
            overlay = dict(visualization=base64.b64encode(png_bytes(answer.overlay)).decode('ascii'))
        results[task] = answer.prediction | overlay
    return json_bytes(dict(results=results) if only is None else results[only])


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
