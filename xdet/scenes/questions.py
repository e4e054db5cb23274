"""Questions about scenes with one right answer, which the question alone does not give away.

Where a question has two possible answers, both are asked for equally often; other answers are as frequent as the
scenes allow (``docs/scenes.md`` has what guessing reaches).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import RandomState

from .description import COLOURS, MATERIALS, SHAPES, STUFF, THINGS, Scene
from .facts import RELATIONS, region_of, relates, size_difference
from .phrases import sample_reference
from .words import plural, with_article

ANSWERS = (
    'yes', 'no', '0', '1', '2', '3', '4', '5', '6', *COLOURS, *SHAPES, *MATERIALS, *STUFF,
    'left', 'right', 'above', 'below', 'larger', 'smaller',
)  # fmt: skip
"""All answers, in the order of an answer classifier."""


@dataclass(frozen=True)
class Question:
    """A question with its answer.

    Attributes:
        text (str): Such as ``'what colour is the small star?'``.
        answer (str): One of :data:`ANSWERS`.
        kind (str): One of :data:`QUESTION_KINDS`.
    """

    text: str
    answer: str
    kind: str


def sample_question(scene: Scene, kind: str, rng: RandomState, nameable: Collection[str] = THINGS) -> Question | None:
    """A random question of a kind; None if the scene offered none in a few tries.

    Args:
        scene (Scene): What to ask about.
        kind (str): One of :data:`QUESTION_KINDS`.
        rng (RandomState): Source of randomness.
        nameable (Collection[str]): Names of things that may be asked for although the scene has none.
    """
    found = _ASK[kind](scene, rng, nameable)
    return None if found is None else Question(f'{found[0]}?', found[1], kind)


def sample_questions(
    scene: Scene,
    rng: RandomState,
    count: int,
    nameable: Collection[str] = THINGS,
    shares: Mapping[str, float] | None = None,
) -> list[Question]:
    """``count`` or fewer different random questions.

    Args:
        scene (Scene): What to ask about.
        rng (RandomState): Source of randomness.
        count (int): Most questions.
        nameable (Collection[str]): Names of things that may be asked for although the scene has none.
        shares (Mapping[str, float], optional): How often every kind is tried, in any unit; kinds that it does not name
            are not asked. None: at most one question of every kind, and at least one in all.
    """
    if shares is None:
        kinds = rng.permutation(QUESTION_KINDS).tolist()
    else:
        # Twice as many as needed: not every scene has a question of every kind, and questions may repeat.
        ends = np.cumsum([shares.get(kind, 0.0) for kind in QUESTION_KINDS])
        kinds = [QUESTION_KINDS[i] for i in np.searchsorted(ends / ends[-1], rng.random_sample(2 * count), 'right')]
    questions: dict[str, Question] = {}
    for kind in kinds:
        question = sample_question(scene, kind, rng, nameable) if len(questions) < count else None
        if question is not None:
            questions[question.text] = question
    return list(questions.values())


def reference_questions(scene: Scene, rng: RandomState, nameable: Collection[str] = THINGS) -> list[Question]:
    """For evaluation: one question of every kind that the scene offers."""
    questions = (sample_question(scene, kind, rng, nameable) for kind in QUESTION_KINDS)
    return [question for question in questions if question is not None]


Asked = tuple[str, str] | None
"""Question without its mark, and answer."""


def _choice(rng: RandomState, options: Sequence[Any]) -> Any:
    return options[rng.randint(len(options))]


def _count(scene: Scene, rng: RandomState, nameable: Collection[str]) -> Asked:
    """First the number, then what to count, or else most answers would be 0."""
    items = scene.objects
    numbers: dict[str, int] = dict(objects=len(items))
    numbers.update({plural(shape): sum(item.shape == shape for item in items) for shape in SHAPES})
    numbers.update({f'{colour} objects': sum(item.colour == colour for item in items) for colour in COLOURS})
    numbers.update({f'{kind} objects': sum(item.material == kind for item in items) for kind in MATERIALS})
    numbers.update({plural(name): count for name, count in Counter(item.name for item in items).items()})
    answer = _choice(rng, sorted(set(numbers.values())))
    noun = _choice(rng, [noun for noun, number in numbers.items() if number == answer])
    return f'how many {noun} are there', str(answer)


def _colour(scene: Scene, rng: RandomState, nameable: Collection[str]) -> Asked:
    return _property(scene, rng, 'colour', 'what colour is {}')


def _shape(scene: Scene, rng: RandomState, nameable: Collection[str]) -> Asked:
    return _property(scene, rng, 'shape', 'what shape is {}')


def _material(scene: Scene, rng: RandomState, nameable: Collection[str]) -> Asked:
    return _property(scene, rng, 'material', 'what pattern does {} have')


def _property(scene: Scene, rng: RandomState, name: str, question: str) -> Asked:
    target = rng.randint(len(scene.objects))
    reference = sample_reference(scene, target, rng, without=(name,))
    return None if reference is None else (question.format(reference), getattr(scene.objects[target], name))


def _existence(scene: Scene, rng: RandomState, nameable: Collection[str]) -> Asked:
    """A class name, a shape, a coloured object or a background; those that are absent are near misses if possible."""
    present = {item.name for item in scene.objects}
    shapes, colours = {item.shape for item in scene.objects}, {item.colour for item in scene.objects}
    everything, here = _choice(
        rng,
        (
            (sorted(nameable), present),
            (sorted(nameable), present),
            (SHAPES, shapes),
            ([f'{colour} object' for colour in COLOURS], {f'{colour} object' for colour in colours}),
            (STUFF, set(scene.regions)),
        ),
    )
    yes = bool(rng.randint(2))
    options = sorted(here) if yes else [noun for noun in everything if noun not in here]
    if not yes and everything not in (SHAPES, STUFF):
        options = [noun for noun in options if set(noun.split()) <= shapes | colours] or options
    if not options:
        return None
    noun = _choice(rng, options)
    return f'is there {noun if noun in STUFF[:4] else with_article(noun)}', 'yes' if yes else 'no'


def _relation(scene: Scene, rng: RandomState, nameable: Collection[str]) -> Asked:
    """Left or right, above or below, or yes and no."""
    pair = _pair(scene, rng)
    if pair is None:
        return None
    (one, first), (two, second) = pair
    true = [word for word in RELATIONS if relates(scene.objects[one], word, scene.objects[two])]
    if not true:
        return None
    word = _choice(rng, true)
    if rng.randint(2):
        words = 'left or right of' if word in ('left of', 'right of') else 'above or below'
        return f'is {first} {words} {second}', word.split()[0]
    yes = bool(rng.randint(2))
    opposite = dict(zip(RELATIONS, ('right of', 'left of', 'below', 'above'), strict=True))
    return f'is {first} {word if yes else opposite[word]} {second}', 'yes' if yes else 'no'


def _size(scene: Scene, rng: RandomState, nameable: Collection[str]) -> Asked:
    pair = _pair(scene, rng)
    if pair is None:
        return None
    (one, first), (two, second) = pair
    difference = size_difference(scene.objects[one], scene.objects[two])
    if difference == 0:
        return None
    return f'is {first} larger or smaller than {second}', 'larger' if difference > 0 else 'smaller'


def _pair(scene: Scene, rng: RandomState) -> tuple[tuple[int, str], tuple[int, str]] | None:
    """Two objects, each with a description by shape and colour."""
    indices = [int(index) for index in rng.permutation(len(scene.objects))[:2]]
    names = [sample_reference(scene, index, rng, without=('size', 'material'), kinds=('plain',)) for index in indices]
    if len(names) < 2 or None in names:
        return None
    return (indices[0], str(names[0])), (indices[1], str(names[1]))


def _background(scene: Scene, rng: RandomState, nameable: Collection[str]) -> Asked:
    """What the background is, or what is behind an object."""
    if len(scene.regions) == 1:
        return 'what is the background', scene.regions[0]
    if rng.randint(2):
        top = rng.randint(2)
        return f'what is at the {"top" if top else "bottom"} of the picture', scene.regions[0 if top else 1]
    target = rng.randint(len(scene.objects))
    region = region_of(scene, scene.objects[target])
    reference = sample_reference(scene, target, rng, without=('region',), kinds=('plain', 'attribute'))
    return None if region is None or reference is None else (f'what is behind {reference}', region)


_ASK: dict[str, Callable[[Scene, RandomState, Collection[str]], Asked]] = dict(
    count=_count,
    colour=_colour,
    shape=_shape,
    pattern=_material,
    existence=_existence,
    relation=_relation,
    size=_size,
    background=_background,
)

QUESTION_KINDS = tuple(_ASK)
"""Kinds of questions."""
