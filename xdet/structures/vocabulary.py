"""The class names one image is segmented with."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

BACKGROUND = 'background'
"""Name whose text embedding stands for "no object": X-Decoder has no learned no-object vector (docs/model.md, 2)."""


@dataclass(frozen=True)
class Vocabulary:
    """Class names and which of them are countable things; label ``i`` means ``names[i]``.

    Hashable, so that it can key caches and so that samples that share one can be recognised. The no-object name is not
    part of it: whoever embeds a vocabulary appends :data:`BACKGROUND`. Names may repeat, as they do in some benchmarks.

    Attributes:
        names (tuple[str, ...]): Class names in label order.
        is_thing (tuple[bool, ...]): Whether each name is a countable thing; the others are stuff.
        prompts (tuple[tuple[str, ...], ...]): What to tell the text encoder about each class: one text instead of its
            name, or several, whose mean counts. Empty: the names.
    """

    names: tuple[str, ...]
    is_thing: tuple[bool, ...]
    prompts: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        if not self.names:
            raise ValueError('the list of class names is empty; give at least one name (things, stuff or classes)')
        if len(self.names) != len(self.is_thing):
            raise ValueError(
                f'{len(self.names)} class names but {len(self.is_thing)} thing flags; they must be as many'
            )
        if self.prompts and len(self.prompts) != len(self.names):
            raise ValueError(f'{len(self.names)} class names but prompts for {len(self.prompts)}; they must be as many')
        for name in (*self.names, *(text for texts in self.texts for text in texts or ('',))):
            if not isinstance(name, str) or not name.strip():
                raise ValueError(f'class name {name!r} is empty or not a string; every name needs at least one letter')

    def __len__(self) -> int:
        return len(self.names)

    def __deepcopy__(self, memo: dict) -> Vocabulary:
        """Itself: samples copy their meta information, and a copy of something immutable is only slower."""
        return self

    @property
    def texts(self) -> tuple[tuple[str, ...], ...]:
        """What the text encoder is told about each class; at least one text for each."""
        return self.prompts or tuple((name,) for name in self.names)

    @property
    def things(self) -> tuple[str, ...]:
        """Names of the things, in label order."""
        return tuple(name for name, thing in zip(self.names, self.is_thing, strict=True) if thing)

    @property
    def stuff(self) -> tuple[str, ...]:
        """Names of the stuff, in label order."""
        return tuple(name for name, thing in zip(self.names, self.is_thing, strict=True) if not thing)

    @classmethod
    def from_prompts(
        cls,
        things: str | Sequence[str] | None = None,
        stuff: str | Sequence[str] | None = None,
        classes: str | Sequence[str] | None = None,
    ) -> Vocabulary:
        """Build a vocabulary from what a user types.

        Args:
            things (str | Sequence[str], optional): Countable classes, as a list or as one string ``'dog . cat'``.
            stuff (str | Sequence[str], optional): Uncountable classes, likewise.
            classes (str | Sequence[str], optional): One list for users who make no difference; treated as things.

        Raises:
            ValueError: Nothing was given, ``classes`` was mixed with the other two, or a name is empty or repeated.
        """
        if classes is not None and (things is not None or stuff is not None):
            raise ValueError('give either `classes` or `things` and `stuff`, not both')
        if classes is not None:
            names = _unique(split_prompts(classes))
            return cls(tuple(names), (True,) * len(names))
        thing_names, stuff_names = split_prompts(things), split_prompts(stuff)
        flags = (True,) * len(thing_names) + (False,) * len(stuff_names)
        return cls(tuple(_unique(thing_names + stuff_names)), flags)


def _unique(names: list[str]) -> list[str]:
    """The names, unless one is given twice: then two labels would compete for the same pixels."""
    duplicates = [name for name, count in Counter(names).items() if count > 1]
    if duplicates:
        raise ValueError(f'class names given more than once: {", ".join(duplicates)}; every name may appear once')
    return names


def split_prompts(prompts: str | Iterable[str] | None) -> list[str]:
    """Names of a prompt: a list as it is, a string split at separators ``' . '``, ``','``, ``';'`` or line ends.

    A full stop separates only when white space or the end follows it, so ``'st. bernard'`` must be given in a list but
    ``'v1.0 logo'`` survives.

    Args:
        prompts (str | Iterable[str], optional): What the user typed; None means no names.

    Returns:
        list[str]: Names without surrounding white space.
    """
    if prompts is None:
        return []
    if isinstance(prompts, str):
        parts = re.split(r'\s*(?:\.(?=\s|$)|[,;\n])\s*', prompts)
        return [part.strip() for part in parts if part.strip()]
    return [name.strip() if isinstance(name, str) else name for name in prompts]
