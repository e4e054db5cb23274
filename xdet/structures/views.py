"""How an image is looked at several times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from xdet.io.schema import number, shown

FLIP = 'flip'


class View(NamedTuple):
    """One look at an image.

    Attributes:
        scale (float): Its size in that of the network input.
        flip (bool): Whether it is mirrored.
    """

    scale: float = 1.0
    flip: bool = False

    def __str__(self) -> str:
        return ' '.join([*([f'{self.scale:g}'] if self.scale != 1 or not self.flip else []), *[FLIP] * self.flip])


Views = tuple[View, ...]
PLAIN: Views = (View(),)
"""The image as it is."""


def views_of(value: Any) -> Views:
    """Views from ``'1, flip, 1.5, 1.5 flip'`` or a list of such entries, which may be numbers.

    Raises:
        ValueError: There is none, one is given twice, or an entry is neither a scale from 0.25 to 4, nor ``flip``, nor
            both.
    """
    entries: Sequence[Any] = [value]
    if isinstance(value, str):
        entries = value.split(',')
    elif isinstance(value, Sequence) and not isinstance(value, View):
        entries = value
    views = tuple(map(_view, entries))
    if not views or len(set(views)) < len(views):
        why = 'has no view' if not views else f'names {shown(str(max(views, key=views.count)))} more than once'
        raise ValueError(f"views {why}; accepted are different ones such as '1, flip, 1.5'")
    return views


def _view(entry: Any) -> View:
    if isinstance(entry, View):
        return entry
    words = entry.split() if isinstance(entry, str) else [str(entry)]
    scales = [word for word in words if word != FLIP]
    try:
        if not words or len(scales) > 1 or len(words) - len(scales) > 1:
            raise ValueError
        scale = float(scales[0]) if scales else 1.0
    except ValueError:
        accepted = "accepted are a scale such as 1.5, 'flip', and both, '1.5 flip'"
        raise ValueError(f'views has {shown(entry)}; {accepted}') from None
    return View(number('a scale of views', scale, float, 0.25, 4), FLIP in words)
