"""Turn what a configuration says about classes into a :class:`Vocabulary`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from xdet.structures import Vocabulary

from .camvid import CAMVID_CLASSES, CAMVID_THINGS
from .coco import COCO_STUFF, COCO_THINGS

VOCABULARIES = {
    'camvid': Vocabulary(CAMVID_CLASSES, tuple(name in CAMVID_THINGS for name in CAMVID_CLASSES)),
    'coco_instance': Vocabulary(COCO_THINGS, (True,) * len(COCO_THINGS)),
    'coco_panoptic': Vocabulary(COCO_THINGS + COCO_STUFF, (True,) * len(COCO_THINGS) + (False,) * len(COCO_STUFF)),
}
"""Known class lists. A label is the position of a name in its list."""


def get_vocabulary(name: str) -> Vocabulary:
    """Known class list ``name``, one of :data:`VOCABULARIES`.

    Raises:
        ValueError: No list has that name.
    """
    if name not in VOCABULARIES:
        raise ValueError(f'unknown class list {name!r}; accepted are {", ".join(sorted(VOCABULARIES))}')
    return VOCABULARIES[name]


def make_vocabulary(classes: str | Path | Sequence[str], things: Sequence[str] | None = None) -> Vocabulary:
    """Vocabulary of a dataset.

    Args:
        classes (str | Path | Sequence[str]): Names in label order, or the name of a list in :data:`VOCABULARIES`, or
            the path of a file for :func:`load_class_names`.
        things (Sequence[str], optional): Which of them are countable. None keeps what a known list says and otherwise
            means none.

    Raises:
        ValueError: The list or file is unusable, or ``things`` names a class that is not listed.
    """
    if isinstance(classes, str) and classes in VOCABULARIES:
        vocabulary = VOCABULARIES[classes]
        if things is None:
            return vocabulary
        names: tuple[str, ...] = vocabulary.names
    elif isinstance(classes, str | Path):
        names = load_class_names(classes)
    else:
        names = tuple(classes)
    unknown = [name for name in things or () if name not in names]
    if unknown:
        raise ValueError(f'things not in the class list: {", ".join(unknown)}; the classes are {", ".join(names)}')
    return Vocabulary(names, tuple(name in set(things or ()) for name in names))


def load_class_names(path: str | Path) -> tuple[str, ...]:
    """Class names from a text file (one a line) or a JSON file, in label order.

    A JSON file holds a list, or a dict with the list under ``classes``. Its entries are names, or dicts with ``name``
    and optionally ``id``; ids must then be 0, 1, 2, ... because they are the values in the label images.

    Raises:
        ValueError: The file is missing or holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(
            f'{path}: no such class list; accepted are a list of names, a .txt or .json file, '
            f'or one of {", ".join(sorted(VOCABULARIES))}'
        )
    text = path.read_text(encoding='utf-8')
    if path.suffix.lower() != '.json':
        return tuple(line.strip() for line in text.splitlines() if line.strip())
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f'{path}: not valid JSON ({error})') from error
    entries = content.get('classes') if isinstance(content, dict) else content
    if not isinstance(entries, list) or not entries:
        raise ValueError(f'{path}: expected a list of class names, or a dict with such a list under "classes"')
    return _names_of_entries(path, entries)


def _names_of_entries(path: Path, entries: list) -> tuple[str, ...]:
    if all(isinstance(entry, str) for entry in entries):
        return tuple(entries)
    if not all(isinstance(entry, dict) and 'name' in entry for entry in entries):
        raise ValueError(f'{path}: every class must be a name or a dict with "name" (and optionally "id")')
    ids = [entry.get('id', position) for position, entry in enumerate(entries)]
    if sorted(ids) != list(range(len(entries))):
        raise ValueError(f'{path}: class ids must be 0 to {len(entries) - 1} without gaps, found {sorted(ids)[:5]}...')
    return tuple(entry['name'] for _, entry in sorted(zip(ids, entries, strict=True), key=lambda pair: pair[0]))
