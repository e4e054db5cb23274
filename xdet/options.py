"""What a call can be asked with, declared once: Python arguments, command lines and the documented table follow.

Light on purpose: a command line must be able to print its help without loading the model code.
"""

# Annotations are read at run time, so they stay values here: no `from __future__ import annotations`.
import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, TypedDict, get_args, get_origin, get_type_hints

from xdet.io.reading import shorten

if TYPE_CHECKING:
    from typing import TypeAlias

    import numpy as np
    from torch import Tensor

    from xdet.structures import Vocabulary

    Array: TypeAlias = np.ndarray[Any, Any] | Tensor
    Named: TypeAlias = str | Vocabulary | Sequence[str | Vocabulary]
else:
    Array = Named = Any

Texts = str | Sequence[Any]

MASK_TASKS = ('semantic', 'instance', 'panoptic', 'refseg', 'refcaption', 'pose', 'interactive')
"""Tasks whose results have masks."""

Resolver = Callable[[str, Any, int], list[Any]]


@dataclass(frozen=True)
class Option:
    """One argument of a call.

    Attributes:
        help (str): What it is, as the command line and the documentation say it.
        kind (str | Resolver): What its values are: ``'texts'``, ``'points'``, ``'boxes'``, ``'masks'``, ``'scores'`` (a
            number, or numbers by name), or a plain ``'value'``, the same for all images; ``'names'`` of classes, of
            which there are no others than those of xdet. A prompt of another kind brings a function that makes one
            value per image out of its name (for errors), the given value and the number of images, and raises
            ValueError for others.
        default (str): What holds when it is not given, in words.
        example (str): How it is given in Python, for errors.
        shell (str): How it is given on the command line if not by its name with hyphens; empty: not at all.
        name (str): Name of the argument.
        type (type): Of a plain value: bool (a switch), int, float or str.
        tasks (tuple[str, ...]): Of an option of reports: the tasks that take it; empty: all.
        served (bool): Whether ``xdet serve`` takes it.
        choices (tuple[str, ...]): The texts that a plain value may be; empty: any.
    """

    help: str
    kind: str | Resolver = 'value'
    default: str = ''
    example: str = ''
    shell: str | None = None
    name: str = ''
    type: Any = str
    tasks: tuple[str, ...] = ()
    served: bool = True
    choices: tuple[str, ...] = ()

    @property
    def flag(self) -> str:
        """Its spelling on the command line, such as ``--num-beams``; empty if it has none."""
        return f'--{self.name.replace("_", "-")}' if self.shell is None else self.shell

    @property
    def values(self) -> str:
        """What it accepts in Python, in words."""
        words = dict(
            names="`'dog . cat'`, list, or list per image",
            texts='text, list of texts, or list per image',
            points='`[[x, y], [x, y, 0], ...]` in pixels, or list per image',
            boxes='`[[x1, y1, x2, y2], ...]` in pixels, or list per image',
            masks='bool `[n, H, W]`, files, or list per image',
            scores='`float`, or dict of numbers by name',
        )
        return words.get(self.kind, f'`{self.type.__name__}`') if isinstance(self.kind, str) else 'see its package'


class Prompts(TypedDict, total=False):
    """What to look for. Each prompt holds for all images or, as a list with one entry per image, for one.

    Texts are a string ``'the red car . a person'`` or a list of strings.
    """

    things: Annotated[Texts | None, Option('countable classes, "dog . cat"', 'names')]
    stuff: Annotated[Texts | None, Option('uncountable classes, "grass . sky"', 'names')]
    classes: Annotated[
        Texts | None, Option('classes, when you make no difference; all count as things, also in results', 'names')
    ]
    vocabulary: Annotated[Named | None, Option('a known class list, such as coco_panoptic', 'names')]
    phrases: Annotated[
        Texts | None,
        Option('what to find or describe, "the red car . a person"', 'texts', example="'the red car . a person'"),
    ]
    points: Annotated[
        Sequence[Any] | Array | None,
        Option(
            'clicks on one object in pixels, with a 0 behind those that are not on it, "x y; x y 0"',
            'points',
            example='[[60, 45]]',
        ),
    ]
    boxes: Annotated[
        Sequence[Any] | Array | None,
        Option(
            'regions to describe, or around objects, in pixels, "x1 y1 x2 y2; x1 y1 x2 y2"',
            'boxes',
            example='[[10, 20, 110, 90]]',
        ),
    ]
    masks: Annotated[
        Texts | Array | None,
        Option(
            'region to describe, or rough mask or scribble of an object, all but black (repeatable)',
            'masks',
            example="'region.png'",
            shell='--mask',
        ),
    ]
    questions: Annotated[
        Texts | None,
        Option(
            'questions about the image, "what is it? . what color is it?"', 'texts', example="'what is on the table?'"
        ),
    ]
    texts: Annotated[
        Texts | None,
        Option(
            'texts that rank the images, "a dog on a beach . a street"',
            'texts',
            example="'a dog on a beach . a street'",
        ),
    ]
    uncertainty: Annotated[bool, Option('also say how unsure the names of pixels and segments are, and draw it')]


