"""Controls of the page, made from what options and formats of tasks declare."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xdet.inference.inputs.options import options_of_task
from xdet.io.schema import shown
from xdet.options import REPORT, Option, parse_boxes, parse_points, parse_scores
from xdet.structures import FORMATS

LONGEST_TEXT = 4000
"""Letters that a box of text takes."""

TITLES = dict(
    panoptic='Everything',
    instance='Objects',
    semantic='Classes',
    refseg='Phrases',
    caption='Caption',
    refcaption='Regions',
    interactive='Click',
    vqa='Questions',
    classification='Classify',
    retrieval='Search',
    pose='Poses',
    depth='Depth',
)
"""What tasks are called on the page; a task of another package keeps its name."""

_HINTS = dict(
    panoptic='Segments that do not overlap, with the names you give or those that the model knows.',
    instance='Every object with a mask of its own, the surest first; masks may overlap.',
    semantic='One segment for every class that occurs.',
    refseg='Finds what each phrase describes.',
    caption='Says in a sentence what the image shows.',
    refcaption='Says what is in regions, which you give as phrases, boxes or masks. Or segment first and click.',
    interactive='One object: click on it in the image above, or give points, a box or a rough mask.',
    vqa='Answers questions about the image.',
    classification='Says which of the names fits the whole image.',
    retrieval='Ranks images of yours by how well they fit a text.',
    pose='Objects with their keypoints.',
    depth='How far away every pixel is.',
)


@dataclass(frozen=True)
class Control:
    """A field of the form.

    Attributes:
        option (Option): What it sets.
        main (bool): Whether it is shown at once for the task, and not among further options.
    """

    option: Option
    main: bool

    @property
    def kind(self) -> str:
        """``'switch'``, ``'choice'``, ``'whole'`` (a whole number), ``'number'``, ``'files'`` or ``'text'``."""
        if self.option.kind == 'masks':
            return 'files'
        if self.option.kind != 'value':
            return 'text'
        if self.option.choices:
            return 'choice'
        return {bool: 'switch', int: 'whole', float: 'number'}.get(self.option.type, 'text')

    @property
    def label(self) -> str:
        """Its name for people."""
        return self.option.name.replace('_', ' ').capitalize()

    @property
    def hint(self) -> str:
        """What it is, and what holds when it is empty."""
        default = f' (default: {self.option.default})' if self.option.default else ''
        return f'{self.option.help}{default}'

    @property
    def placeholder(self) -> str:
        """An example of a text."""
        if self.option.kind == 'names':
            return 'dog . cat'
        if self.option.kind in ('boxes', 'points'):
            return ' '.join(self.option.example.strip('[]').replace(',', ' ').split())
        return self.option.example.strip("'")


def title(task: str) -> str:
    """What a task is called."""
    return TITLES.get(task, task)


def hint(task: str) -> str:
    """What a task does, in a sentence."""
    return _HINTS.get(task) or (type(FORMATS[task]).__doc__ or '').split('\n')[0]


def controls(task: str) -> dict[str, Control]:
    """Controls of a task by the name of their option: those that the task takes, in the order of the form."""
    form, options = FORMATS[task], options_of_task(task)
    main = form.one_of or form.any_of or [name for name in form.prompts if name == 'classes'] or form.own_options()
    return {
        name: Control(option, name in main)
        for name, option in options.items()
        if option.served and not (name in REPORT and option.type is bool)  # what else a report can have is shown anyway
    }


def read_values(task: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a call from what the form holds; what is empty is not given, what the task does not take is left out.

    Raises:
        ValueError: A value that its option cannot have; the message names the field.
    """
    read: dict[str, Any] = {}
    for name, control in controls(task).items():
        value = values.get(name)
        if value is None or (isinstance(value, str) and not value.strip()) or value == []:
            continue
        try:
            read[name] = _read(control, value)
        except (argparse.ArgumentTypeError, ValueError) as error:
            raise ValueError(f'{control.label}: {error}') from None
    return read


def _read(control: Control, value: Any) -> Any:
    kind = control.kind
    if kind == 'files':
        return value if isinstance(value, list) else [value]
    if kind == 'switch':
        return bool(value)
    if kind in ('whole', 'number'):
        try:
            number = int(value) if kind == 'whole' else float(value)
            if isinstance(value, bool) or (not isinstance(value, str) and number != value) or not math.isfinite(number):
                raise ValueError
        except (OverflowError, TypeError, ValueError):
            what = 'whole number' if kind == 'whole' else 'number'
            raise ValueError(f'{shown(value)} is no {what}') from None
        return number
    text = checked_text(value)
    reader = {'boxes': parse_boxes, 'points': parse_points, 'scores': parse_scores}.get(str(control.option.kind))
    return reader(text) if reader is not None else text


def checked_text(value: Any) -> str:
    """What a box of text holds, without white space around it.

    Raises:
        ValueError: It is no text, or too long.
    """
    if not isinstance(value, str):
        raise ValueError(f'{shown(value)} is no text')
    if len(value) > LONGEST_TEXT:  # browsers cut a text off at the next letter, so it may have any length
        raise ValueError(f'{value[:30]}... has more than {LONGEST_TEXT} letters; accepted are up to so many')
    return value.strip()
