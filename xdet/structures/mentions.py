"""Names in texts, in singular and plural."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

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


@lru_cache(maxsize=4096)
def _pattern(name: str) -> re.Pattern[str]:
    forms = {name.lower(), plural(name.lower())}
    return re.compile('|'.join(rf'\b{re.escape(form)}\b' for form in sorted(forms)))
