"""What a call asks of each of its images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from xdet.options import PROMPTS, THRESHOLDS
from xdet.structures import TextPrompts, Thresholds, Vocabulary

from .options import known_prompts, task_formats
from .prompts import resolve_texts, resolve_vocabularies
from .regions import check_together, resolve_boxes, resolve_masks, resolve_points

_RESOLVE: dict[str, Callable[[str, Any, int | None], list[Any]]] = dict(
    texts=resolve_texts,
    points=lambda name, value, count: resolve_points(value, count),
    boxes=lambda name, value, count: resolve_boxes(value, count),
    masks=lambda name, value, count: resolve_masks(value, count),
    value=lambda name, value, count: [value] * (count or 1),
)
_REGIONS = ('boxes', 'masks')


def make_requests(
    task: str,
    prompts: Mapping[str, Any],
    generation: Mapping[str, Any],
    count: int | None,
    default: Vocabulary | None = None,
    prompts_needed: bool = True,
    formats: Mapping[str, Any] | None = None,
) -> list[TextPrompts]:
    """What is asked of each image.

    Args:
        task (str): A key of :data:`~xdet.inference.outputs.results.TASK_FORMATS`.
        prompts (Mapping[str, Any]): What the user gave, see :class:`~xdet.options.Prompts`.
        generation (Mapping[str, Any]): See :class:`~xdet.options.Generation`.
        count (int, optional): Number of images; None makes one request that holds for all of them.
        default (Vocabulary, optional): Class names of the model, for users who name none.
        prompts_needed (bool): Whether a task that compares needs something to compare with.
        formats (Mapping[str, Any], optional): By task, how it is asked; None are those of the registry.

    Raises:
        ValueError: A prompt that the task does not take, a missing or an empty one, or a wrong number of them.
    """
    formats = task_formats() if formats is None else formats
    form, known = formats[task], known_prompts(formats)
    _check(task, prompts, generation, prompts_needed, formats)
    # What phrases mean has to be found first.
    tasks = ('refseg', task) if 'phrases' in prompts and task != 'refseg' else (*form.builds_on, task)
    columns: dict[str, list[Any]] = {}
    background = prompts.get('background')
    prompts = {key: value for key, value in prompts.items() if key != 'background'}
    limits = Thresholds(**{key: prompts[key] for key in THRESHOLDS if key in prompts})
    names = {key: value for key, value in prompts.items() if known[key].kind == 'names'}
    if any(known[key].kind == 'names' for key in form.prompts):
        columns['vocabulary'] = resolve_vocabularies(count, **names, default=default)
    if background is not None:
        columns['background'] = [rivals.names for rivals in resolve_vocabularies(count, classes=background)]
    more: dict[str, list[Any]] = {}
    for key in [key for key in prompts if key not in names and key not in THRESHOLDS]:
        kind = known[key].kind
        values: list[Any]
        if isinstance(kind, str):
            values = _RESOLVE[kind](key, prompts[key], count)
        else:
            values = kind(key, prompts[key], count or 1)
        if kind in _REGIONS:
            columns['regions'] = values
        elif key in PROMPTS:
            columns[key] = values
        else:
            more[key] = values
    if 'points' in columns:
        check_together(columns['points'], columns.get('regions'))
    asked = [
        TextPrompts(
            tasks=tasks,
            generation=dict(generation),
            thresholds=limits,
            more={key: column[index] for key, column in more.items()},
            **{key: column[index] for key, column in columns.items()},
        )
        for index in range(count or 1)
    ]
    limits.check_names(_names_of(asked))
    if form.ranks and len({one.texts for one in asked}) > 1:
        raise ValueError('texts differ between images, but they rank all images of the call; give one list of texts')
    return asked


def _names_of(asked: Sequence[TextPrompts]) -> list[str]:
    """Names and phrases that images are asked about, each once."""
    names: dict[str, None] = {}
    for one in {(id(request.vocabulary), request.phrases): request for request in asked}.values():
        if one.vocabulary is not None:
            names |= dict.fromkeys(one.vocabulary.with_background(one.background).names)
        names |= dict.fromkeys(one.phrases)
    return list(names)


def _check(
    task: str,
    prompts: Mapping[str, Any],
    generation: Mapping[str, Any],
    prompts_needed: bool,
    formats: Mapping[str, Any],
) -> None:
    """Whether the task takes what was given and got what it needs."""
    form = formats[task]
    foreign = [key for key in prompts if key not in form.prompts]
    if foreign:
        accepted = ', '.join(form.prompts) if form.prompts else 'no prompts'
        raise ValueError(f"task '{task}' does not take {', '.join(foreign)}; accepted are {accepted}")
    if generation and not form.writes:
        writers = ', '.join(name for name, other in formats.items() if other.writes)
        raise ValueError(f"task '{task}' does not take {', '.join(generation)}; only {writers} write texts")
    both = [key for key in _REGIONS if key in prompts]
    if len(both) > 1 and not form.one_of:
        raise ValueError(f"task '{task}' takes one of {', '.join(_REGIONS)}, but got {' and '.join(both)}")
    needs = form.one_of or form.any_of
    if not needs or not (prompts_needed or set(prompts) - set(THRESHOLDS)):
        return
    chosen = [key for key in needs if key in prompts]
    if not chosen:
        known = known_prompts(formats)
        examples = ' or '.join(f'{key}={known[key].example}' for key in needs if known[key].example)
        needed = f"task '{task}' needs {' or '.join(needs)}"
        raise ValueError(f'{needed}, for example {examples}' if examples else needed)
    if len(chosen) > 1 and form.one_of:
        raise ValueError(f"task '{task}' takes one of {', '.join(needs)}, but got {' and '.join(chosen)}")
