"""Words about scenes: small pieces of English, and the synonyms that no class list of the training splits contains."""

from __future__ import annotations

import re
from collections.abc import Sequence

from xdet.structures import Vocabulary

from .description import COLOURS, MATERIALS, SHAPES, VOCABULARY

NUMBERS = ('no', 'one', 'two', 'three', 'four', 'five', 'six')
"""Number words by number."""

PREPOSITIONS = {
    'sky': 'in the sky',
    'grass': 'on the grass',
    'sand': 'on the sand',
    'water': 'in the water',
    'brick wall': 'in front of the brick wall',
    'wooden floor': 'on the wooden floor',
}
"""How a thing lies on each background."""

SYNONYMS = {
    'circle': 'disc',
    'square': 'box',
    'triangle': 'pyramid',
    'star': 'asterisk',
    'heart': 'love symbol',
    'ring': 'hoop',
    'cross': 'plus sign',
    'red': 'scarlet',
    'orange': 'tangerine',
    'yellow': 'golden',
    'green': 'emerald',
    'blue': 'azure',
    'purple': 'violet',
    'white': 'ivory',
    'sky': 'heavens',
    'grass': 'lawn',
    'sand': 'beach',
    'water': 'sea',
    'brick wall': 'masonry',
    'wooden floor': 'parquet',
}
"""Another word for every shape, colour and background, used by the split ``test_words``."""

_CLASS_WORD = re.compile(rf'\b(an? )?({"|".join(SYNONYMS)})(e?s)?\b')


def with_article(noun: str) -> str:
    """``'a red circle'``, ``'an orange ring'``."""
    return f'{"an" if noun[0] in "aeiou" else "a"} {noun}'


def plural(noun: str) -> str:
    """``'circles'``, ``'crosses'``."""
    return f'{noun}es' if noun.endswith(('s', 'x')) else f'{noun}s'


def counted(noun: str, count: int) -> str:
    """``'a circle'``, ``'two circles'``."""
    return with_article(noun) if count == 1 else f'{NUMBERS[count]} {plural(noun)}'


def join(parts: Sequence[str]) -> str:
    """``'a, b and c'``."""
    return parts[0] if len(parts) == 1 else f'{", ".join(parts[:-1])} and {parts[-1]}'


def with_synonyms(text: str) -> str:
    """``text`` with every word for a class replaced by its synonym, articles and plurals adjusted."""

    def replace(match: re.Match[str]) -> str:
        article, word, ending = match.groups()
        synonym = plural(SYNONYMS[word]) if ending else SYNONYMS[word]
        return with_article(synonym) if article else synonym

    return _CLASS_WORD.sub(replace, text)


SYNONYM_VOCABULARY = Vocabulary(tuple(map(with_synonyms, VOCABULARY.names)), VOCABULARY.is_thing)
""":data:`VOCABULARY` in other words, in the same order."""

_GRAMMAR = (
    'a above an and are at background behind below between bottom color colors colour colours do does from front has '
    'have highest how image in is it kind large larger largest left leftmost lowest many no object objects of on or '
    'pattern picture right rightmost same scene shape shapes size small smaller smallest than that the there thing '
    'things this to top what which with yes'
)
WORLD = frozenset(
    ' '.join([_GRAMMAR, *NUMBERS, *COLOURS, *MATERIALS, *SHAPES, *map(plural, SHAPES), *VOCABULARY.names]).split()
)
"""All words that the generator knows, in lower case; it speaks English and spells ``colour`` with a u."""
