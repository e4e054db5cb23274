"""The protocol of Label Studio's machine learning backends."""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from anyio import to_thread
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from xdet.datasets.exchange.entries import size_of_bytes
from xdet.io.errors import cause
from xdet.io.schema import require, shown
from xdet.io.warnings import warn_once
from xdet.version import __version__

from ..bodies import Asked, check_size, load_json
from ..handling import Guard, Handling, fault, http_error, json_answer, refused
from ..refusal import Refused
from ..service import Service
from .answers import found_results, object_result, prediction_of, shown_objects
from .images import TaskImages
from .label_config import LabelConfig, parse_label_config
from .training import Training, project_of

_LOGGER = logging.getLogger(__name__)
_MOST_VALUES = 2_000_000  # brushes of tasks are lists of bytes
_DEEPEST = 16
_MOST_HANDLES = 64
_T = TypeVar('_T')
_KEPT = ('ANNOTATION_CREATED', 'ANNOTATIONS_CREATED', 'ANNOTATION_UPDATED')
_FORGOTTEN = ('ANNOTATIONS_DELETED', 'TASKS_DELETED')
_WITHOUT_EFFECT = (
    *('TASKS_CREATED', 'TASKS_UPDATED', 'PROJECT_CREATED', 'PROJECT_UPDATED', 'PROJECT_DELETED'),
    *('LABEL_LINK_CREATED', 'LABEL_LINK_UPDATED', 'LABEL_LINK_DELETED'),
    *('REVIEW_CREATED', 'REVIEW_UPDATED', 'REVIEWS_DELETED'),
)
TASKS = ('instance', 'panoptic', 'semantic')
"""Tasks that annotate an image by class names."""


@dataclass(frozen=True)
class Settings:
    """What of the protocol is up to the user.

    Attributes:
        images (TaskImages): Reads the images of tasks.
        task (str): Annotates images, one of :data:`TASKS`.
        score (float): Least score of what is annotated.
        training (Training, optional): Trains; None refuses.
    """

    images: TaskImages
    task: str = 'instance'
    score: float = 0.3
    training: Training | None = None


