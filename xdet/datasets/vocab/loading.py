"""Turn what a configuration says about classes into a :class:`Vocabulary`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from xdet.io.reading import expand, listed, read_json, read_list, shorten
from xdet.io.schema import checked, require, shown
from xdet.io.warnings import warn_once
from xdet.structures import Vocabulary
from xdet.structures.vocabulary import BACKGROUND, refuse_unprintable, says_something, spellings_of

from .class_list import ClassList

DATA = Path(__file__).parent / 'data'
"""Folder of the class lists, ``<name>.json`` each."""
_STRUCTURED = ('.yaml', '.yml', '.jsonl', '.csv', '.tsv', '.xml', '.py')


class _Vocabularies(Mapping[str, Vocabulary]):
    """Every known class list by name; a file is read when its list is first asked for."""

    def __init__(self) -> None:
        # The things of COCO's panoptic list are the classes of its instance task.
        self._names = tuple(sorted(['coco_instance', *(path.stem for path in DATA.glob('*.json'))]))

    def __getitem__(self, name: str) -> Vocabulary:
        if name not in self._names:
            raise KeyError(name)
        return get_class_list(name).vocabulary()

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


VOCABULARIES: Mapping[str, Vocabulary] = _Vocabularies()
"""Known class lists. A label is the position of a name in its list."""


@cache  # files of the package do not change
def get_class_list(name: str) -> ClassList:
    """Everything known about class list ``name``: names, prompts, synonyms, source, quirks.

    Raises:
        ValueError: No list has that name.
    """
    if name not in VOCABULARIES:
        raise ValueError(f'unknown class list {shorten(name)!r}{_similar(name)}; accepted are {_accepted()}')
    if name == 'coco_instance':
        return get_class_list('coco_panoptic').only_things('COCO 2017 instances')
    return ClassList.read(DATA / f'{name}.json')


def _accepted() -> str:
    """The known lists in a readable length."""
    return ', '.join([*(name for name in VOCABULARIES if not name.startswith('seginw_')), 'seginw_<set>'])


def _similar(name: str) -> str:
    close = get_close_matches(name[:100], VOCABULARIES, n=3, cutoff=0.6)
    return f' (did you mean {" or ".join(close)}?)' if close else ''


def get_vocabulary(name: str, synonyms: bool = False) -> Vocabulary:
    """Known class list ``name``, one of :data:`VOCABULARIES`.

    Args:
        name (str): Such as ``'ade20k_150'``.
        synonyms (bool): Describe every class by the mean of its synonyms instead of one name.

    Raises:
        ValueError: No list has that name, or it has no synonyms.
    """
    return get_class_list(name).vocabulary(synonyms)


def make_vocabulary(classes: str | Path | Mapping | Sequence[str], things: Sequence[str] | None = None) -> Vocabulary:
    """Vocabulary of a dataset.

    Args:
        classes (str | Path | Mapping | Sequence[str]): Names in label order, or the name of a list in
            :data:`VOCABULARIES`, or ``dict(name=..., synonyms=True)`` with such a name, or the path of a file for
            :func:`load_class_names`.
        things (Sequence[str], optional): Which of them are countable. None keeps what a known list says and otherwise
            means none.

    Raises:
        ValueError: The list or file is unusable, or ``things`` names a class that is not listed.
    """
    prompts: tuple[tuple[str, ...], ...] = ()
    if isinstance(classes, Mapping) or (isinstance(classes, str) and classes in VOCABULARIES):
        vocabulary = _known_list(classes)
        if things is None:
            return vocabulary
        names, prompts = vocabulary.names, vocabulary.prompts
    elif isinstance(classes, str | Path):
        names = load_class_names(classes)
    elif isinstance(classes, Sequence):
        names = tuple(classes)
    else:
        raise ValueError(f'classes is {shown(classes)}; accepted are a list of names, a file, or one of {_accepted()}')
    if things is not None and (isinstance(things, str) or not isinstance(things, Sequence)):
        raise ValueError(f'things is {shown(things)}; accepted is a list of names')
    source = str(classes) if isinstance(classes, str | Path) else 'the class list'
    if not prompts:
        for name in names:
            if isinstance(name, str):  # Vocabulary refuses the others
                refuse_unprintable(source, name)
        warn_of_names(source, names)
    unknown = [name for name in things or () if name not in names]
    if unknown:
        raise ValueError(f'things not in the class list: {listed(unknown)}; the classes are {listed(names)}')
    try:
        return Vocabulary(names, tuple(name in set(things or ()) for name in names), prompts)
    except ValueError as error:
        raise ValueError(f'{source}: {error}') from None


def _known_list(classes: str | Mapping) -> Vocabulary:
    if isinstance(classes, str):
        return get_vocabulary(classes)
    if 'name' not in classes or set(classes) - {'name', 'synonyms'}:
        raise ValueError(f"classes has the keys {sorted(classes)}; accepted are 'name' and 'synonyms'")
    synonyms = checked(classes.get('synonyms', False), bool, "classes: 'synonyms'")
    return get_vocabulary(checked(classes['name'], str, "classes: 'name'"), synonyms)


def load_class_names(path: str | Path) -> tuple[str, ...]:
    """Class names from a text file (one a line) or a JSON file, in label order.

    A JSON file holds a list, or a dict with the list under ``classes``. Its entries are names, or dicts with ``name``
    and optionally ``id``; ids must then be 0, 1, 2, ... because they are the values in the label images.

    Raises:
        ValueError: The file is missing or holds something else.
    """
    path = expand(path)
    if not os.path.exists(path):
        raise ValueError(
            f'{shorten(str(path))}: no such class list{_similar(str(path))}; accepted are a list of '
            f'names, a .txt or .json file, or one of {_accepted()}'
        )
    if path.suffix.lower() != '.json':
        return _names_of_lines(path)
    content = read_json(path)
    entries = content.get('classes') if isinstance(content, dict) else content
    if not isinstance(entries, list) or not entries:
        raise ValueError(f'{path}: expected a list of class names, or a dict with such a list under "classes"')
    return _names_of_entries(path, entries)


def _names_of_lines(path: Path) -> tuple[str, ...]:
    if path.suffix.lower() in _STRUCTURED:
        raise ValueError(f'{path}: a class list is a .txt file with one name a line, or a .json file')
    names = read_list(path)
    if len(names) > 1 and any(
        all(re.match(rf'{first + place}\b', name) for place, name in enumerate(names)) for first in (0, 1)
    ):
        warn_once(f'{path}: its lines are numbered, and the numbers taken for parts of the names ({names[0]!r}, ...)')
    return tuple(names)


def _names_of_entries(path: Path, entries: list) -> tuple[str, ...]:
    if all(isinstance(entry, str) for entry in entries):
        return tuple(entries)
    if not all(isinstance(entry, dict) and 'name' in entry for entry in entries):
        raise ValueError(f'{path}: every class must be a name or a dict with "name" (and optionally "id")')
    names = {}
    for position, entry in enumerate(entries):
        where = f'{path}: class {position} (counted from 0)'
        names[require(entry, 'id', int, where, position)] = require(entry, 'name', str, where)
    if sorted(names) != list(range(len(entries))):
        raise ValueError(
            f'{path}: class ids must be 0 to {len(entries) - 1} without gaps, found {listed(sorted(names), 5)}'
        )
    return tuple(names[number] for number in range(len(entries)))


def warn_of_names(source: str, names: Iterable[str]) -> None:
    """Warn if a class of ``source`` is called as the text that stands for no object, or as another class."""
    spellings = spellings_of(names)
    if alike := [' = '.join(map(repr, own[:4])) for own in spellings.values() if len(own) > 1]:
        warn_once(
            f'{source}: classes have one name for the text encoder, which cannot tell them apart: {listed(alike)}; '
            'rename or join them'
        )
    if silent := [name for name in names if isinstance(name, str) and name.strip() and not says_something(name)]:
        warn_once(f'{source}: the class names {listed(map(repr, silent), 5)} have neither letters nor digits')
    if BACKGROUND in spellings:
        warn_once(
            f'{source}: a class is called {BACKGROUND!r}, which also stands for no object, so that its segments are '
            "hardly ever found; give it another name, such as 'ground'"
        )
