"""Nouns of captions, for the contrast of queries with nouns (docs/model.md, 7).

The published recipe takes the nouns that NLTK's tagger finds, whose model is a download. Here the tagger is TextBlob's
``PatternTagger`` (Brill's rules with a lexicon): its data come inside the package, it takes about 0.1 ms per caption,
and a caption has the same nouns in every process. A few rules on top mend what it gets wrong in captions; quality on
hand-labelled captions is in docs/datasets.md and guarded by a test.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence

from xdet.lazy import import_optional
from xdet.structures import clean_name
from xdet.structures.known_words import singulars

Tags = list[tuple[str, str]]
"""Words and their Penn Treebank tags."""

NOT_THINGS = frozenset(
    'amount angle area array assortment back background bit bottom bunch camera center centre close-up closeup corner '
    'couple day distance double edge end foreground front group half image inside kind left lot lots middle number '
    'one ones outside pair part photo photograph picture piece pieces place portion reflection right scene set shot '
    'side sides someone something sort time top type types variety view way'.split()
)
"""Nouns of amount, place and picture: nothing in an image has these as its name."""

PERSON_WORDS = frozenset(
    'adult adults baby babies boy boys child children crowd gentleman girl girls guy guys human humans kid kids lady '
    'ladies male man men female people person persons toddler toddlers woman women'.split()
)
"""What captions call a ``person`` without saying more."""

_VERB_FORMS = frozenset(
    'blows carries cuts dives drives flies glides hangs jumps juggles kicks leans leaps looks plays poses pulls pushes '
    'reaches rests rides runs sails serves sits skates slides sprays stands stops surfs swims swings talks throws '
    'travels turns waits walks watches waves winds works'.split()
)
"""Forms that, straight after a singular noun, are rather its verb than the plural the tagger takes them for."""

_OBJECT_FOLLOWS = ('DT', 'PRP$', 'PRP')
_NOUN_FOLLOWS = ('DT', 'PRP$', 'JJ', 'CD')


def extract_nouns(caption: str) -> tuple[str, ...]:
    """Nouns of a caption, lower-cased, each once, in order.

    Args:
        caption (str): English text.

    Returns:
        tuple[str, ...]: Single words without :data:`NOT_THINGS`; a compound such as "fire hydrant" gives both words,
        as in the published recipe.

    Raises:
        ImportError: TextBlob is not installed.
    """
    tags = [(word.lower(), tag) for word, tag in _tagger()(caption)]
    nouns = (word for index, (word, _) in enumerate(tags) if _is_noun(tags, index))
    return tuple(dict.fromkeys(word for word in nouns if word not in NOT_THINGS))


def nouns_beside(nouns: Iterable[str], class_names: Sequence[str]) -> tuple[str, ...]:
    """The nouns that name something else than the classes.

    A noun names a class if it is, in singular or plural, the class name, its last word ("table": dining table), the
    part before a hyphen ("wall": wall-brick), or, where there is a class ``person``, one of :data:`PERSON_WORDS`.
    """
    known = _words_of_classes(tuple(class_names))
    return tuple(noun for noun in nouns if not known & singulars(noun))


def _is_noun(tags: Tags, index: int) -> bool:
    word, tag = tags[index]
    before, before_tag = tags[index - 1] if index else ('', '')
    after_tag = tags[index + 1][1] if index + 1 < len(tags) else ''
    if not word[:1].isalpha() or len(word) < 2:
        return False
    if tag == 'VB':  # a base form follows "to", an auxiliary or a plural; here it is a noun like "stick" or "sink"
        return before_tag in (*_NOUN_FOLLOWS, 'NN')
    if not tag.startswith('NN'):
        return False
    if before_tag in ('NN', 'NNP') and word.endswith('s'):  # "the surfer rides a wave"
        return not (after_tag in _OBJECT_FOLLOWS or word in _VERB_FORMS)
    if before_tag == 'WP' and word.endswith('s'):  # "a man who juggles"
        return False
    return not (word.endswith('ing') and before in ('is', 'are', 'was', 'were', 'be', 'been'))


@functools.lru_cache(maxsize=1)
def _tagger() -> Callable[[str], Tags]:
    return import_optional('textblob.en', 'ChooseCaption(with_nouns=True)', 'data').tag


@functools.lru_cache(maxsize=64)
def _words_of_classes(class_names: tuple[str, ...]) -> frozenset[str]:
    words: set[str] = set()
    for name in map(str.lower, class_names):
        stem = clean_name(name).split('-')[0].split(',')[0].strip()
        for form in filter(None, (name, stem, stem.split(' ')[-1])):
            words |= singulars(form)
        if name == 'person':
            words |= PERSON_WORDS
    return frozenset(words)