def make_app(service: Service, token: str | None, hosts: Collection[str] | None, settings: Settings) -> FastAPI:
    """The application of a service; the first arguments are those of :func:`xdet.serve.app.make_app`.

    Raises:
        ValueError: The model does not have a task that is needed.
    """
    names = service.inferencer.task_names
    for task in (settings.task, 'interactive'):
        if task not in names:
            raise ValueError(f'the model has no task {task}; its tasks are {", ".join(names)}')
    backend = _Backend(service, settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        service.stopping = True
        if settings.training is not None:
            await to_thread.run_sync(settings.training.close)
        await to_thread.run_sync(service.worker.close)

    app = FastAPI(
        title='xdet for Label Studio',
        version=__version__,
        docs_url=None,  # these pages would load scripts from other hosts
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
        exception_handlers={Refused: _told, HTTPException: http_error, Exception: fault},
    )
    app.add_middleware(Guard, metrics=backend.metrics, token=token, hosts=hosts)
    add = partial(app.add_api_route, response_class=Response, response_model=None)
    for path in ('/', '/health'):
        add(path, backend.health, methods=['GET'])
    add('/setup', backend.setup, methods=['POST'])
    add('/validate', backend.validate, methods=['POST'])
    add('/versions', backend.versions, methods=['GET', 'POST'])
    add('/predict', backend.predict, methods=['POST'])
    add('/webhook', backend.webhook, methods=['POST'])
    add('/train', backend.train, methods=['POST'])
    add('/job_status', backend.job_status, methods=['GET', 'POST'])
    return app


async def _told(request: Request, error: Exception) -> Response:
    """Label Studio shows the status of a refusal alone, so the line is logged for who started this server."""
    assert isinstance(error, Refused)
    _LOGGER.warning('%s: %s', request.url.path, error.message)
    return await refused(request, error)


class _Backend(Handling):
    """Handlers of the routes."""

    def __init__(self, service: Service, settings: Settings) -> None:
        super().__init__(service)
        self.settings = settings
        origin = service.inferencer.origin
        self.version = f'{origin.model} {(origin.weights_sha256 or "untrained")[:9]}'
        self._handles: OrderedDict[str, str] = OrderedDict()

    async def health(self) -> Response:
        """The process answers."""
        return json_answer(dict(status='UP', model_class='xdet', model_version=self.version))

    async def setup(self, request: Request) -> Response:
        """Whether the label config of a project can be served. Address and token of the request are not used."""
        body = await self._json(request)
        await self._config(body.get('schema'))
        return json_answer(dict(model_version=self.version))

    async def validate(self, request: Request) -> Response:
        """As :meth:`setup`, with the config under another name."""
        await self._config((await self._json(request)).get('config'))
        return json_answer(dict(status='ok'))

    async def versions(self) -> Response:
        """Versions that predictions can come from."""
        return json_answer(dict(versions=[self.version]))

    async def predict(self, request: Request) -> Response:
        """Annotate images by the labels of the project, or an object that was shown.

        An image of several that cannot be annotated has an empty list in place of a prediction, which Label Studio
        takes for none; its line is logged.
        """
        self.service.check_open()
        body = await self._json(request)
        config = await self._config(body.get('label_config'))
        tasks = _field(body, 'tasks', list)
        params = _field(body, 'params', dict, {})
        context = _field(params, 'context', dict, {})
        if len(tasks) > self.limits.prompts:
            raise Refused(413, f'{len(tasks)} tasks; accepted are {self.limits.prompts} in a request')
        if context and len(tasks) != 1:
            raise Refused(422, f'{len(tasks)} tasks with a context; clicks are about one image')
        results: list[Any] = []
        for task in tasks:
            try:
                found = await self._annotate(request, task, config, context)
            except Refused as error:
                if len(tasks) == 1:
                    raise
                number = task.get('id') if isinstance(task, dict) else None
                _LOGGER.warning('task %s: %s', shown(number), error.message)
                results.append([])
            else:
                results.append(prediction_of(found, self.version))
        return json_answer(dict(results=results))

    async def webhook(self, request: Request) -> Response:
        """Keep an annotation for training, forget it, or start training."""
        body = await self._json(request)
        action = _field(body, 'action', str)
        if action == 'START_TRAINING':
            return await self._train(body, None)
        if action not in (*_KEPT, *_FORGOTTEN, *_WITHOUT_EFFECT):
            known = ', '.join(('START_TRAINING', *_KEPT, *_FORGOTTEN, *_WITHOUT_EFFECT))
            raise Refused(422, f'event {shown(action)} is unknown; known are {known}')
        training = self.settings.training
        if action in _WITHOUT_EFFECT:
            return json_answer(dict(status='ok', detail=f'{action} changes nothing here'))
        if training is None:
            warn_once(f'webhook: {action} is not kept, as training is off; start with --train-dir DIR to train')
            return json_answer(dict(status='ok', detail='nothing is kept, as training is off'))
        await self._of_files(training.keep if action in _KEPT else training.forget, body)
        return json_answer(dict(status='ok'))

    async def train(self, request: Request) -> Response:
        """Start training from the tasks of the request."""
        body = await self._json(request)
        return await self._train(body, _field(body, 'annotations', list))

    async def job_status(self) -> Response:
        """What the training of this server is doing."""
        training = self.settings.training
        return json_answer(dict(state='off') if training is None else training.status())

    # -------------------------------------------------------------------------------------------------- one request

    async def _json(self, request: Request) -> dict[str, Any]:
        body = await self.body(request)
        value = await self.in_thread(partial(load_json, body, _MOST_VALUES, _DEEPEST))
        if not isinstance(value, dict):
            raise Refused(422, f'the JSON is {shown(value)}; accepted is an object')
        return value

    async def _config(self, text: Any) -> LabelConfig:
        return await self.in_thread(parse_label_config, text)

    async def _train(self, body: Mapping[str, Any], tasks: list[Any] | None) -> Response:
        training = self.settings.training
        if training is None:
            raise Refused(403, 'training is off; start with --train-dir DIR to allow it')
        config = body.get('label_config') or _field(body, 'project', (dict, str, int), {})
        config = config.get('label_config') if isinstance(config, dict) else config
        parsed = await self._config(config)
        return json_answer(await self._of_files(training.start, project_of(body), tasks, parsed), 201)

    async def _of_files(self, function: Callable[..., _T], *arguments: Any) -> _T:
        try:
            return await self.in_thread(function, *arguments)
        except (OSError, ValueError) as error:  # of the folder of trainings: not the client's fault
            raise Refused(500, f'the folder of trainings: {cause(error)}') from None

    async def _annotate(
        self, request: Request, task: Any, config: LabelConfig, context: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        data = _field(_field(dict(task=task), 'task', dict), 'data', dict)
        if config.field not in data:
            raise Refused(422, f'the data of the task have no {shown(config.field)}, which the label config names')
        asked = await self.in_thread(self._image, data[config.field])
        if context:
            return await self._shown(request, asked, config, context)
        job = self.service.submit(asked, {self.settings.task: dict(classes=list(config.names))})
        prediction = (await self.result(request, job))[self.settings.task].prediction
        return await self.in_thread(lambda: list(found_results(prediction, config, self.settings.score)))

    def _image(self, link: Any) -> Asked:
        name, data = self.settings.images.read(link)
        return Asked(data, check_size(data, name, self.limits), name)

    async def _shown(
        self, request: Request, asked: Asked, config: LabelConfig, context: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        assert asked.image is not None
        try:
            size = size_of_bytes(asked.image, asked.name)
            objects = await self.in_thread(shown_objects, context, size, self.limits.prompts)
        except (OSError, ValueError) as error:
            raise Refused(422, cause(error)) from None
        results = []
        for one in objects:
            config.control_of(one.label, regions=True)  # before the model runs
            prediction = await self._click(request, asked, one.options)
            results += await self.in_thread(lambda p=prediction, label=one.label: list(object_result(p, label, config)))
        return results

    async def _click(self, request: Request, asked: Asked, options: dict[str, Any]) -> dict[str, Any]:
        """Ask about an image that is encoded at the first click and kept for those that follow."""
        assert asked.image is not None
        digest = hashlib.sha256(asked.image).hexdigest()
        handle = self._handles.get(digest)
        if handle is not None:
            try:
                return await self._ask(request, handle, options)
            except Refused as error:
                if error.status != 404:
                    raise
        handle = (await self.result(request, self.service.submit_image(asked, 'interactive')))['handle']
        self._handles[digest] = handle
        self._handles.move_to_end(digest)
        while len(self._handles) > _MOST_HANDLES:
            self._handles.popitem(last=False)
        return await self._ask(request, handle, options)

    async def _ask(self, request: Request, handle: str, options: dict[str, Any]) -> dict[str, Any]:
        job = self.service.submit(Asked(handle=handle), dict(interactive=options))
        return (await self.result(request, job))['interactive'].prediction


def _field(entry: Mapping[str, Any], key: str, kind: Any, *default: Any) -> Any:
    try:
        return require(entry, key, kind, 'the request', *default)
    except ValueError as error:
        raise Refused(422, cause(error)) from None
