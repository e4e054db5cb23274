"""Answers to questions as the VQA evaluation compares them: spelling, and agreement with several people.

Rules and word lists are those of the published evaluation (Antol et al., arXiv 1505.00468, and visualqa.org).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
"""Signs that are removed beside a space and become a space elsewhere; apostrophes, colons and points are not."""

_DIGITS = 'zero one two three four five six seven eight nine ten'.split()

NUMBERS = {'none': '0'} | {name: str(number) for number, name in enumerate(_DIGITS)}

ARTICLES = frozenset(('a', 'an', 'the'))

_CONTRACTED = (
    "ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd "
    "he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't "
    "must've needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've "
    "somebody'd've somebody'll somebody's someone'd someone'd've someone'll someone's something'd something'd've "
    "something'll that's there'd there'd've there're there's they'd they'd've they'll they're they've 'twas "
    "wasn't we'd've we've weren't what'll what're what's what've when's where'd where's where've who'd who'd've "
    "who'll who's who've why'll why're why's won't would've wouldn't wouldn't've y'all y'all'll y'all'd've you'd "
    "you'd've you'll you're you've"
).split()

CONTRACTIONS = {
    form[: mark.start()] + form[mark.end() :]: form for form in _CONTRACTED for mark in re.finditer("'", form)
} | {"somebody'd": 'somebodyd'}
"""Contractions that lack one apostrophe, and how they are spelt; the last goes the wrong way in the original, too."""

_THOUSANDS = re.compile(r'\d,\d')
_POINT = re.compile(r'\.(?!\d)')


def strip_punctuation(text: str) -> str:
    """``text`` without :data:`PUNCTUATION` and without points that no digit follows.

    If the text has a number such as 1,000, signs are removed everywhere instead of becoming spaces.
    """
    together = bool(_THOUSANDS.search(text))
    stripped = text
    for sign in PUNCTUATION:
        beside_space = f'{sign} ' in text or f' {sign}' in text
        stripped = stripped.replace(sign, '' if together or beside_space else ' ')
    return _POINT.sub('', stripped)


def normalize_answer(text: str) -> str:
    """An answer in the spelling that the VQA evaluation compares: ``'The two dogs.'`` is ``'2 dogs'``.

    Lower case, no articles, numbers up to ten as digits, contractions with their apostrophes, single spaces.
    """
    words = strip_punctuation(' '.join(text.split())).lower().split()
    words = [NUMBERS.get(word, word) for word in words]
    return ' '.join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)


def soft_scores(answers: Iterable[str]) -> dict[str, float]:
    """How right each answer is that people gave to a question: n of them say so, min(1, n / 3).

    Args:
        answers (Iterable[str]): One per person, ten in VQA.

    Returns:
        dict[str, float]: Score by normalised answer, as a training target.
    """
    counts = Counter(filter(None, map(normalize_answer, answers)))
    return {answer: min(1.0, count / 3) for answer, count in counts.items()}


def agreement(answer: str, human_answers: Sequence[str]) -> float:
    """The VQA accuracy of one answer: the mean of min(1, n / 3) over all ways to leave one person out.

    As in the published evaluation, spelling of the people's answers is only cleaned of punctuation, and not even that
    where all of them are the same.

    Args:
        answer (str): Answer of the model, normalised here.
        human_answers (Sequence[str]): One per person, at least one.

    Returns:
        float: From 0 to 1.

    Raises:
        ValueError: Nobody answered.
    """
    people = len(human_answers)
    if not people:
        raise ValueError('nobody answered the question; its accuracy needs at least one human answer')
    truths = human_answers if len(set(human_answers)) == 1 else [strip_punctuation(truth) for truth in human_answers]
    same = list(truths).count(normalize_answer(answer))
    # Of the people, `same` leave one fewer who says the same, the others leave all of those.
    without_same, without_other = min(1.0, (same - 1) / 3), min(1.0, same / 3)
    return (same * without_same + (people - same) * without_other) / people
