"""Referring expressions: descriptions that fit exactly one segment of a scene.

An expression is data; :func:`resolve` decides what it refers to. Sampling proposes expressions at random and keeps
those that resolve to the object meant, without doubt, and that would be ambiguous without the part their kind is named
after.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from numpy.random import RandomState

from .description import Scene, SceneObject
from .facts import RELATIONS, SIZES, SUPERLATIVES, extremes, has_size, lies_on, region_of, relates
from .words import PREPOSITIONS

KINDS = ('plain', 'attribute', 'relation', 'superlative')
"""Kinds of expressions.

plain: A class name (colour and shape, or a background) or a shape.
attribute: Needs size, material or colour to be understood.
relation: Needs a neighbour or the background to be understood.
superlative: Singles out the largest, leftmost, ...
"""

_TRIES = 12


@dataclass(frozen=True)
class Expression:
    """A description of one object; what is None is not mentioned.

    Attributes:
        shape (str | None): Shape; None says "object".
        colour (str | None): Colour.
        material (str | None): Material.
        size (str | None): ``'small'`` or ``'large'``.
        region (str | None): Background it lies on.
        relation (str | None): One of :data:`~xdet.scenes.facts.RELATIONS`, to ``anchor``.
        anchor (Expression | None): Another object.
        superlative (str | None): One of :data:`~xdet.scenes.facts.SUPERLATIVES`, among what the rest describes.
    """

    shape: str | None = None
    colour: str | None = None
    material: str | None = None
    size: str | None = None
    region: str | None = None
    relation: str | None = None
    anchor: Expression | None = None
    superlative: str | None = None

    def __str__(self) -> str:
        words = [self.superlative, self.size, self.material, self.colour, self.shape or 'object']
        text = ' '.join(['the', *(word for word in words if word)])
        if self.region:
            text = f'{text} {PREPOSITIONS[self.region]}'
        return f'{text} {self.relation} {self.anchor}' if self.relation else text


@dataclass(frozen=True)
class Phrase:
    """A verified referring expression.

    Attributes:
        text (str): Such as ``'the small red circle left of the square'``.
        segment (int): Position in ``segments_info`` of what it refers to.
        kind (str): One of :data:`KINDS`.
    """

    text: str
    segment: int
    kind: str


def resolve(scene: Scene, expression: Expression) -> int | None:
    """Position in ``scene.objects`` of the one object that an expression fits; None if none, several or in doubt."""
    fitting = _fitting(scene, expression, sure=True)
    return fitting[0] if len(fitting) == 1 and _fitting(scene, expression, sure=False) == fitting else None


def _fitting(scene: Scene, expression: Expression, sure: bool) -> list[int]:
    """Positions of the objects that an expression fits, surely or at least doubtfully."""
    anchor = None
    if expression.anchor is not None:
        anchor = resolve(scene, expression.anchor)
        if anchor is None:
            return []
    found = [
        index
        for index, item in enumerate(scene.objects)
        if expression.shape in (None, item.shape)
        and expression.colour in (None, item.colour)
        and expression.material in (None, item.material)
        and (expression.size is None or has_size(item, expression.size, sure))
        and (expression.region is None or lies_on(scene, item, expression.region, sure))
        and (
            expression.relation is None
            or (index != anchor and relates(item, expression.relation, scene.objects[anchor], sure))
        )
    ]
    if expression.superlative is None:
        return found
    chosen = extremes([scene.objects[index] for index in found], expression.superlative, sure)
    return [index for index in found if any(scene.objects[index] is item for item in chosen)]


def sample_phrase(scene: Scene, kind: str, rng: RandomState, target: int | None = None) -> Phrase | None:
    """A random expression of a kind for an object; None if the scene offered none in a few tries.

    Args:
        scene (Scene): What to talk about.
        kind (str): One of :data:`KINDS`.
        rng (RandomState): Source of randomness.
        target (int, optional): Position in ``scene.objects``; None: any, another one in every try.
    """
    for _ in range(_TRIES):
        index = rng.randint(len(scene.objects)) if target is None else target
        expression, without = _PROPOSALS[kind](scene, index, rng)
        if resolve(scene, expression) != index or (without is not None and resolve(scene, without) is not None):
            continue
        return Phrase(str(expression), len(scene.regions) + index, kind)
    return None


def region_phrases(scene: Scene) -> list[Phrase]:
    """The backgrounds as plain phrases; every scene has at least one."""
    return [Phrase(f'the {name}', index, 'plain') for index, name in enumerate(scene.regions)]


def sample_phrases(scene: Scene, rng: RandomState, count: int) -> list[Phrase]:
    """``count`` or fewer different phrases of random kinds, at least one; one of eight is about a background."""
    phrases: dict[str, Phrase] = {}
    for _ in range(count):
        phrase = None
        if rng.randint(8):
            phrase = sample_phrase(scene, KINDS[rng.randint(len(KINDS))], rng) or sample_phrase(scene, 'attribute', rng)
        phrase = phrase or _choice(rng, region_phrases(scene))
        phrases.setdefault(phrase.text, phrase)
    return list(phrases.values())


def reference_phrases(scene: Scene, rng: RandomState, per_kind: int = 2) -> list[Phrase]:
    """For evaluation: up to ``per_kind`` different phrases of every kind, and the backgrounds."""
    phrases = {
        phrase.text: phrase
        for kind in KINDS
        for phrase in (sample_phrase(scene, kind, rng) for _ in range(per_kind))
        if phrase is not None
    }
    return [*phrases.values(), *region_phrases(scene)]


def sample_reference(
    scene: Scene, target: int, rng: RandomState, without: Sequence[str] = (), kinds: Sequence[str] = KINDS
) -> str | None:
    """A description of an object that does not mention the properties ``without``, as questions about them need."""
    for _ in range(_TRIES):
        expression, _ = _PROPOSALS[kinds[rng.randint(len(kinds))]](scene, target, rng)
        expression = replace(expression, **dict.fromkeys(without))
        if resolve(scene, expression) == target:
            return str(expression)
    return None


Proposal = tuple[Expression, Expression | None]
"""An expression, and what is left of it without the part that its kind is named after."""


def _choice(rng: RandomState, options: Sequence):
    return options[rng.randint(len(options))]


def _plain(scene: Scene, index: int, rng: RandomState) -> Proposal:
    item = scene.objects[index]
    return Expression(shape=item.shape, colour=item.colour if rng.randint(3) else None), None


def _attribute(scene: Scene, index: int, rng: RandomState) -> Proposal:
    """Any of shape, colour, material and size, but neither the shape alone nor just the class name."""
    item = scene.objects[index]
    size = next((word for word in SIZES if has_size(item, word)), None)
    shape, colour, material, size = (
        value if wanted else None
        for value, wanted in zip(
            (item.shape, item.colour, item.material, size), rng.random_sample(4) < (0.75, 0.4, 0.4, 0.5), strict=True
        )
    )
    if material is None and size is None:
        shape, colour = None, item.colour
    return Expression(shape=shape, colour=colour, material=material, size=size), Expression(shape=shape)


def _base(scene: Scene, item: SceneObject, rng: RandomState) -> Expression:
    """A description by colour, shape, both or neither that fits several objects, rarely just "object"."""
    options = [
        option
        for option in (Expression(item.shape, item.colour), Expression(item.shape), Expression(colour=item.colour))
        if len(_fitting(scene, option, sure=True)) > 1
    ]
    return _choice(rng, options) if options and rng.randint(5) else Expression()


def _relation(scene: Scene, index: int, rng: RandomState) -> Proposal:
    """An ambiguous description with the background or a neighbour, the latter by shape, class name or colour."""
    item = scene.objects[index]
    base = _base(scene, item, rng)
    region = region_of(scene, item)
    if len(scene.regions) == 2 and region is not None and not rng.randint(4):
        return replace(base, region=region), base
    if not rng.randint(3):
        base = replace(base, size=next((word for word in SIZES if has_size(item, word)), None))
    other = scene.objects[(index + rng.randint(1, len(scene.objects))) % len(scene.objects)]
    anchor = _choice(
        rng,
        (
            Expression(shape=other.shape),
            Expression(shape=other.shape, colour=other.colour),
            Expression(colour=other.colour),
        ),
    )
    relations = [relation for relation in RELATIONS if relates(item, relation, other)]
    if not relations:
        return Expression(), base
    return replace(base, relation=_choice(rng, relations), anchor=anchor), base


def _superlative(scene: Scene, index: int, rng: RandomState) -> Proposal:
    base = _base(scene, scene.objects[index], rng)
    return replace(base, superlative=_choice(rng, SUPERLATIVES)), base


_PROPOSALS: dict[str, Callable[[Scene, int, RandomState], Proposal]] = {
    'plain': _plain,
    'attribute': _attribute,
    'relation': _relation,
    'superlative': _superlative,
}
