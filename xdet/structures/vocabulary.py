"""The class names one image is segmented with."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from xdet.io.reading import listed, shorten
from xdet.io.schema import shown
from xdet.io.warnings import warn

from .templates import clean_name

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
                raise ValueError(
                    f'class name {shown(name)} is empty or not a string; every name needs at least one letter'
                )

    def __len__(self) -> int:
        return len(self.names)

    def __deepcopy__(self, memo: dict) -> Vocabulary:
        """Itself: samples copy their meta information, and a copy of something immutable is only slower."""
        return self

    @property
    def texts(self) -> tuple[tuple[str, ...], ...]:
        """What the text encoder is told about each class; at least one text for each."""
        return self.prompts or tuple((name,) for name in self.names)

    def with_background(self, names: Sequence[str]) -> Vocabulary:
        """With further names at the end, which compete with its own and are not to be reported.

        Args:
            names (Sequence[str]): None of them may be among its own.

        Raises:
            ValueError: One is.
        """
        if not names:
            return self
        own = {same_text(name): name for name in self.names}
        twice = [name for name in names if same_text(name) in own]
        if twice:
            raise ValueError(f'background names {shown(twice[0])}, which is asked for, too; take it out of one of them')
        return Vocabulary(
            (*self.names, *names),
            (*self.is_thing, *(True,) * len(names)),
            (*self.prompts, *((name,) for name in names)) if self.prompts else (),
        )

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


def same_text(name: str) -> str:
    """What the text encoder makes of a class name: equal for names that it cannot tell apart."""
    return ' '.join(clean_name(name).casefold().split())


def spellings_of(names: Iterable[object]) -> dict[str, list[str]]:
    """Class names by what the text encoder makes of them; what is no text, which Vocabulary refuses, is left out."""
    spellings: dict[str, list[str]] = {}
    for name in names:
        if isinstance(name, str):
            spellings.setdefault(same_text(name), []).append(name)
    return spellings


def _unique(names: list[str]) -> list[str]:
    """The names, unless two are one text to the encoder: then two labels would compete for the same pixels."""
    spellings = spellings_of(names)
    repeated = [own[0] if len(set(own)) == 1 else ' = '.join(own[:4]) for own in spellings.values() if len(own) > 1]
    if repeated:
        raise ValueError(
            f'class names given more than once: {listed(repeated)}; every name may appear once, however it is written'
        )
    if BACKGROUND in spellings:
        name = spellings[BACKGROUND][0]
        raise ValueError(f"class name {name!r} is taken: it stands for no object; use another, such as 'ground'")
    check_texts('class names', names)
    return names


def check_texts(what: str, texts: Iterable[object]) -> None:
    """Refuse what nobody can mean as a text for the encoder.

    Args:
        what (str): Which texts they are, for the error.
        texts (Iterable): Texts; anything else is passed over.

    Raises:
        ValueError: One is the name of a file, JSON, punctuation alone, or has characters that a terminal would obey.
    """
    for text in texts:
        if not isinstance(text, str):
            continue
        if _FILE.fullmatch(text):
            raise ValueError(f'{shorten(text)!r} is the name of a file; give the {what} themselves')
        if _JSON.match(text):
            raise ValueError(f"{shorten(text)!r} is JSON; give the {what} as they are, such as 'dog . cat'")
        refuse_unprintable(what, text)
        if text.strip() and not says_something(text):
            raise ValueError(f'{what}: {shown(text)} has neither letters nor digits; give words')


def says_something(text: str) -> bool:
    """Whether a text has a letter, a digit or a picture, not punctuation and invisible characters alone."""
    return any(unicodedata.category(letter)[0] in 'LN' or unicodedata.category(letter) == 'So' for letter in text)


def refuse_unprintable(what: str, text: str) -> None:
    """Refuse a text with characters that are none: controls, which a terminal would obey, those that turn the order of
    letters around, and halves.

    Raises:
        ValueError: It has some.
    """
    if not text.isprintable() and any(unicodedata.category(c) in ('Cc', 'Cs') or c in _OVERRIDES for c in text):
        raise ValueError(f'{what}: {shown(text)} has characters that cannot be printed')


_OVERRIDES = '\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069'


_FILE = re.compile(r'\S+\.(?:txt|json|csv|tsv|ya?ml)', re.IGNORECASE)
_JSON = re.compile(r'\s*[\[{]\s*["\'\]}]')


def split_prompts(prompts: str | Iterable[str] | None) -> list[str]:
    """Names of a prompt: a list as it is, a string split at separators.

    Separators are full stops that stand alone, ``' . '``, commas, semicolons, tabs and line ends. Where there are none
    of these, full stops after words separate too: ``'cat. dog.'`` are two names, and a notice says so. Otherwise they
    belong to the names, as in ``'St. Bernard . No. 7'``; one at the very end is dropped.

    Args:
        prompts (str | Iterable[str], optional): What the user typed; None means no names.

    Returns:
        list[str]: Names without surrounding white space.

    Raises:
        ValueError: It is something else.
    """
    if prompts is None:
        return []
    if isinstance(prompts, (bytes, Mapping)) or not isinstance(prompts, Iterable):
        raise ValueError(f"class names are a {type(prompts).__name__}; accepted are lists and strings 'dog . cat'")
    if not isinstance(prompts, str):
        return [name.strip() if isinstance(name, str) else name for name in prompts]
    prompts = prompts.lstrip('\ufeff')  # with which some editors begin a file
    check_texts('class names', [_SEPARATOR.sub(' ', prompts)])  # JSON has separators, too
    pieces = _SEPARATOR.split(prompts.strip())
    if len(pieces) > 1:
        parts = _named(pieces)
        return _named([*parts[:-1], parts[-1].removesuffix('.')]) if parts else []
    parts = _named(_STOP_AFTER_WORD.split(prompts))
    if len(parts) > 1 and not prompts.rstrip().endswith('.'):
        warn(
            f'{shorten(prompts)!r} is read as {len(parts)} names: {listed(parts)}; a list, or full stops that stand '
            "alone (' . '), keep full stops in names"
        )
    return parts


# Each looks at one character and its neighbours, so the time is linear in the length of the text.
_SEPARATOR = re.compile(r'[,;\t\r\n]|(?<!\S)\.(?!\S)')
_STOP_AFTER_WORD = re.compile(r'\.(?!\S)')


def _named(parts: Iterable[str]) -> list[str]:
    return [part.strip() for part in parts if part.strip()]
