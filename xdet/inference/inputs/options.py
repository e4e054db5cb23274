"""Which options a call of the inferencer knows, those of tasks in other packages included."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xdet.io.reading import shorten
from xdet.io.schema import number, shown
from xdet.io.terminal import tell
from xdet.options import GENERATION, PROMPTS, REPORT, Generation, Option, Options, Prompts, ReportOptions, table

__all__ = [
    'Generation',
    'Options',
    'Prompts',
    'ReportOptions',
    'documented',
    'known_prompts',
    'options_of_task',
    'split_options',
    'takers',
    'task_formats',
]


def task_formats() -> Mapping[str, Any]:
    """All registered formats, see :data:`xdet.structures.FORMATS`; exported models, which run without torch, bring
    their own."""
    from xdet.structures import FORMATS

    return FORMATS


def known_prompts(formats: Mapping[str, Any] | None = None) -> dict[str, Option]:
    """All prompts by name: those of xdet, then those that tasks of other packages bring along.

    Args:
        formats (Mapping[str, Any], optional): By task, as :func:`task_formats` returns them, which is the default.

    Raises:
        ValueError: One of the latter has a name that xdet uses.
    """
    formats = task_formats() if formats is None else formats
    own = {name: (task, option) for task, form in formats.items() for name, option in form.own_options().items()}
    for name, (task, _) in own.items():
        if name in PROMPTS | GENERATION | REPORT:
            raise ValueError(f"the format of task '{task}' declares the option '{name}', which xdet has already")
    return PROMPTS | {name: option for name, (_, option) in own.items()}


def takers() -> dict[str, list[str]]:
    """By option, the tasks that take it; options of reports that all take are missing."""
    formats = task_formats()
    tasks = {name: [task for task, form in formats.items() if name in form.prompts] for name in known_prompts()}
    writers = [task for task, form in formats.items() if form.writes]
    reports = {name: list(option.tasks) for name, option in REPORT.items() if option.tasks}
    return tasks | dict.fromkeys(GENERATION, writers) | reports


def options_of_task(task: str) -> dict[str, Option]:
    """Options that a call for a task takes, by name: prompts, settings of texts, then those of reports."""
    tasks = takers()
    known = known_prompts() | GENERATION | REPORT
    return {name: option for name, option in known.items() if task in tasks.get(name, (task,))}


def documented() -> str:
    """The table of all options in docs/inference.md."""
    return table(known_prompts() | GENERATION | REPORT, takers())


def split_options(
    options: Mapping[str, Any], formats: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Prompts, generation settings and report options; None counts as not given. ``formats`` as in
    :func:`known_prompts`.

    Raises:
        TypeError: An option is unknown.
        ValueError: The score threshold is not a number from 0 to 1, or a switch neither on nor off.
    """
    groups: Sequence[Mapping[str, Option]] = (known_prompts(formats), GENERATION, REPORT)
    known = [name for group in groups for name in group]
    unknown = sorted(set(options) - set(known))
    if unknown:
        unknown = [shorten(name, 60) for name in unknown[:5]]
        close = difflib.get_close_matches(unknown[0], known, n=1)
        hint = f'did you mean {close[0]}?' if close else f'accepted are {", ".join(known)}'
        raise TypeError(f'unknown argument {", ".join(unknown)}; {hint}')
    given = {key: value for key, value in options.items() if value is not None}
    if 'pred_score_thr' in given:
        given['pred_score_thr'] = number('pred_score_thr', given['pred_score_thr'], float, 0, 1)
    for name, option in [*groups[0].items(), *REPORT.items()]:
        if option.type is bool and name in given:
            given[name] = _switch(name, given[name])
            if name in groups[0] and not given[name]:
                del given[name]  # nothing is asked
        if option.choices and name in given and given[name] not in option.choices:
            accepted = ' and '.join(map(repr, option.choices))
            raise ValueError(f'{name} is {shown(given[name])}; accepted are {accepted}')
    if 'formats' in given:
        given['formats'] = _formats(given['formats'])
    prompts, generation, report = ({key: given[key] for key in group if key in given} for group in groups)
    return prompts, generation, report


def _formats(formats: str | Sequence[str]) -> tuple[str, ...]:
    """Names of formats, ``'coco,labelme'`` or a list, each once.

    Raises:
        ValueError: One is unknown.
    """
    from xdet.datasets.exchange.kinds import writer_of

    given = formats.replace(',', ' ').split() if isinstance(formats, str) else list(formats)
    for name in given:
        writer_of(str(name))
    return tuple(dict.fromkeys(given))


def _switch(name: str, value: Any) -> bool:
    if isinstance(value, (bool, np.bool_)) or (isinstance(value, int) and value in (0, 1)):
        return bool(value)
    raise ValueError(f'{name} is {shown(value)}; accepted are True and False')


if __name__ == '__main__':
    tell(*documented().split('\n'))