class Thresholds(TypedDict, total=False):
    """What results must reach to be reported, the same for all images; see :class:`xdet.structures.Thresholds`."""

    background: Annotated[
        Texts | None, Option('names that compete with the others and are not reported, "wall . floor"', 'names')
    ]
    score: Annotated[
        float | Mapping[str, float] | None,
        Option('least score, of all names or by name, "0.4" or "dog=0.6 . cat=0.3"', 'scores', "the task's own"),
    ]
    mask: Annotated[
        float | None, Option('least probability of the pixels of a mask', default='0.5', shell='--mask-threshold')
    ]
    overlap: Annotated[
        float | None, Option('least share of its own mask that a segment keeps', default="the model's, 0.8")
    ]
    presence: Annotated[
        float | None,
        Option(
            'names and phrases whose presence is not above this are not there',
            default='that of `xdet calibrate`, else none',
        ),
    ]


class Generation(TypedDict, total=False):
    """How captions are written, see :class:`xdet.tasks.generation.GenerationSettings`."""

    num_beams: Annotated[int | None, Option('beams of beam search; 1 is greedy', default='1')]
    length_penalty: Annotated[
        float | None, Option('beam search: 0 prefers short texts, 1 ranks by the mean', default='1')
    ]
    top_p: Annotated[
        float | None,
        Option('sample from the words that together have this probability', default='no sampling'),
    ]
    temperature: Annotated[float | None, Option('of sampling', default='1')]
    seed: Annotated[int | None, Option('of sampling', default='0')]
    max_tokens: Annotated[int | None, Option('longest text', default='50')]
    num_texts: Annotated[int | None, Option('texts per image or region', default='1')]


class ReportOptions(TypedDict, total=False):
    """What becomes of results."""

    pred_score_thr: Annotated[
        float,
        Option(
            'what has a lower score is neither drawn (panoptic segments are) nor printed; results hold all',
            default='0.3',
            tasks=('instance', 'panoptic', 'refseg', 'pose'),
        ),
    ]
    no_save_pred: Annotated[bool, Option('write images only', served=False)]
    no_save_vis: Annotated[bool, Option('write JSON and maps only', served=False)]
    formats: Annotated[
        str | Sequence[str] | None,
        Option(
            'also write results for other tools, "coco,labelme" (docs/data_formats.md)',
            default='none',
            shell='--format',
            served=False,
        ),
    ]
    color_by: Annotated[
        str,
        Option(
            "what has a colour of its own: 'class' or 'instance'",
            default='class',
            choices=('class', 'instance'),
            tasks=('instance', 'panoptic', 'pose'),
        ),
    ]
    min_part: Annotated[
        float | None,
        Option(
            'separate parts and holes of a mask below this share of it go, such as 0.02',
            default='all stay',
            tasks=('instance', 'panoptic', 'refseg'),
        ),
    ]
    nms_iou: Annotated[
        float | None,
        Option(
            'of instances of one class that overlap by more than this, only the best stays',
            default='all',
            tasks=('instance',),
        ),
    ]
    min_area: Annotated[int | None, Option('least number of pixels', default='any', tasks=('instance',))]
    max_per_image: Annotated[
        int | None, Option('most instances', default='those of the model, 100', tasks=('instance',))
    ]
    tiles: Annotated[
        Any,
        Option(
            'size, or size and overlap, of tiles to cut a huge image into, "1024,128"',
            default='the whole image at once',
            tasks=('semantic', 'instance', 'panoptic'),
            served=False,
        ),
    ]
    views: Annotated[
        Any,
        Option(
            'looks at an image that are averaged, by scale and mirrored, "1, flip, 1.5" (docs/zero_shot.md)',
            default="the model's, 1",
            served=False,
        ),
    ]
    oriented_boxes: Annotated[
        bool, Option('add the smallest turned box of every mask: x, y, width, height, angle', tasks=MASK_TASKS)
    ]
    polygons: Annotated[bool, Option('add the outlines of every mask', tasks=MASK_TASKS)]
    return_vis: Annotated[bool, Option('return overlays', shell='')]
    return_datasamples: Annotated[bool, Option('return samples instead of plain data', shell='', served=False)]
    return_embeddings: Annotated[
        bool, Option('add the embedding of the image to its prediction', shell='', tasks=('retrieval',))
    ]
    print_result: Annotated[bool, Option('print a summary of every image', shell='', served=False)]


class Options(Prompts, Thresholds, Generation, ReportOptions, total=False):
    """All of them, as keyword arguments."""


