"""What the page consists of: components of Gradio, made from what options and formats of tasks declare."""

from __future__ import annotations

from collections.abc import Sequence
from types import MethodType
from typing import Any

import gradio as gr

from xdet.inference.inputs.options import known_prompts
from xdet.io.reading import is_address
from xdet.options import GENERATION, REPORT
from xdet.structures import FORMATS

from . import markup
from .controls import LONGEST_TEXT, TITLES, Control, controls, hint, title
from .desk import MOST_IMAGES, Desk
from .examples import EXAMPLES, Example

_FORGET_AFTER = 3600  # seconds that files of users stay


class Layout:
    """Components of the page over some models; :class:`~xdet.page.events.Page` makes them do something.

    Args:
        desk (Desk): Models, of which the first is chosen at the beginning.

    Attributes:
        blocks (gr.Blocks): The page.
    """

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._first = desk.names[0]
        self._tasks = desk.model(self._first).task_names
        self._task = self._tasks[0] if 'panoptic' not in self._tasks else 'panoptic'
        with gr.Blocks(
            title='xdet', analytics_enabled=False, delete_cache=(_FORGET_AFTER, _FORGET_AFTER)
        ) as self.blocks:
            self._lay_out()
            self._connect()

    def _connect(self) -> None:
        """Attach events while the page is made; a layout alone has none."""

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
        self.task = gr.Radio(choices_of(self._tasks), value=self._task, label='What to do', elem_id='task')
        self.hint = gr.HTML(markup.note(hint(self._task)), elem_id='hint')
        forms = [controls(task) for task in FORMATS]
        main = {name for form in forms for name, control in form.items() if control.main}
        known = {name: control for form in forms for name, control in form.items()}
        known = {name: known[name] for name in known_prompts() | GENERATION | REPORT if name in known}
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
        # Of numbers, too: an empty number field of Gradio is 0 as soon as it is shown.
        common.update(max_length=LONGEST_TEXT + 1, lines=1, max_lines=4)  # what is longer is refused, not cut off
        return gr.Textbox('', placeholder=control.placeholder, **common)

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
            with gr.Row():
                self.describe = gr.Button('Describe this region', elem_id='describe')
                self.remove = gr.Button('Remove it', elem_id='remove')
            with gr.Row(equal_height=True):
                self.question = gr.Textbox(
                    label='Question about the box around it',
                    placeholder='what is it?',
                    max_length=LONGEST_TEXT + 1,
                    elem_id='question',
                    scale=4,
                )
                self.ask = gr.Button('Ask', elem_id='ask', scale=1, min_width=80)
            self.said = gr.HTML(visible=False, padding=False, elem_id='said')
            self.without = gr.Image(
                label='Without it: the gap is filled from what lies around',
                visible=False,
                interactive=False,
                format='png',
                elem_id='without',
                buttons=['download', 'fullscreen'],
                alt_text='the image without the region',
            )
        with gr.Row(visible=False) as self.downloads:
            self.save_json = gr.DownloadButton('Save as JSON', size='sm', elem_id='save-json')
            self.save_image = gr.DownloadButton('Save the image', size='sm', elem_id='save-image')


def choices_of(tasks: Sequence[str]) -> list[tuple[str, str]]:
    return [(title(task), task) for task in sorted(tasks, key=lambda task: [*TITLES, task].index(task))]


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
