"""Checks of the entries of users' files: what is wrong names the file, the entry and the field."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import Any

from .reading import shorten

ID = (int, str)
"""Kind of an id: a whole number or a text."""

_REQUIRED: Any = object()
_KINDS = {
    int: 'a whole number',
    float: 'a number',
    str: 'a text',
    bool: '0 or 1',
    list: 'a list',
    dict: 'an object with keys',
}


def require(entry: Any, key: str, kind: type | tuple[type, ...], where: str, default: Any = _REQUIRED) -> Any:
    """Value of ``key`` in one entry of a file.

    Args:
        entry (Any): The entry, which must be an object with keys.
        key (str): Its field.
        kind (type | tuple[type, ...]): ``int`` (also 640.0), ``float`` (finite), ``str``, ``bool`` (also 0 and 1),
            ``list``, ``dict``, or several of these.
        where (str): File and entry, such as ``'train.json: annotation 5'``.
        default (Any): For a field that is absent or null; without it that is an error.

    Raises:
        ValueError: The entry is no object, or the field is absent, null or of another kind.
    """
    if not isinstance(entry, Mapping):
        raise ValueError(f'{where}: is {shown(entry)}; it must be an object with keys')
    value = entry.get(key)
    if value is None:
        if default is not _REQUIRED:
            return default
        raise ValueError(f"{where}: '{key}' is {'null' if key in entry else 'missing'}; it must be {_names(kind)}")
    return checked(value, kind, f"{where}: '{key}'")


def checked(value: Any, kind: type | tuple[type, ...], what: str) -> Any:
    """``value`` if it is of ``kind``, see :func:`require`; ``what`` names it.

    Raises:
        ValueError: It is not.
    """
    for one in kind if isinstance(kind, tuple) else (kind,):
        if one is bool:
            if isinstance(value, (bool, int, float)) and value in (0, 1):
                return bool(value)
        elif one is int:
            if isinstance(value, int) and not isinstance(value, bool):
                return value
            if isinstance(value, float) and value.is_integer():
                return int(value)
        elif one is float:
            if isinstance(value, (int, float)) and not isinstance(value, bool) and is_finite(value):
                return value
        elif isinstance(value, one):
            return value
    raise ValueError(f'{what} is {shown(value)}; it must be {_names(kind)}')


def number(name: str, value: Any, kind: type, least: float, most: float = math.inf, limits: str = '') -> Any:
    """The number that an argument of a call was given, as one of Python; those of numpy are as good.

    Args:
        name (str): The argument, for the error.
        value (Any): What it was given.
        kind (type): ``int`` or ``float``, which takes whole numbers, too.
        least (float): Least value.
        most (float): Greatest value.
        limits (str): What is accepted, for the error; empty is made of the numbers.

    Raises:
        ValueError: It is something else, NaN, or out of range.
    """
    is_number = isinstance(value, numbers.Integral if kind is int else numbers.Real) and not isinstance(value, bool)
    if is_number and least <= value <= most:
        return value if isinstance(value, (int, float)) else kind(value)
    limits = limits or (f'from {least:g}' if most == math.inf else f'from {least:g} to {most:g}')
    told = 'None' if value is None else shown(value)
    raise ValueError(f'{name} is {told}; accepted are {"whole numbers" if kind is int else "numbers"} {limits}')


def is_finite(value: float) -> bool:
    """Whether a number is neither NaN nor infinite nor beyond what a float holds."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def shown(value: Any) -> str:
    """A value of a file for a message, in a readable length."""
    if isinstance(value, Mapping):
        keys = shorten(', '.join(map(str, list(value)[:10])), 100) or '(none)'
        return f'an object with the keys {"".join(one if one.isprintable() else "?" for one in keys)}'
    if isinstance(value, (list, tuple)) and len(value) > 8:
        return f'a list of {len(value)} entries'
    try:
        return 'null' if value is None else shorten(repr(value), 100)
    except (ValueError, RecursionError):  # whole numbers of more digits than Python shows, lists in lists without end
        return f'a {type(value).__name__}'


def _names(kind: type | tuple[type, ...]) -> str:
    return ' or '.join(_KINDS[one] for one in (kind if isinstance(kind, tuple) else (kind,)))
