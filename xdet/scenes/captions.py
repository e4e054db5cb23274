"""Captions: one that says everything in a fixed order, others that say the same or less in other words, all true."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from numpy.random import RandomState

from .description import VOCABULARY, Scene, SceneObject
from .facts import RELATIONS, SIZES, has_size, region_of, relates
from .words import NUMBERS, PREPOSITIONS, counted, join, with_article

STYLES = ('canonical', 'complete', 'partial')
"""Styles of captions.

canonical: Backgrounds, then all objects in the order of the vocabulary: a function of the scene's classes.
complete: The same facts in another order or other words.
partial: Some of the objects, often with more details.
"""

_ORDER = {name: label for label, name in enumerate(VOCABULARY.names)}


@dataclass(frozen=True)
class Caption:
    """A sentence and what it talks about.

    Attributes:
        text (str): Such as ``'sky above grass with two red circles and a blue square'``.
        nouns (tuple[str, ...]): Names of the things mentioned, each once.
    """

    text: str
    nouns: tuple[str, ...]


def canonical_caption(scene: Scene) -> Caption:
    """The caption that a model should give: backgrounds from top to bottom, things in the order of the vocabulary."""
    names = sorted((item.name for item in scene.objects), key=_ORDER.__getitem__)
    return Caption(f'{_background(scene)} with {_listing(names)}', _unique(names))


def sample_caption(scene: Scene, style: str, rng: RandomState) -> Caption:
    """A random caption of one of :data:`STYLES`."""
    if style == 'canonical':
        return canonical_caption(scene)
    sentences = _COMPLETE if style == 'complete' else _PARTIAL
    return sentences[rng.randint(len(sentences))](scene, rng)


def reference_captions(scene: Scene, rng: RandomState, count: int = 3) -> list[Caption]:
    """For evaluation: the canonical caption first, then up to ``count - 1`` other complete ones."""
    captions = [canonical_caption(scene), *(sample_caption(scene, 'complete', rng) for _ in range(count - 1))]
    return list({caption.text: caption for caption in captions}.values())


def region_caption(scene: Scene, item: SceneObject) -> str:
    """What there is to say about one object: ``'a large striped red circle on the grass'``; a function of the scene.

    Size and background are said where they are beyond doubt.
    """
    words = (*(word for word in SIZES if has_size(item, word)), item.material, item.name)
    region = region_of(scene, item)
    return ' '.join((with_article(' '.join(words)), *((PREPOSITIONS[region],) if region else ())))


def _background(scene: Scene) -> str:
    return ' above '.join(scene.regions)


def _where(scene: Scene) -> str:
    """Where the objects of the scene are, all together."""
    if len(scene.regions) == 1:
        return PREPOSITIONS[scene.regions[0]]
    return f'in front of {_background(scene)}'


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _listing(names: Sequence[str]) -> str:
    """All names with their numbers, in the order of their first occurrence."""
    return join([counted(name, count) for name, count in Counter(names).items()])


def _shuffled(scene: Scene, rng: RandomState) -> list[SceneObject]:
    return [scene.objects[index] for index in rng.permutation(len(scene.objects))]


def _list_first(scene: Scene, rng: RandomState) -> Caption:
    """a red circle and a blue square on the grass"""
    names = [item.name for item in _shuffled(scene, rng)]
    return Caption(f'{_listing(names)} {_where(scene)}', _unique(names))


def _number_first(scene: Scene, rng: RandomState) -> Caption:
    """two objects on the grass: a red circle and a blue square"""
    names = [item.name for item in _shuffled(scene, rng)]
    objects = 'object' if len(names) == 1 else 'objects'
    return Caption(f'{NUMBERS[len(names)]} {objects} {_where(scene)}: {_listing(names)}', _unique(names))


def _picture_of(scene: Scene, rng: RandomState) -> Caption:
    """a picture of a red circle and a blue square with grass behind them"""
    names = [item.name for item in _shuffled(scene, rng)]
    return Caption(f'a picture of {_listing(names)} with {_background(scene)} in the background', _unique(names))


def _left_to_right(scene: Scene, rng: RandomState) -> Caption:
    """from left to right a red circle, a blue square and a red circle on the grass"""
    items = sorted(scene.objects, key=lambda item: item.centre[0])
    if any(right.centre[0] - left.centre[0] < 0.04 for left, right in zip(items, items[1:], strict=False)):
        return _list_first(scene, rng)
    names = [item.name for item in items]
    return Caption(f'from left to right {join([with_article(name) for name in names])} {_where(scene)}', _unique(names))


def _detailed(scene: Scene, rng: RandomState) -> Caption:
    """a large striped red circle and a blue square on the grass"""
    items = _shuffled(scene, rng)[: rng.randint(1, 4)]
    described = []
    for item in items:
        size = next((word for word in SIZES if has_size(item, word)), None) if rng.randint(3) else None
        material = item.material if rng.randint(2) else None
        described.append(with_article(' '.join(word for word in (size, material, item.name) if word)))
    regions = {region_of(scene, item) for item in items}
    shared = regions.pop() if len(regions) == 1 else None
    where = PREPOSITIONS[shared] if shared else _where(scene)
    return Caption(f'{join(described)} {where}', _unique([item.name for item in items]))


def _related(scene: Scene, rng: RandomState) -> Caption:
    """a red circle left of a blue square"""
    items = _shuffled(scene, rng)
    pairs = [
        (one, word, two)
        for one, two in zip(items, items[1:], strict=False)
        for word in RELATIONS
        if relates(one, word, two)
    ]
    if not pairs:
        return _detailed(scene, rng)
    one, word, two = pairs[rng.randint(len(pairs))]
    return Caption(f'{with_article(one.name)} {word} {with_article(two.name)}', _unique([one.name, two.name]))


def _shapes(scene: Scene, rng: RandomState) -> Caption:
    """two circles and a square on the grass"""
    items = _shuffled(scene, rng)
    listing = _listing([item.shape for item in items])
    return Caption(f'{listing} {_where(scene)}', ())


_COMPLETE: tuple[Callable[[Scene, RandomState], Caption], ...] = (
    _list_first,
    _number_first,
    _picture_of,
    _left_to_right,
)
_PARTIAL: tuple[Callable[[Scene, RandomState], Caption], ...] = (_detailed, _related, _shapes)
