"""What the page does: every event of a component changes what components show.

Errors are one line on the page; what is an error, desk and inferencer say.
"""

from __future__ import annotations

import functools
import json
import logging
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from xdet.inference.outputs.writer import UniqueStems
from xdet.io.errors import cause
from xdet.io.reading import shorten
from xdet.io.schema import shown
from xdet.io.writing import write_image, write_text
from xdet.structures import FORMATS, TextLine

from . import markup
from .controls import checked_text, controls, hint, read_values, title
from .desk import Desk, Found, Picture, lit, read_picture, region_at
from .examples import Example
from .layout import Layout, choices_of
from .style import SHOW_ANSWER

_LOGGER = logging.getLogger(__name__)
_PROGRESS = gr.Progress()
_DONE = markup.note('Done.')

Update = dict[Any, Any]
"""What components are to show, by component."""


class Page(Layout):
    """The page over some models.

    Args:
        desk (Desk): Models, of which the first is chosen at the beginning.
        folder (Path): Where files to download are made.
    """

    def __init__(self, desk: Desk, folder: Path) -> None:
        self._folder = folder
        super().__init__(desk)

    def _connect(self) -> None:
        form = {self.path, self.model, self.task, self.files, *self.fields.values()}
        answer = [
            *(self.status, self.unknown, self.result, self.lines, self.ranked, self.segments, self.found),
            *(self.region, self.downloads, self.save_json, self.save_image),
        ]
        choice = [self.task, self.hint, self.files, *self.fields.values()]
        private: dict[str, Any] = dict(api_visibility='private')
        busy: dict[str, Any] = dict(**private, show_progress_on=[self.result], concurrency_id='model')
        points = self.fields.get('points')
        quick: dict[str, Any] = dict(**private, show_progress='hidden')
        guarded, on_image = self._guarded, [self.image, self.path, self.about_image, self.status]
        self.image.upload(guarded(self.take_image), self.image, on_image, **private)
        self.image.clear(lambda: (None, _html('')), None, [self.path, self.about_image], **quick)
        if 'points' in self.fields:
            self.image.select(guarded(self.add_point), [self.task, points], [points, self.status], **quick)
        self.task.change(guarded(self.choose_task), [self.task, self.model], [*choice, self.status], **quick)
        self.model.input(
            guarded(self.choose_model),
            [self.model, self.task],
            [*choice, self.status],
            **private,
            concurrency_id='model',
        )
        boxes = [field.submit for field in self.fields.values() if isinstance(field, gr.Textbox)]
        for trigger in (self.run.click, *boxes):
            trigger(guarded(self.answer), form, answer, **busy).then(None, js=SHOW_ANSWER)
        for example, button in self.examples.values():
            button.click(guarded(self._taker(example)), None, [*on_image, self.model, *choice], **private).then(
                guarded(self.answer), form, answer, **busy
            ).then(None, js=SHOW_ANSWER)
        about = [
            self.segments,
            self.result,
            self.region,
            self.card,
            self.said,
            self.without,
            self.describe,
            self.status,
        ]
        self.result.select(guarded(self.click), [self.found], about, **quick)
        self.segments.input(guarded(self.choose), [self.found, self.segments], about, **quick)
        of_region = [self.found, self.segments]
        said = [self.said, self.status]
        one: dict[str, Any] = dict(**private, concurrency_id='model')
        self.describe.click(guarded(self.describe_region), of_region, said, **one)
        self.remove.click(guarded(self.remove_region), of_region, [self.without, self.status], **one)
        for trigger in (self.ask.click, self.question.submit):
            trigger(guarded(self.ask_region), [*of_region, self.question], said, **one)

    def _guarded(self, function: Callable[..., Update]) -> Callable[..., Update]:
        """The function, whose exceptions become a line of the page."""

        @functools.wraps(function)
        def guarded(*values: Any, **more: Any) -> Update:
            try:
                return function(*values, **more)
            except Exception as error:
                if not isinstance(error, (ImportError, OSError, RuntimeError, TypeError, ValueError)):
                    _LOGGER.exception('a request to the page failed')
                return {self.status: markup.error(shorten(cause(error), 500))}

        return guarded

    def take_image(self, path: str | None) -> Update:
        """Read an image that was uploaded, and show it as models see it."""
        if path is None:
            return {self.path: None, self.about_image: _html('')}
        try:
            picture = read_picture(path)
        except ValueError as error:
            return {
                self.image: None,
                self.path: None,
                self.about_image: _html(markup.error(str(error))),
                self.status: markup.note('Choose another image.'),
            }
        return self._taken(path, picture)

    def add_point(self, task: str, points: str, place: gr.SelectData) -> Update:
        """Add a click on the image to the points, if the task takes them."""
        if 'points' not in controls(task):
            return {self.status: markup.note('Clicks on this image count for the task "Click" only.')}
        before = f'{points.strip().rstrip(";")}; ' if points and points.strip() else ''
        column, row = place.index
        return {
            self.fields['points']: f'{before}{column} {row}',
            self.status: markup.note(f'Point {column}, {row} was added.'),
        }

    def _taken(self, path: str | Path, picture: Picture) -> Update:
        return {
            self.image: picture.rgb,
            self.path: str(path),
            self.about_image: _html(markup.of_picture(picture)),
            self.status: markup.note('Ready.'),
        }

    def _taker(self, example: Example) -> Callable[[], Update]:
        """What its button does: take the image and fill in the form."""

        def take() -> Update:
            names = self.desk.model(example.model).task_names
            update = self._taken(example.path, read_picture(example.path)) | self._form(example.task, names)
            for name, field in self.fields.items():
                value = example.values.get(name, '' if isinstance(field, gr.Textbox) else None)
                update[field] = {**update[field], 'value': value}
            return update | {self.model: example.model}

        return take

    def choose_model(self, model: str, task: str) -> Update:
        """Offer the tasks of a model."""
        inferencer = self.desk.model(model)
        names = inferencer.task_names
        told = inferencer.embedded.knows if inferencer.embedded is not None else f'Model {model} is ready.'
        return self._form(task if task in names else names[0], names) | {
            self.status: markup.note(told[0].upper() + told[1:])
        }

    def choose_task(self, task: str, model: str) -> Update:
        """Show the fields of a task."""
        if task not in FORMATS:
            raise ValueError(f'task {shown(task)} is unknown')
        return {key: value for key, value in self._form(task, ()).items() if key is not self.task}

    def _form(self, task: str, tasks: Sequence[str]) -> Update:
        taken = controls(task)
        update = {field: gr.update(visible=name in taken) for name, field in self.fields.items()}
        return update | {
            self.task: gr.update(choices=choices_of(tasks), value=task),
            self.hint: markup.note(hint(task)),
            self.files: gr.update(visible=FORMATS[task].ranks),
        }

    def answer(self, values: Update, progress: gr.Progress = _PROGRESS) -> Update:
        """Ask the model what the form says."""
        task, model = values[self.task], values[self.model]
        if task not in FORMATS:
            raise ValueError(f'task {shown(task)} is unknown')
        options = read_values(task, {name: values[field] for name, field in self.fields.items()})
        pictures, failed = self._pictures(task, values)
        begin = time.monotonic()
        found = self.desk.run(model, task, pictures, options, lambda share, words: progress(share, desc=words))
        seconds = time.monotonic() - begin
        told = f'{title(task)}: done in {seconds:.1f} s.'
        if found.drawn is not None and 'segments' in found.prediction and not found.regions:
            told += ' Nothing was found.'
        embedded = self.desk.model(model).embedded
        choices = [(f'{shorten(one.name, 100)}  ({one.text})', number) for number, one in enumerate(found.regions)]
        stem = UniqueStems()(pictures[0].name)
        folder = self._folder / uuid.uuid4().hex
        write_text(folder / f'{stem}_{task}.json', json.dumps(found.prediction, ensure_ascii=False, allow_nan=False))
        update: Update = {
            self.status: markup.note(told, folder.name) + ''.join(map(markup.error, failed)),
            self.unknown: _html(markup.unknown(found.unknown, embedded.elsewhere if embedded else '')),
            self.result: gr.update(value=found.drawn, visible=found.drawn is not None),
            self.lines: _html(markup.lines(found.lines)),
            self.ranked: gr.update(value=list(found.ranked) or None, visible=bool(found.ranked)),
            self.segments: gr.update(choices=choices, value=None, visible=bool(choices)),
            self.found: found,
            self.region: gr.update(visible=False),
            self.downloads: gr.update(visible=True),
            self.save_json: str(folder / f'{stem}_{task}.json'),
            self.save_image: gr.update(value=None, visible=found.kept is not None),
        }
        if found.kept is not None:
            write_image(folder / f'{stem}_{task}.png', found.kept)
            update[self.save_image] = gr.update(value=str(folder / f'{stem}_{task}.png'), visible=True)
        return update

    def _pictures(self, task: str, values: Update) -> tuple[list[Picture], list[str]]:
        """Images of the form; and, for a search, why others of them cannot be read."""
        if not FORMATS[task].ranks:
            return [self._picture(values[self.path])], []
        own = [values[self.path]] if values[self.path] else []
        paths = [*own, *(values[self.files] or [example.path for example, _ in self.examples.values()])]
        pictures, failed = [], []
        for path in dict.fromkeys(map(str, paths)):
            try:
                pictures.append(read_picture(path))
            except ValueError as error:
                failed.append(str(error))
        if not pictures and failed:
            raise ValueError(failed[0])
        return pictures, failed

    @staticmethod
    def _picture(path: str | None) -> Picture:
        if path is None:
            raise ValueError('there is no image yet; choose one, or one of the examples')
        return read_picture(path)

    def click(self, found: Found | None, place: gr.SelectData) -> Update:
        """Tell of the region that was clicked on."""
        if found is None:
            raise ValueError('nothing was asked yet')
        number = region_at(found, *place.index)
        if number is None:
            return {self.status: markup.note('Nothing that was found lies there.')}
        return self.choose(found, number) | {self.segments: number}

    def choose(self, found: Found | None, number: int | None) -> Update:
        """Tell of a region, and light it up."""
        if found is None or number is None or not 0 <= number < len(found.regions):
            raise ValueError('choose something that was found')
        names = self.desk.model(found.model).task_names
        return {
            self.result: lit(found, number),
            self.card: markup.card(found, number),
            self.said: _html(''),
            self.without: gr.update(value=None, visible=False),
            self.region: gr.update(visible=True),
            self.describe: gr.update(visible='refcaption' in names),
            self.status: markup.note(f'{shorten(found.regions[number].name, 100)} is chosen.'),
        }

    def describe_region(self, found: Found | None, number: int | None) -> Update:
        """Say what is in the region that is chosen."""
        if found is None or number is None:
            raise ValueError('choose something that was found')
        text = self.desk.describe(found, number)
        return {self.said: _html(markup.lines([TextLine(text or '(empty caption)', bold=True)])), self.status: _DONE}

    def remove_region(self, found: Found | None, number: int | None) -> Update:
        """Show the image without the region that is chosen."""
        if found is None or number is None:
            raise ValueError('choose something that was found')
        pixels = self.desk.remove(found, number)
        return {self.without: gr.update(value=pixels, visible=True), self.status: _DONE}

    def ask_region(self, found: Found | None, number: int | None, question: str) -> Update:
        """Answer a question about the box around the region that is chosen."""
        if found is None or number is None:
            raise ValueError('choose something that was found')
        question = checked_text(question)
        return {self.said: _html(markup.lines(self.desk.ask(found, number, question))), self.status: _DONE}


def _html(content: str) -> dict[str, Any]:
    return gr.update(value=content, visible=bool(content))
