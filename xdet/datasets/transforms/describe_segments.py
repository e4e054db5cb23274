"""Captions, phrases and questions about segments, for panoptic data that brings no texts of its own.

Only what labels support is said, and with margins: nothing is "on the left" that is nearly in the middle, nothing is
counted of which a part is too small to be sure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from numpy.random import RandomState

from xdet.registry import TRANSFORMS
from xdet.structures import clean_name
from xdet.structures.mentions import plural

TEXTS = ('caption', 'phrases', 'questions')
"""Kinds of texts that :class:`DescribeSegments` can add."""

GROUPS = MappingProxyType(
    dict(
        animal=('bird', 'cat', 'dog', 'horse', 'sheep', 'cow', 'elephant', 'bear', 'zebra', 'giraffe'),
        vehicle=('bicycle', 'car', 'motorcycle', 'airplane', 'bus', 'train', 'truck', 'boat'),
    )
)
"""Words for several classes, which questions ask for."""

NUMBERS = ('no', 'one', 'two', 'three', 'four', 'five', 'six')

_SIDE = 0.12  # distance from the middle, in widths, from which on something is on a side
_MIDDLE = 0.08  # and up to which it is in the middle
_APART = 0.15  # distance of centres from which on things are left or right of each other
_LARGER = 1.5  # ratio of areas from which on one is larger


@dataclass(frozen=True)
class Fact:
    """A segment, in fractions of the image.

    Attributes:
        position (int): Place in ``segments_info``.
        name (str): Class name.
        is_thing (bool): Whether it can be counted.
        area (float): Share of the image.
        centre (tuple[float, float]): Centre of mass.
    """

    position: int
    name: str
    is_thing: bool
    area: float
    centre: tuple[float, float]


@TRANSFORMS.register_module()
class DescribeSegments(BaseTransform):
    """Say something true about the segments of a sample.

    Put it behind :class:`RandomFlipWithTexts`, resizing and cropping: what it says is about the image as it then is.
    For training, texts are drawn from NumPy's global generator, which ``SeededDataset`` seeds for every sample. For
    testing they are a function of the segments, and there are all of them.

    Required keys: ``gt_seg_map``, ``segments_info`` and ``vocabulary``.

    Added keys, as by the transforms of annotated texts:

        caption: ``caption`` str (``captions`` tuple[str] for testing), empty where nothing can be said.
        phrases: ``phrases``: list of dict(text, segments), see :class:`PackXDetInputs`.
        questions: ``questions`` and ``question_kinds`` tuple[str], ``answers`` tuple[dict[str, float]].

    Args:
        texts (Sequence[str]): Which of :data:`TEXTS` to add.
        test_mode (bool): Texts for evaluation.
        num_phrases (int): Most phrases per sample in training.
        num_questions (int): Most questions per sample in training.
        min_area (float): Segments smaller than this share of the image, and crowds, are referred to with all others of
            their class only, and nothing else is said that would be wrong if they were counted.
        uncounted (Sequence[str]): Classes whose segments may stand for several things; they are not counted.
        max_count (int): Largest number that is asked for.

    Raises:
        ValueError: Unknown kind of text.
    """

    def __init__(
        self,
        texts: Sequence[str] = TEXTS,
        test_mode: bool = False,
        num_phrases: int = 4,
        num_questions: int = 3,
        min_area: float = 0.004,
        uncounted: Sequence[str] = ('person',),
        max_count: int = 6,
        groups: Mapping[str, Sequence[str]] = GROUPS,
    ) -> None:
        unknown = sorted(set(texts) - set(TEXTS))
        if unknown:
            raise ValueError(f"DescribeSegments: texts names '{unknown[0]}'; accepted are {', '.join(TEXTS)}")
        self.texts = tuple(texts)
        self.test_mode = test_mode
        self.num_phrases = num_phrases
        self.num_questions = num_questions
        self.min_area = min_area
        self.uncounted = frozenset(uncounted)
        self.max_count = max_count
        self.groups = {word: frozenset(names) for word, names in groups.items()}

    def transform(self, results: dict) -> dict:
        """Describe; see the class documentation."""
        view = self._view(results)
        rng: Any = RandomState(0) if self.test_mode else np.random
        if 'caption' in self.texts:
            captions = view.captions()
            if self.test_mode:
                results['captions'] = tuple(captions)
            else:
                caption = captions[_pick(rng, (0.7, 0.3)[: len(captions)])] if captions else ''
                results.update(caption=caption, nouns=())
        if 'phrases' in self.texts:
            phrases = view.phrases()
            if not self.test_mode:
                count = rng.randint(1, self.num_phrases + 1)
                phrases = [phrases[index] for index in rng.permutation(len(phrases))[:count]]
                results['phrase_mode'] = 'text'
            results['phrases'] = [dict(text=text, segments=segments) for text, segments in phrases]
        if 'questions' in self.texts:
            questions = view.questions(rng, self.test_mode)
            if not self.test_mode:
                questions = _spread(questions, rng, self.num_questions)
            results.update(
                questions=tuple(text for _, text, _ in questions),
                question_kinds=tuple(kind for kind, _, _ in questions),
                answers=tuple({answer: 1.0} for _, _, answer in questions),
            )
        return results

    def _view(self, results: dict) -> _View:
        if 'gt_seg_map' not in results:
            raise ValueError(
                f'{results.get("img_path", "a sample")}: DescribeSegments found no map of segments; it follows '
                'LoadSegments, and the data must be panoptic, as CocoPanopticSegDataset has them'
            )
        indices, segments = results['gt_seg_map'], results['segments_info']
        names = [clean_name(name) for name in results['vocabulary'].names]
        height, width = _extent(results, indices.shape)
        flat = indices[:height, :width].ravel()
        rows, columns = np.divmod(np.arange(flat.size), width)
        size = len(segments) + 1
        counts = np.bincount(flat, minlength=size)
        x = np.bincount(flat, columns, minlength=size) / np.maximum(counts, 1) / width
        y = np.bincount(flat, rows, minlength=size) / np.maximum(counts, 1) / height
        facts: list[Fact] = []
        unsure: dict[str, list[Fact]] = {}
        for position, segment in enumerate(segments):
            label, area = segment['label'], counts[position + 1] / flat.size
            if label < 0 or not area:
                continue
            thing = bool(segment['is_thing'])
            fact = Fact(position, names[label], thing, area, (x[position + 1], y[position + 1]))
            if segment['iscrowd'] or area < self.min_area:
                unsure.setdefault(fact.name, []).append(fact)
            else:
                facts.append(fact)
        absent = sorted(set(names) - {fact.name for fact in facts} - set(unsure))
        return _View(facts, unsure, absent, self.uncounted, self.max_count, self.groups)


@dataclass(frozen=True)
class _View:
    """What there is in an image, and what can be said about it."""

    facts: list[Fact]
    unsure: Mapping[str, Sequence[Fact]]
    absent: list[str]
    uncounted: frozenset[str]
    max_count: int
    groups: Mapping[str, frozenset[str]]

    def by_class(self) -> dict[str, list[Fact]]:
        """Segments by class, classes by the area they take, the largest first."""
        classes: dict[str, list[Fact]] = {}
        for fact in self.facts:
            classes.setdefault(fact.name, []).append(fact)
        return dict(sorted(classes.items(), key=lambda item: -sum(fact.area for fact in item[1])))

    def captions(self) -> list[str]:
        """What there is, and, where sides are clear, where it is."""
        classes = self.by_class()
        if not classes:
            return []
        parts = [self._amount(name, facts) for name, facts in classes.items()]
        captions = [_join(parts)]
        singles = [facts[0] for name, facts in classes.items() if len(facts) == 1 and name not in self.unsure]
        placed = [fact for fact in singles if fact.is_thing and side(fact)]
        if placed and len(placed) == len(classes) <= 2:
            captions.append(' and '.join(f'{article(fact.name)} on the {side(fact)}' for fact in placed))
        return captions

    def _amount(self, name: str, facts: Sequence[Fact]) -> str:
        if not facts[0].is_thing:
            return name
        if len(facts) == 1 and name not in self.unsure:
            return article(name)
        if name in self.unsure or name in self.uncounted or len(facts) >= len(NUMBERS):
            return plural(name) if name in self.uncounted else f'several {plural(name)}'
        return f'{NUMBERS[len(facts)]} {plural(name)}'

    def phrases(self) -> list[tuple[str, tuple[int, ...]]]:
        """Phrases and the places of the segments they refer to."""
        found: list[tuple[str, tuple[int, ...]]] = []
        classes = self.by_class()
        for name in dict.fromkeys([*classes, *self.unsure]):
            facts, unsure = classes.get(name, []), self.unsure.get(name, ())
            whole = [*facts, *unsure]
            everything = tuple(sorted(fact.position for fact in whole))
            if unsure or not facts[0].is_thing:  # all of a class together can be referred to, however many they are
                found.append((f'the {plural(name)}' if whole[0].is_thing and len(whole) > 1 else name, everything))
                continue
            if len(facts) == 1:
                found += [(text, everything) for text in (name, f'the {name}', f'{name} in the picture')]
                found += [(f'{name} {place}', everything) for place in _places(facts[0])]
                continue
            found += [(f'the {plural(name)}', everything), (f'all {plural(name)}', everything)]
            found += self._told_apart(name, facts)
        return found

    def _told_apart(self, name: str, facts: Sequence[Fact]) -> list[tuple[str, tuple[int, ...]]]:
        """Phrases for one of several."""
        found: list[tuple[str, tuple[int, ...]]] = []
        across = sorted(facts, key=lambda fact: fact.centre[0])
        for word, first, second in (('left', across[0], across[1]), ('right', across[-1], across[-2])):
            if abs(first.centre[0] - second.centre[0]) >= _APART:
                texts = f'{word} {name}', f'the {word}most {name}', f'{name} on the {word}'
                found += [(text, (first.position,)) for text in texts]
        if len(facts) == 3 and across[2].centre[0] - across[1].centre[0] >= _APART:
            if across[1].centre[0] - across[0].centre[0] >= _APART:
                found += [(f'{text} {name}', (across[1].position,)) for text in ('middle', 'the middle')]
        sizes = sorted(facts, key=lambda fact: -fact.area)
        if sizes[0].area >= _LARGER * sizes[1].area:
            found += [(text, (sizes[0].position,)) for text in (f'biggest {name}', f'the largest {name}')]
        if sizes[-2].area >= _LARGER * sizes[-1].area:
            found += [(text, (sizes[-1].position,)) for text in (f'smallest {name}', f'the small {name}')]
        return found

    def questions(self, rng: RandomState, every: bool) -> list[tuple[str, str, str]]:
        """Kind, question and answer; in training one of the names that are not there, for testing three."""
        classes = self.by_class()
        found: list[tuple[str, str, str]] = []
        for name, facts in classes.items():
            if not facts[0].is_thing:
                continue
            found.append(('existence', f'is there {article(name)}?', 'yes'))
            if name not in self.unsure and name not in self.uncounted and len(facts) <= self.max_count:
                found.append(('count', f'how many {plural(name)} are there?', str(len(facts))))
            if len(facts) == 1 and name not in self.unsure and side(facts[0]):
                found.append(('place', f'is the {name} on the left or on the right?', side(facts[0])))
        count = min(3 if every else max(1, len(classes)), len(self.absent))
        for index in rng.permutation(len(self.absent))[:count]:
            found.append(('existence', f'is there {article(self.absent[index])}?', 'no'))
        for word, members in self.groups.items():
            inside = [name for name in classes if name in members]
            if len(inside) == 1 and not members & self.unsure.keys():
                found.append(('what', f'what {word} is in the picture?', inside[0]))
                found.append(('what', f'what {word} is this?', inside[0]))
        return found + self._compared(classes)

    def _compared(self, classes: Mapping[str, Sequence[Fact]]) -> list[tuple[str, str, str]]:
        """Questions about two classes of which there is one thing each, and about the extremes."""
        found: list[tuple[str, str, str]] = []
        things = [fact for fact in self.facts if fact.is_thing]
        singles = [facts[0] for name, facts in classes.items() if len(facts) == 1 and name not in self.unsure]
        singles = [fact for fact in singles if fact.is_thing]
        for first in singles:
            for second in singles:
                shift = first.centre[0] - second.centre[0]
                if first is not second and abs(shift) >= _APART:
                    text = f'is the {first.name} left or right of the {second.name}?'
                    found.append(('relation', text, 'left' if shift < 0 else 'right'))
        if len(things) < 2 or self.unsure:
            return found
        across = sorted(things, key=lambda fact: fact.centre[0])
        for word, first, second in (('left', across[0], across[1]), ('right', across[-1], across[-2])):
            apart = abs(first.centre[0] - second.centre[0]) >= _APART
            if apart and side(first) == word:
                found.append(('side', f'what is on the {word}?', first.name))
        sizes = sorted(things, key=lambda fact: -fact.area)
        if sizes[0].area >= _LARGER * sizes[1].area:
            found.append(('size', 'what is the largest thing?', sizes[0].name))
        return found


def side(fact: Fact) -> str:
    """``'left'``, ``'right'`` or, if it is not clear, nothing."""
    shift = fact.centre[0] - 0.5
    return '' if abs(shift) < _SIDE else 'left' if shift < 0 else 'right'


def article(name: str) -> str:
    """``'a dog'``, ``'an airplane'``."""
    return f'{"an" if name[:1].lower() in "aeiou" else "a"} {name}'


def _places(fact: Fact) -> list[str]:
    if abs(fact.centre[0] - 0.5) <= _MIDDLE:
        return ['in the middle']
    return [f'on the {side(fact)}'] if side(fact) else []


def _join(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f'{", ".join(parts[:-1])} and {parts[-1]}'


def _extent(results: dict, shape: tuple[int, ...]) -> tuple[int, int]:
    """Height and width of the image without padding."""
    scale, original = results.get('scale_factor'), results.get('ori_shape')
    if scale is None or original is None or tuple(shape[:2]) == tuple(original[:2]):
        return shape[0], shape[1]
    scaled = round(original[0] * scale[1]), round(original[1] * scale[0])
    return min(shape[0], scaled[0]), min(shape[1], scaled[1])


def _pick(rng: RandomState, shares: Sequence[float]) -> int:
    """An index, with probabilities in proportion to ``shares``."""
    return int(np.searchsorted(np.cumsum(shares) / sum(shares), rng.random_sample(), side='right'))


def _spread(questions: list[tuple[str, str, str]], rng: RandomState, count: int) -> list[tuple[str, str, str]]:
    """Some of the questions, of as many kinds as possible."""
    shuffled = [questions[index] for index in rng.permutation(len(questions))]
    rank: dict[str, int] = {}
    order = []
    for question in shuffled:
        rank[question[0]] = rank.get(question[0], 0) + 1
        order.append(rank[question[0]])
    chosen = sorted(range(len(shuffled)), key=lambda index: order[index])[:count]
    return [shuffled[index] for index in chosen]
