"""The header of a file of embedded class names, which says what its rows are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from xdet.io.reading import parse_json
from xdet.io.schema import checked, shown

from .vocabulary import refuse_unprintable

FORMAT = 'xdet-vocabulary-1'
LEAST_NORM = 0.5
"""Of a row; they are of unit length, up to rounding."""
KEYS = ('names', 'prompted', 'templates', 'encoder')
OF_EXAMPLES = dict(shown='[]', weights='""')
"""Keys that only files with names learned from examples have, and what their absence means."""


class EmbeddingHeader(NamedTuple):
    """Fields of :class:`~xdet.models.text.embedding_file.EmbeddingFile` beside the embeddings."""

    names: list[str]
    prompted: list[bool]
    templates: str
    encoder: str
    shown: list[str]
    weights: str


def read_header(header: Mapping[str, str], rows: int) -> EmbeddingHeader:
    """Parse and check a header.

    Args:
        header (Mapping[str, str]): The meta information of the file.
        rows (int): Number of embeddings.

    Raises:
        ValueError: A field is missing or cannot be meant; the message names it, but not the file.
    """
    if missing := [key for key in KEYS if key not in header]:
        raise ValueError(f"'{missing[0]}' is missing")
    names, prompted, templates, encoder = (parse_json(header[key], key) for key in KEYS)
    own, weights = (parse_json(header.get(key, default), key) for key, default in OF_EXAMPLES.items())
    for key, value, kind in (
        ('templates', templates, str),
        ('encoder', encoder, str),
        ('names', names, list),
        ('prompted', prompted, list),
        ('shown', own, list),
        ('weights', weights, str),
    ):
        checked(value, kind, f"'{key}'")
    if not rows == len(names) == len(prompted):
        raise ValueError(f'{rows} embeddings for {len(names)} names, of which {len(prompted)} say how they were made')
    for place, name in enumerate(own):
        checked(name, str, f"'shown' {place}")
    seen = set()
    for place, (name, by_template) in enumerate(zip(names, prompted, strict=True)):
        refuse_unprintable(f'name {place}', checked(name, str, f'name {place}'))
        entry = (name, checked(by_template, bool, f"'prompted' of name {place}"))
        if not name or entry in seen:
            raise ValueError(f'name {place}, {shown(name)}, is {"there twice" if name else "empty"}')
        seen.add(entry)
    return EmbeddingHeader(names, prompted, templates, encoder, own, weights)
