"""Schedules whose lengths follow the length of the training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_NEVER = 1_000_000_000
_LENGTHS = ('begin', 'end', 'milestones', 'T_max', 'step_size')


def resolve_fractions(schedule: Any, max_iters: int) -> Any:
    """Turn fractions of the training into iterations.

    In ``begin``, ``end``, ``milestones``, ``T_max`` and ``step_size`` a float is a fraction of the training, 1.0 its
    end, and an int a number of iterations: ``dict(type='CosineAnnealingLR', by_epoch=False, begin=100, end=1.0)``.

    Args:
        schedule (Any): Config of a parameter scheduler, or a list or dict of such; anything else is handed back.
        max_iters (int): Iterations of the training.

    Raises:
        ValueError: A fraction outside of 0 to 1, or in a schedule by epochs.
    """
    if isinstance(schedule, list):
        return [resolve_fractions(part, max_iters) for part in schedule]
    if not isinstance(schedule, Mapping):
        return schedule
    if 'type' not in schedule:  # by the name of an optimizer
        return {name: resolve_fractions(part, max_iters) for name, part in schedule.items()}
    resolved = dict(schedule)
    for key in _LENGTHS:
        if _has_float(resolved.get(key)):
            if resolved.get('by_epoch', True):
                raise ValueError(
                    f'param_scheduler {schedule["type"]}: {key} is {resolved[key]}, a fraction of the iterations; '
                    'set by_epoch=False, or use integers'
                )
            what = f'param_scheduler {schedule["type"]}: {key}'
            resolved[key] = _resolve(resolved[key], max_iters, what, least=0 if key in ('begin', 'end') else 1)
    return resolved


def fit_schedule(schedule: Any, max_iters: int) -> tuple[Any, list[str]]:
    """Leave out what a training is too short for, such as a warm-up of 5 % of ten iterations.

    Of schedules by iterations, those go that act in less than two iterations: because they would begin at or after the
    end, or because their fractions are too small. Where one of several goes, because the training ends before it
    begins, those before it end with the training.

    Args:
        schedule (Any): As :func:`resolve_fractions` returns it.
        max_iters (int): Iterations of the training.

    Returns:
        tuple[Any, list[str]]: What is left, and names of what is not.
    """
    if isinstance(schedule, Mapping) and 'type' not in schedule:
        parts = {name: fit_schedule(part, max_iters) for name, part in schedule.items()}
        left_out = [one for _, names in parts.values() for one in names]
        return {name: part for name, (part, _) in parts.items()}, left_out
    single = isinstance(schedule, Mapping)
    steps = [schedule] if single else schedule
    if not isinstance(steps, list) or not all(isinstance(step, Mapping) for step in steps):
        return schedule, []
    left = [step for step in steps if not _is_too_short(step, max_iters)]
    if len(left) == len(steps):
        return schedule, []
    if any(_by_iters(step) and step.get('begin', 0) >= max_iters for step in steps):
        left = [
            dict(step, end=max_iters) if _by_iters(step) and max_iters < step.get('end', 0) < _NEVER else step
            for step in left
        ]
    return left, [str(step.get('type')) for step in steps if _is_too_short(step, max_iters)]


def _by_iters(step: Mapping) -> bool:
    lengths = [step.get('begin', 0), step.get('end', _NEVER)]
    return not step.get('by_epoch', True) and all(isinstance(length, int) for length in lengths)


def _is_too_short(step: Mapping, max_iters: int) -> bool:
    if not _by_iters(step):
        return False
    begin, end = step.get('begin', 0), step.get('end', _NEVER)
    # A schedule that ends before it begins although both are numbers of iterations is a mistake that MMEngine names.
    return begin >= max_iters or 0 <= min(end, max_iters) - begin < min(2, max_iters)


def _has_float(value: Any) -> bool:
    values = value if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
    return any(isinstance(one, float) for one in values)


def _resolve(value: Any, max_iters: int, what: str, least: int) -> Any:
    if isinstance(value, Sequence):
        return [_resolve(one, max_iters, what, least) for one in value]
    if not isinstance(value, float):
        return value
    if not 0 <= value <= 1:
        raise ValueError(f'{what} is {value}; a float is a fraction of the training, from 0 to 1; iterations are ints')
    iterations = round(value * max_iters)
    return iterations if iterations or not value or not least else least
