"""The page itself, made of Gradio's components.

Nothing is asked of other machines: fonts are those of the system, statistics are off, addresses are not fetched, and a
content security policy keeps browsers from it. Errors are one line on the page; what is an error, desk and inferencer
say.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import socket
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MethodType
from typing import Any

os.environ.setdefault('GRADIO_ANALYTICS_ENABLED', 'False')  # Gradio reads it when it is imported
os.environ.setdefault('HF_HUB_DISABLE_TELEMETRY', '1')

try:
    import gradio as gr
except ImportError as error:
    raise ImportError(f'the page needs gradio; pip install "xdet[page]" ({error})') from error

from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xdet.io.errors import cause
from xdet.io.reading import is_address, shorten
from xdet.io.schema import shown
from xdet.io.writing import write_image, write_text
from xdet.structures import FORMATS, TextLine

from . import markup
from .controls import LONGEST_TEXT, TITLES, Control, all_options, controls, hint, read_values, title
from .desk import MAX_BYTES, MOST_IMAGES, Desk, Found, Picture, lit, read_picture, region_at
from .examples import EXAMPLES, Example
from .style import CSS, SHOW_ANSWER, theme

_LOGGER = logging.getLogger(__name__)
_FORGET_AFTER = 3600  # seconds that files of users stay
_SESSIONS = 30  # users whose last answer is remembered
_PROGRESS = gr.Progress()
_DONE = markup.note('Done.')

Update = dict[Any, Any]
"""What components are to show, by component."""


class Page:
    """The page over some models.

    Args:
        desk (Desk): Models, of which the first is chosen at the beginning.
        folder (Path): Where files to download are made.

    Attributes:
        blocks (gr.Blocks): The page.
    """

    def __init__(self, desk: Desk, folder: Path) -> None:
        self.desk, self._folder = desk, folder
        self._first = desk.names[0]
        self._tasks = desk.model(self._first).task_names
        self._task = self._tasks[0] if 'panoptic' not in self._tasks else 'panoptic'
        with gr.Blocks(
            title='xdet', analytics_enabled=False, delete_cache=(_FORGET_AFTER, _FORGET_AFTER)
        ) as self.blocks:
            self._lay_out()
            self._connect()

    # ------------------------------------------------------------------------------------------------------- layout

    def _lay_out(self) -> None:
        self.path, self.found = gr.State(None), gr.State(None)
        gr.HTML(
            '<h1>xdet</h1><p>One model that segments, finds, describes and compares images. '
            'Choose an image, choose what to do, run.</p>',
            padding=False,
            elem_id='head',
        )
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=300, elem_id='form'):
                self._lay_out_form()
            with gr.Column(scale=6, min_width=300, elem_id='answer'):
                self._lay_out_answer()

    def _lay_out_form(self) -> None:
        self.image = _local(
            gr.Image(
                type='filepath',
                label='Image',
                sources=['upload', 'clipboard'],
                height=230,
                elem_id='image',
                buttons=[],
            )
        )
        self.about_image = gr.HTML(visible=False, padding=False, elem_id='about-image')
        self.examples: dict[str, tuple[Example, gr.Button]] = {}
        with gr.Row(elem_id='examples'):
            for example in EXAMPLES:
                if example.model in self.desk.names and example.path.is_file():
                    button = gr.Button(example.label, icon=str(example.path), size='sm', variant='secondary')
                    self.examples[example.label] = (example, button)
        self.model = gr.Radio(
            list(self.desk.names),
            value=self._first,
            label='Model',
            visible=len(self.desk.names) > 1,
            elem_id='model',
        )
        self.task = gr.Radio(_choices(self._tasks), value=self._task, label='What to do', elem_id='task')
        self.hint = gr.HTML(markup.note(hint(self._task)), elem_id='hint')
        known: dict[str, Control] = {}
        main: set[str] = set()
        for task in FORMATS:
            for name, control in controls(task).items():
                known.setdefault(name, control)
                main |= {name} if control.main else set()
        known = {name: known[name] for name in all_options() if name in known}
        self.fields: dict[str, Any] = {name: self._field(known[name]) for name in known if name in main}
        self.files = _local(
            gr.File(
                file_count='multiple',
                label=f'Images to search in, up to {MOST_IMAGES}; the examples if there are none',
                height=130,
                visible=FORMATS[self._task].ranks,
                elem_id='files',
            )
        )
        self.run = gr.Button('Run', variant='primary', elem_id='run')
        self.status = gr.HTML(markup.note('Nothing was asked yet.'), padding=False, elem_id='status')
        with gr.Accordion('Thresholds and more', open=False, elem_id='more'):
            self.fields |= {name: self._field(known[name]) for name in known if name not in main}

    def _field(self, control: Control) -> Any:
        """The component of an option."""
        common: dict[str, Any] = dict(
            label=control.label,
            visible=control.option.name in controls(self._task),
            elem_id=f'field-{control.option.name}',
        )
        if control.kind == 'files':
            return _local(
                gr.File(file_count='multiple', height=110, **{**common, 'label': f'{control.label}: {control.hint}'})
            )
        common['info'] = control.hint
        if control.kind == 'switch':
            return gr.Checkbox(False, **common)
        if control.kind == 'choice':
            return gr.Radio(list(control.option.choices), value=control.option.default or None, **common)
        if control.kind in ('whole', 'number'):
            whole = control.kind == 'whole'
            return gr.Number(None, precision=0 if whole else None, step=1 if whole else 0.05, **common)
        return gr.Textbox('', placeholder=control.placeholder, max_length=LONGEST_TEXT, lines=1, max_lines=4, **common)

    def _lay_out_answer(self) -> None:
        self.unknown = gr.HTML(visible=False, padding=False, elem_id='unknown')
        self.result = gr.Image(
            label='Answer',
            interactive=False,
            format='png',
            elem_id='result',
            buttons=['fullscreen'],
            alt_text='the image with what was found',
        )
        self.lines = gr.HTML(visible=False, padding=False, elem_id='lines')
        self.ranked = gr.Gallery(
            label='Best images for the first text',
            visible=False,
            columns=4,
            height='auto',
            elem_id='ranked',
            buttons=[],
        )
        self.segments = gr.Radio([], label='Found: choose one here, or click on it', visible=False, elem_id='segments')
        with gr.Column(visible=False, elem_id='region') as self.region:
            self.card = gr.HTML(padding=False, elem_id='card')
            self.describe = gr.Button('Describe this region', elem_id='describe')
            with gr.Row(equal_height=True):
                self.question = gr.Textbox(
                    label='Question about the box around it',
                    placeholder='what is it?',
                    max_length=LONGEST_TEXT,
                    elem_id='question',
                    scale=4,
                )
                self.ask = gr.Button('Ask', elem_id='ask', scale=1, min_width=80)
            self.said = gr.HTML(visible=False, padding=False, elem_id='said')
        with gr.Row(visible=False) as self.downloads:
            self.save_json = gr.DownloadButton('Save as JSON', size='sm', elem_id='save-json')
            self.save_image = gr.DownloadButton('Save the image', size='sm', elem_id='save-image')

    # ------------------------------------------------------------------------------------------------------- events

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
        about = [self.segments, self.result, self.region, self.card, self.said, self.describe, self.status]
        self.result.select(guarded(self.click), [self.found], about, **quick)
        self.segments.input(guarded(self.choose), [self.found, self.segments], about, **quick)
        of_region = [self.found, self.segments, self.path]
        said = [self.said, self.status]
        one: dict[str, Any] = dict(**private, concurrency_id='model')
        self.describe.click(guarded(self.describe_region), of_region, said, **one)
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
                update[field] = _with_value(update[field], value)
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
            self.task: gr.update(choices=_choices(tasks), value=task),
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
        choices = [(f'{region.name}  ({region.text})', number) for number, region in enumerate(found.regions)]
        stem = Path(pictures[0].name).stem[:60] or 'image'
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
        paths = list(values[self.files] or ()) if FORMATS[task].ranks else []
        if paths or FORMATS[task].ranks:
            own = [values[self.path]] if values[self.path] else []
            paths = [*own, *(paths or [example.path for example, _ in self.examples.values()])]
            pictures, failed = [], []
            for path in dict.fromkeys(map(str, paths)):
                try:
                    pictures.append(read_picture(path))
                except ValueError as error:
                    failed.append(str(error))
            if not pictures and failed:
                raise ValueError(failed[0])
            return pictures, failed
        return [self._picture(values[self.path])], []

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
            self.region: gr.update(visible=True),
            self.describe: gr.update(visible='refcaption' in names),
            self.status: markup.note(f'{found.regions[number].name} is chosen.'),
        }

    def describe_region(self, found: Found | None, number: int | None, path: str | None) -> Update:
        """Say what is in the region that is chosen."""
        if found is None or number is None:
            raise ValueError('choose something that was found')
        text = self.desk.describe(found, number, self._picture(path))
        return {self.said: _html(markup.lines([TextLine(text or '(empty caption)', bold=True)])), self.status: _DONE}

    def ask_region(self, found: Found | None, number: int | None, path: str | None, question: str) -> Update:
        """Answer a question about the box around the region that is chosen."""
        if found is None or number is None:
            raise ValueError('choose something that was found')
        lines = self.desk.ask(found, number, self._picture(path), question)
        return {self.said: _html(markup.lines([TextLine(question, bold=True), *lines])), self.status: _DONE}


def _choices(tasks: Sequence[str]) -> list[tuple[str, str]]:
    return [(title(task), task) for task in sorted(tasks, key=lambda task: [*TITLES, task].index(task))]


def _html(content: str) -> dict[str, Any]:
    return gr.update(value=content, visible=bool(content))


def _with_value(update: dict[str, Any], value: Any) -> dict[str, Any]:
    return {**update, 'value': value}


def _local(component: Any) -> Any:
    """A component for files of users, which takes none from an address, and hands them over without opening them."""
    move = component.async_move_resource_to_block_cache

    async def keep(self: Any, path: Any) -> Any:
        if is_address(path):
            raise gr.Error('addresses are not fetched; upload the file')
        return await move(path)

    def preprocess(self: Any, payload: Any) -> Any:
        files = payload.root if hasattr(payload, 'root') else payload
        if isinstance(files, list):
            return [entry.path for entry in files]
        return files.path if files is not None else None

    component.async_move_resource_to_block_cache = MethodType(keep, component)
    component.preprocess = MethodType(preprocess, component)
    return component


class LocalOnly:
    """Middleware that tells browsers to load nothing from elsewhere, and to guess no types of files."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add headers to a response."""

        async def sending(message: Message) -> None:
            if message['type'] == 'http.response.start':
                headers = MutableHeaders(scope=message)
                headers['Content-Security-Policy'] = _POLICY
                headers['X-Content-Type-Options'] = 'nosniff'
                headers['Referrer-Policy'] = 'no-referrer'
            await send(message)

        await self.app(scope, receive, sending)


