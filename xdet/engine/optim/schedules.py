"""Schedules whose lengths follow the length of the training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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
            resolved[key] = _resolve(resolved[key], max_iters, f'param_scheduler {schedule["type"]}: {key}')
    return resolved


def _has_float(value: Any) -> bool:
    values = value if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
    return any(isinstance(one, float) for one in values)


def _resolve(value: Any, max_iters: int, what: str) -> Any:
    if isinstance(value, Sequence):
        return [_resolve(one, max_iters, what) for one in value]
    if not isinstance(value, float):
        return value
    if not 0 <= value <= 1:
        raise ValueError(f'{what} is {value}; a float is a fraction of the training, from 0 to 1; iterations are ints')
    return round(value * max_iters)
