"""Flips, and the texts and classes that a flip makes wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import numpy as np
from mmdet.datasets.transforms import RandomFlip as MMDetRandomFlip

from xdet.registry import TRANSFORMS
from xdet.structures import Vocabulary


@TRANSFORMS.register_module()
class RandomFlipWithTexts(MMDetRandomFlip):
    """mmdet's ``RandomFlip`` that keeps texts and classes true.

    After a horizontal flip "the man on the left" is on the right and a left shoe is a right shoe. The official code
    flips regardless. Texts may be chosen before or after this; phrases only before, as their masks are read with them.

    Args:
        prob (float): Probability of a horizontal flip.
        sides (str): What to do with a sample whose captions, phrases, regions, questions, answers, or classes of
            segments name a side: ``'keep'`` never flips it, which is always right; ``'swap'`` flips it and exchanges
            the words, and the classes if each has a counterpart in the vocabulary (otherwise it is not flipped), which
            is wrong where "left" is a form of "to leave" and where "right" does not mean a side; ``'ignore'`` flips
            it, as the official code does.

    Raises:
        ValueError: ``sides`` is unknown.
    """

    def __init__(self, prob: float = 0.5, sides: str = 'keep') -> None:
        if sides not in ('keep', 'swap', 'ignore'):
            raise ValueError(f"sides is {sides!r}; accepted are 'keep', 'swap' and 'ignore'")
        super().__init__(prob=prob, direction='horizontal')
        self.sides = sides

    def _flip_on_direction(self, results: dict) -> None:
        direction = self._choose_direction()
        others: dict[int, int] | None = {}
        if direction and self.sides == 'keep' and any(map(names_a_side, (*_texts(results), *_class_names(results)))):
            direction = None
        if direction and self.sides == 'swap':
            others = _counterparts(results)
            direction = None if others is None else direction
        results.update(flip=direction is not None, flip_direction=direction)
        if not direction:
            return
        self._flip(results)
        results['mirrored'] = True
        if self.sides == 'swap':
            _swap_texts(results)
            _swap_classes(results, others)


def check_flip(results: dict) -> None:
    """Refuse a sample of which a flip that knows no texts has made a text or a class wrong.

    ``mirrored`` in ``results`` says that texts and classes are about the flipped image.

    Raises:
        ValueError: There is one, with the text.
    """
    if not results.get('flip') or results.get('mirrored'):
        return
    direction = results.get('flip_direction') or 'horizontal'
    wrong = None
    if direction != 'vertical':
        wrong = next(filter(names_a_side, (*_texts(results), *_class_names(results))), None)
    if direction != 'horizontal' and wrong is None:
        wrong = next(filter(_HEIGHTS.search, _texts(results)), None)
    if wrong is not None:
        raise ValueError(
            f'{results.get("img_path")}: was flipped ({direction}), which makes {wrong!r} wrong; flip with '
            'RandomFlipWithTexts, which is horizontal and minds texts and classes'
        )


def names_a_side(text: str) -> bool:
    """Whether a text has a word that a horizontal flip makes wrong."""
    return bool(_SIDES.search(text))


def swap_sides(text: str) -> str:
    """``text`` with left and right exchanged: ``'Left man, rightmost chair'`` -> ``'Right man, leftmost chair'``."""
    return _SIDES.sub(_other_side, text)


# Also inside of "leftmost", "topright" and misspelt compounds, which referring expressions are full of.
_SIDES = re.compile(r"left|(?<!b)(?<!f)(?<!w)(?<!up)right|clockwise|o'?\s?clock", re.IGNORECASE)
_HEIGHTS = re.compile(
    r'\b(top|bottom|up|upper|down|lower|above|below|beneath|under|over|upside)|clockwise|clock\b', re.IGNORECASE
)
_OTHER = dict(left='right', right='left')

# Where samples have texts, and how to change all texts of each place.
_PLACES: dict[str, Callable[[Callable[[str], str], object], object]] = dict(
    caption=lambda change, text: change(text),
    captions=lambda change, texts: tuple(map(change, texts)),
    nouns=lambda change, texts: tuple(map(change, texts)),
    phrases=lambda change, rows: [{**row, 'text': change(row['text'])} for row in rows],
    regions=lambda change, rows: [{**row, 'text': change(row['text'])} for row in rows],
    expressions=lambda change, rows: [{**row, 'sentences': tuple(map(change, row['sentences']))} for row in rows],
    questions=lambda change, texts: tuple(map(change, texts)),
    answers=lambda change, rows: tuple({change(answer): score for answer, score in row.items()} for row in rows),
)


def _swap_texts(results: dict, change: Callable[[str], str] = swap_sides) -> None:
    for key, place in _PLACES.items():
        if results.get(key):
            results[key] = place(change, results[key])


def _texts(results: dict) -> Iterator[str]:
    """What is said, asked and answered about the image."""
    found: list[str] = []
    _swap_texts(dict(results), lambda text: found.append(text) or text)
    yield from found


def _labels(results: dict) -> set[int]:
    """Classes that the sample's annotations have."""
    of_boxes = np.asarray(results.get('gt_bboxes_labels', ()), dtype=np.int64).tolist()
    return {label for label in [*of_boxes, *(row['label'] for row in results.get('segments_info') or ())] if label >= 0}


def _class_names(results: dict) -> Iterator[str]:
    """What the classes of the sample's annotations are called."""
    vocabulary: Vocabulary | None = results.get('vocabulary')
    for label in _labels(results) if vocabulary is not None else ():
        yield from (vocabulary.names[label], *vocabulary.texts[label])


def _counterparts(results: dict) -> dict[int, int] | None:
    """For each class of the sample that names a side, that of the other side; None if one has none."""
    vocabulary: Vocabulary | None = results.get('vocabulary')
    if vocabulary is None:
        return {}
    rows = {tuple(map(str.casefold, texts)): label for label, texts in enumerate(vocabulary.texts)}
    others = {
        label: rows.get(tuple(swap_sides(text).casefold() for text in vocabulary.texts[label]))
        for label in _labels(results)
        if any(map(names_a_side, (vocabulary.names[label], *vocabulary.texts[label])))
    }
    return None if None in others.values() or any(label == other for label, other in others.items()) else others


def _swap_classes(results: dict, others: dict[int, int]) -> None:
    if not others:
        return
    if 'segments_info' in results:
        rows = results['segments_info']
        results['segments_info'] = [{**row, 'label': others.get(row['label'], row['label'])} for row in rows]
    for key in ('gt_bboxes_labels', 'gt_sem_map'):
        if key in results:
            old = np.asarray(results[key])
            results[key] = old.copy()
            for label, other in others.items():
                results[key][old == label] = other


def _other_side(match: re.Match) -> str:
    word = match[0]
    other = _OTHER.get(word.lower(), word)
    return other.upper() if word.isupper() else other.capitalize() if word[0].isupper() else other