_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; media-src 'self' blob:; connect-src 'self' blob: data:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'"
)


@contextmanager
def opened(desk: Desk, host: str = '127.0.0.1', port: int = 7860, in_browser: bool = False) -> Iterator[str]:
    """Serve the page while the body runs; files of users are removed afterwards.

    Args:
        desk (Desk): Models.
        host (str): Address to listen at.
        port (int): Port; 0 is any that is free.
        in_browser (bool): Open it in the browser of the system.

    Yields:
        str: Its address.

    Raises:
        OSError: The port is in use, or may not be used.
    """
    port = _free_port(host, port)
    with tempfile.TemporaryDirectory(prefix='xdet-page-') as folder, _environment(GRADIO_TEMP_DIR=f'{folder}/uploads'):
        page = Page(desk, Path(folder, 'answers'))
        page.blocks.queue(max_size=64)
        _, url, _ = page.blocks.launch(
            server_name=host,
            server_port=port,
            inbrowser=in_browser,
            share=False,
            prevent_thread_lock=True,
            quiet=True,
            show_error=False,
            footer_links=[],
            ssr_mode=False,
            max_file_size=MAX_BYTES,
            state_session_capacity=_SESSIONS,
            allowed_paths=[folder],
            app_kwargs=dict(middleware=[Middleware(LocalOnly)], docs_url=None, redoc_url=None, openapi_url=None),
            theme=theme(),
            css=CSS,
        )
        try:
            yield url
        finally:
            page.blocks.close(verbose=False)


def _free_port(host: str, port: int) -> int:
    """The port, after a try to listen at it.

    Raises:
        OSError: It cannot be had.
    """
    try:
        with socket.create_server((host, port)) as server:
            return int(server.getsockname()[1])
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f'cannot listen at {host}:{port} ({reason}); choose another --port or --host') from None


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
