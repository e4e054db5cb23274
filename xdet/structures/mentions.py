"""Names in texts, in singular and plural, and whether an image shows them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .data_sample import XDetDataSample

PRESENCE = 'presence'
"""Which names are there at all: asked for beside other tasks, without a result of its own for people."""

UNSEEN = 0.4
"""Presence below which a name that a text mentions counts as not seen (docs/photos.md, False finds)."""

_IRREGULAR = dict(
    person='people', man='men', woman='women', child='children', sheep='sheep', mouse='mice', knife='knives'
)


def plural(name: str) -> str:
    """Plural of the last word of a class name."""
    *before, word = name.split(' ')
    if word in _IRREGULAR:
        word = _IRREGULAR[word]
    elif word.endswith(('s', 'x', 'ch', 'sh')):
        word += 'es'
    elif word.endswith('y') and word[-2:-1] not in 'aeiou':
        word = word[:-1] + 'ies'
    else:
        word += 's'
    return ' '.join([*before, word])


def mentioned(text: str, names: Iterable[str]) -> list[str]:
    """Which of the names a text mentions, in singular or plural, in the order of the names."""
    return [name for name in names if _pattern(name).search(text.lower())]


def unseen(sample: XDetDataSample, text: str) -> list[str]:
    """Which of the names of a sample's vocabulary a text mentions although no query takes anything for them.

    There are none where presence was not asked for.
    """
    if 'pred_presence' not in sample:
        return []
    pairs = zip(sample.vocabulary.names, sample.pred_presence.tolist(), strict=True)
    return mentioned(text, [name for name, presence in pairs if presence < UNSEEN])


def unseen_mark(row: Mapping[str, Any]) -> str:
    """What stands behind a text with ``unseen`` names; nothing if there are none."""
    return f'  (not seen: {", ".join(row["unseen"])})' if row.get('unseen') else ''


@lru_cache(maxsize=4096)
def _pattern(name: str) -> re.Pattern[str]:
    forms = {name.lower(), plural(name.lower())}
    return re.compile('|'.join(rf'\b{re.escape(form)}\b' for form in sorted(forms)))