def options_of(table: type) -> dict[str, Option]:
    """The options that a ``TypedDict`` declares, by name and in order."""
    options = {}
    for name, hint in get_type_hints(table, include_extras=True).items():
        if get_origin(hint) is Annotated:
            plain, option = get_args(hint)[:2]
            types = [kind for kind in get_args(plain) or (plain,) if kind in (bool, int, float)]
            options[name] = replace(option, name=name, type=types[0] if types else str)
    return options


THRESHOLDS = options_of(Thresholds)
PROMPTS = options_of(Prompts) | THRESHOLDS
GENERATION = options_of(Generation)
REPORT = options_of(ReportOptions)


def refuse_untaken(task: str, report: Mapping[str, Any]) -> None:
    """Refuse options of reports that a task does not take, so that nobody believes that they did something.

    Args:
        task (str): What is asked.
        report (Mapping[str, Any]): Options by name; None and False count as not given.

    Raises:
        ValueError: The task does not take one.
    """
    for name, value in report.items():
        takers = REPORT[name].tasks
        if takers and task not in takers and value is not None and value is not False:
            do = 'do' if len(takers) > 1 else 'does'
            raise ValueError(f"task '{task}' does not take {name}; {', '.join(takers)} {do}")


def add_arguments(group: argparse._ActionsContainer, options: Iterable[Option]) -> None:
    """Arguments of a command line for the options that have a flag; those not given are None, switches False."""
    for option in options:
        if not option.flag:
            continue
        keywords: dict[str, Any] = dict(dest=option.name, help=option.help)
        if option.default:
            keywords['help'] += f' (default: {option.default})'
        if option.kind == 'masks':
            keywords.update(action='append', metavar='FILE')
        elif option.kind == 'points':
            keywords.update(type=parse_points)
        elif option.kind == 'boxes':
            keywords.update(type=parse_boxes)
        elif option.kind == 'scores':
            keywords.update(type=parse_scores)
        elif option.kind in ('names', 'texts'):
            keywords.update(nargs='+', action=TextsAction, metavar='TEXT')
        elif option.type is bool:
            keywords.update(action='store_true')
        else:
            keywords.update(type=option.type)
        group.add_argument(option.flag, **keywords)


class TextsAction(argparse.Action):
    """One argument stays the text that it is, which may hold several; more than one are a list."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        """Add the texts to those that were given before."""
        before = getattr(namespace, self.dest, None)
        texts = [*([] if before is None else [before] if isinstance(before, str) else before), *values]
        setattr(namespace, self.dest, texts[0] if len(texts) == 1 else texts)


def parse_scores(text: str) -> float | dict[str, float]:
    """A score ``'0.4'``, or scores by name ``'dog=0.6 . cat=0.3'``, separated by full stops that stand alone."""
    try:
        if '=' not in text:
            return float(text)
        pairs = [part.rpartition('=') for part in f' {text} '.split(' . ')]
        scores = {name.strip(): float(value) for name, _, value in pairs}
        if len(scores) < len(pairs):
            raise ValueError('a name that is there twice')
        return scores
    except ValueError:
        accepted = 'accepted are "0.4" and "dog=0.6 . cat=0.3", with every name once'
        raise argparse.ArgumentTypeError(f'{shorten(repr(text))} is no score; {accepted}') from None


def parse_boxes(text: str) -> list[list[float]]:
    """Boxes ``'x1 y1 x2 y2; x1 y1 x2 y2'``, numbers separated by spaces or commas."""
    return _rows(text, (4,), 'are no boxes; accepted is "x1 y1 x2 y2; x1 y1 x2 y2"')


def parse_points(text: str) -> list[list[float]]:
    """Points ``'x y; x y 0'``, numbers separated by spaces or commas; 0 marks those that are not on the object."""
    return _rows(text, (2, 3), 'are no points; accepted is "x y; x y 0", where 0 means not on the object')


def _rows(text: str, lengths: tuple[int, ...], complaint: str) -> list[list[float]]:
    try:
        rows = [[float(number) for number in row.replace(',', ' ').split()] for row in text.split(';') if row.strip()]
    except ValueError:
        rows = []
    if not rows or any(len(row) not in lengths for row in rows):
        raise argparse.ArgumentTypeError(f'{shorten(repr(text))} {complaint}')
    return rows


def table(options: Mapping[str, Option], tasks: Mapping[str, Sequence[str]]) -> str:
    """Options as a Markdown table.

    Args:
        options (Mapping[str, Option]): By name.
        tasks (Mapping[str, Sequence[str]]): By name, the tasks that take the option; all of them if there is no entry.
    """
    rows = ['| Python | command line | values | default | tasks | meaning |', '|---|---|---|---|---|---|']
    for name, option in options.items():
        flag = f'`{option.flag}`' if option.flag else ''
        takers = ', '.join(f'`{task}`' for task in tasks[name]) if name in tasks else 'all'
        default = option.default or ('off' if option.type is bool else '')
        rows.append(f'| `{name}` | {flag} | {option.values} | {default} | {takers} | {option.help} |')
    return '\n'.join(rows)
