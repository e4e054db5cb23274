"""What a server does with a model, without HTTP: answers questions about images, and keeps encoded ones."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from xdet.datasets.files.image_io import decode_image
from xdet.inference.inferencer import XDecoderInferencer
from xdet.inference.inputs.images import ImageSource
from xdet.inference.inputs.regions import Points, Regions
from xdet.inference.pipeline import is_out_of_memory
from xdet.io.errors import cause
from xdet.io.schema import shown
from xdet.options import REPORT
from xdet.structures import TextPrompts

from .bodies import Asked
from .kept import KeptImages
from .limits import Limits
from .refusal import Refused
from .worker import Job, Worker

_LOGGER = logging.getLogger(__name__)
_OWN_NAMES = ('things', 'stuff', 'classes')


@dataclass(frozen=True)
class Question:
    """Tasks with their options, about one image."""

    asked: Asked
    tasks: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Answer:
    """Result of a task: the same data as ``xdet predict`` writes, and the overlay if it was asked for."""

    prediction: dict[str, Any]
    overlay: Any = None


class Service:
    """A model with the thread that runs it.

    Args:
        inferencer (XDecoderInferencer): The model. Only the thread of :attr:`worker` uses it.
        limits (Limits): Of requests.
        batch_size (int): Most images that run together, of requests that ask the same.
    """

    def __init__(self, inferencer: XDecoderInferencer, limits: Limits, batch_size: int = 1) -> None:
        self.inferencer = inferencer
        self.limits = limits
        self.kept = KeptImages(limits.kept_bytes, limits.kept_seconds)
        self.worker = Worker(limits.queue, batch_size)
        self.stopping = False

    def check_open(self) -> None:
        """Refuse a request that could not be run now.

        Raises:
            Refused: The server is stopping, or too many requests wait.
        """
        if self.stopping:
            raise Refused(503, 'the server is stopping')
        self.worker.check_room()

    def submit(self, asked: Asked, tasks: dict[str, dict[str, Any]]) -> Future[dict[str, Answer]]:
        """Ask tasks about an image; answers come by task.

        Raises:
            Refused: A task is unknown, or too many requests wait.
        """
        if not tasks:
            raise Refused(422, f'no task is asked for; there are {", ".join(self.inferencer.task_names)}')
        for task, options in tasks.items():
            if task not in self.inferencer.task_names:
                raise Refused(422, f'unknown task {shown(task)}; there are {", ".join(self.inferencer.task_names)}')
            if not isinstance(options, dict):
                raise Refused(422, f'the options of {task} are {shown(options)}; accepted is an object')
            refused = [name for name in options if name in REPORT and not REPORT[name].served]
            if refused:
                raise Refused(422, f'{task}: option {refused[0]} has no meaning for a server')
        question = Question(asked, tasks)
        return self._submit(Job(self._answer, question, self._key(question), self._deadline()))

    def submit_image(self, asked: Asked, task: str | None) -> Future[dict[str, Any]]:
        """Encode and keep an image; the answer says its handle.

        Raises:
            Refused: Too many requests wait.
        """
        return self._submit(Job(self._keep, (asked, task), None, self._deadline()))

    def _submit(self, job: Job) -> Future[Any]:
        self.check_open()
        self.worker.submit(job)
        return job.future

    def _deadline(self) -> float:
        return time.monotonic() + self.limits.seconds

    def _key(self, question: Question) -> Hashable:
        """Requests with equal keys run together: they ask the same task with the same options, of new images."""
        if self.worker.batch_size == 1 or question.asked.image is None or len(question.tasks) != 1:
            return None
        ((task, options),) = question.tasks.items()
        try:
            return task, json.dumps(options, sort_keys=True)
        except TypeError:  # masks
            return None

    # ------------------------------------------------------------------------------------ in the thread of the model

    def _keep(self, several: Sequence[tuple[Asked, str | None]]) -> list[Any]:
        return [_told(self._keep_one, *one) for one in several]

    def _keep_one(self, asked: Asked, task: str | None) -> dict[str, Any]:
        image = self.inferencer.set_image(_source(asked), task)
        handle, size = self.kept.add(image)
        height, width = image.image.shape[:2]
        return dict(handle=handle, height=height, width=width, bytes=size, seconds=self.limits.kept_seconds)

    def _answer(self, questions: Sequence[Question]) -> list[Any]:
        if len(questions) == 1:
            return [_told(self._answer_one, questions[0])]
        checked = [_told(self._check, question, question.asked.pixels) for question in questions]
        together = [place for place, error in enumerate(checked) if error is None]
        answers = _told(self._answer_together, [questions[place] for place in together])
        if isinstance(answers, Refused):  # one of them is the cause, so each gets its own try
            answers = [_told(self._answer_one, questions[place]) for place in together]
        for place, answer in zip(together, answers, strict=True):
            checked[place] = answer
        return checked

    def _answer_together(self, questions: Sequence[Question]) -> list[Any]:
        """Answers of the same task about several images, whose results do not depend on each other."""
        ((task, options),) = questions[0].tasks.items()
        sources = [_source(question.asked) for question in questions]
        result = self.inferencer(sources, task, batch_size=len(sources), show_progress=False, **options)
        if result['failed']:
            raise Refused(422, result['failed'][0]['error'])
        overlays = result['visualization'] or [None] * len(sources)
        rows = zip(result['predictions'], overlays, strict=True)
        return [{task: Answer(prediction | dict(index=0), overlay)} for prediction, overlay in rows]

    def _answer_one(self, question: Question) -> dict[str, Answer]:
        asked, image = question.asked, None
        if asked.handle is not None:
            image = self.kept.get(asked.handle)
        self._check(question, asked.pixels if image is None else image.image.shape[0] * image.image.shape[1])
        if image is None and len(question.tasks) > 1:
            image = self.inferencer.set_image(_source(asked))
        answers = {}
        for task, options in question.tasks.items():
            if image is None:
                result = self.inferencer(_source(asked), task, show_progress=False, **options)
            else:
                result = self.inferencer.predict(task, image, **options)
            overlay = result['visualization'][0] if result['visualization'] else None
            answers[task] = Answer(result['predictions'][0], overlay)
        if asked.handle is not None:
            self.kept.measure(asked.handle)
        return answers

    def _check(self, question: Question, pixels: int) -> None:
        """Refuse what would not work or cost too much, before anything is computed."""
        for task, options in question.tasks.items():
            where = f'{task}: ' if len(question.tasks) > 1 else ''
            try:
                prompts = self.inferencer.check(task, **options)
            except (TypeError, ValueError) as error:
                raise Refused(422, f'{where}{cause(error)}') from None
            for amount, most, what in _amounts(prompts, options, pixels, self.limits):
                if amount > most:
                    raise Refused(413, f'{where}{amount} {what}; accepted are {most}')


def _amounts(prompts: TextPrompts, options: dict[str, Any], pixels: int, limits: Limits) -> list[tuple[int, int, str]]:
    """What a task is asked for: amount, limit, and words."""
    vocabulary = prompts.vocabulary if any(options.get(name) is not None for name in _OWN_NAMES) else None
    names = [*(() if vocabulary is None else vocabulary.names), *prompts.background]
    regions = prompts.regions
    found = 0
    if isinstance(regions, Regions):
        found = len(regions.masks if regions.boxes is None else regions.boxes)
    points = len(prompts.points.rows) if isinstance(prompts.points, Points) else 0
    texts = [*prompts.phrases, *prompts.questions, *prompts.texts]
    generation = prompts.generation
    together = max(int(generation.get('num_beams', 1)), int(generation.get('num_texts', 1)))
    masks = (len(prompts.phrases) + found) * pixels
    return [
        (len(names), limits.names, 'class names'),
        (len(texts) + found + points, limits.prompts, 'prompts'),
        (max(map(len, [*names, *texts]), default=0), limits.text, 'characters in one text'),
        (masks, limits.mask_pixels, 'pixels of all masks'),
        (max(len(prompts.phrases) + found, 1) * together, limits.generated, 'texts written at a time'),
        (int(generation.get('max_tokens', 1)), limits.tokens, 'tokens in one text (max_tokens)'),
    ]


def _source(asked: Asked) -> ImageSource:
    assert asked.image is not None
    return ImageSource(asked.name, decode_image(asked.image, asked.name))


def _told(function: Any, *arguments: Any) -> Any:
    """Result of a function, or the refusal that tells its error; other errors are faults and are logged."""
    try:
        return function(*arguments)
    except Refused as error:
        return error
    except Exception as error:
        if is_out_of_memory(error):
            return Refused(503, 'there is not enough memory for this request; use a smaller image or fewer prompts')
        if isinstance(error, (TypeError, ValueError)) and _is_of_user(error):
            return Refused(422, cause(error))
        _LOGGER.exception('a request failed')
        return Refused(500, f'the server failed ({type(error).__name__}); its log says more')


def _is_of_user(error: Exception) -> bool:
    """Whether an error is one line for the user: a class of xdet's own, such as that of unreadable images."""
    return type(error).__module__.startswith('xdet.')
