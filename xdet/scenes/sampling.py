"""Invents scenes: a key (numbers) in, a :class:`Scene` out, always the same one."""

from __future__ import annotations

from dataclasses import replace

from numpy.random import RandomState

from xdet.structures import Vocabulary

from .description import COLOURS, MATERIALS, SHAPES, VOCABULARY, Border, Light, Scene, SceneObject
from .render import segment_areas
from .words import SYNONYM_VOCABULARY

_KEYS = dict(train=0, val=1, test=2, train_comp=3, val_comp=4, test_comp=5, test_words=2)
SPLITS = tuple(_KEYS)
"""Splits of the generated world. The split is part of every scene's key, so no scene is in two of them
(but see ``test_words``).

train, val, test: Everything.
train_comp, val_comp: Without the things of :data:`HELD_OUT`, in pictures, class names and texts.
test_comp: At least one of these things in every scene.
test_words: The scenes of ``test``, with synonyms for all class words.
"""

HELD_OUT = ('red ring', 'orange circle', 'yellow square', 'green cross', 'blue triangle', 'purple star', 'white heart')
"""Things that the compositional splits keep from training: every colour and every shape once."""

_SEEN = tuple(
    (name, thing) for name, thing in zip(VOCABULARY.names, VOCABULARY.is_thing, strict=True) if name not in HELD_OUT
)
_SEEN_VOCABULARY = Vocabulary(tuple(name for name, _ in _SEEN), tuple(thing for _, thing in _SEEN))

# What may lie above what; indoor borders are straight, outdoor ones bend. The pairs of one name fill the picture.
_LAYOUTS: tuple[tuple[tuple[str, ...], bool], ...] = (
    (('sky', 'grass'), True),
    (('sky', 'sand'), True),
    (('sky', 'water'), True),
    (('water', 'sand'), True),
    (('water', 'grass'), True),
    (('grass', 'sand'), True),
    (('brick wall', 'wooden floor'), False),
    (('brick wall', 'grass'), False),
    (('brick wall', 'sand'), False),
    (('grass',), True),
    (('sand',), True),
    (('water',), True),
    (('brick wall',), False),
    (('wooden floor',), False),
)
_COUNTS = (2, 3, 3, 4, 4, 5, 5, 6)
_SIZES = (0.24, 0.4)
MAX_ANGLE = 22
"""Greatest rotation of things, in degrees to both sides."""
_CHECK_SIZE = 48
"""Side of the small map on which a placement is judged; one of its pixels is 0.04 % of the picture."""

MIN_VISIBLE = 0.6
"""Least visible share of every object's area."""
MIN_REGION = 0.06
"""Least visible share of the picture for every region."""


def split_vocabulary(split: str) -> Vocabulary:
    """Class names of a split."""
    if split in ('train_comp', 'val_comp'):
        return _SEEN_VOCABULARY
    return SYNONYM_VOCABULARY if split == 'test_words' else VOCABULARY


def sample_scene(split: str, seed: int, index: int) -> Scene:
    """The scene of a split at a position.

    Args:
        split (str): One of :data:`SPLITS`.
        seed (int): Which world, 0 <= seed < 2**32.
        index (int): Position in the split, 0 <= index < 2**32.
    """
    if split not in SPLITS:
        raise ValueError(f'split is {split!r}; accepted are {", ".join(SPLITS)}')
    for name, value in (('seed', seed), ('index', index)):
        if not 0 <= value < 2**32:
            raise ValueError(f'{name} is {value}; accepted are whole numbers from 0 to 2**32 - 1')
    key = (_KEYS[split], int(seed), int(index))
    # RandomState and not default_rng: NumPy guarantees that its streams never change.
    rng = RandomState(key)
    regions, outdoors = _LAYOUTS[rng.randint(len(_LAYOUTS))]
    border = _sample_border(rng, outdoors) if len(regions) == 2 else None
    scene = Scene(key, regions, border, (), _sample_light(rng))
    count = _COUNTS[rng.randint(len(_COUNTS))]
    for _ in range(30 * count):
        if len(scene.objects) == count:
            break
        item = _sample_object(rng)
        if split == 'test_comp' and not scene.objects:
            colour, shape = HELD_OUT[rng.randint(len(HELD_OUT))].split()
            item = replace(item, colour=colour, shape=shape)
        grown = Scene(key, regions, border, (*scene.objects, item), scene.light)
        if not (split in ('train_comp', 'val_comp') and item.name in HELD_OUT) and _is_clear(grown):
            scene = grown
    return scene


def _uniform(rng: RandomState, low: float, high: float, digits: int = 4) -> float:
    """A short number, so that descriptions stay readable."""
    return round(float(rng.uniform(low, high)), digits)


def _sample_border(rng: RandomState, outdoors: bool) -> Border:
    tilt, bend = (0.1, 0.03) if outdoors else (0.0, 0.0)
    return Border(
        height=_uniform(rng, 0.3, 0.62),
        tilt=_uniform(rng, -tilt, tilt),
        bend=_uniform(rng, 0, bend),
        phase=_uniform(rng, 0, 1),
    )


def _sample_light(rng: RandomState) -> Light:
    return Light(
        gain=_uniform(rng, 0.86, 1.06),
        slope=(_uniform(rng, -0.16, 0.16), _uniform(rng, -0.16, 0.16)),
        noise=_uniform(rng, 2, 9, 1),
    )


def _sample_object(rng: RandomState) -> SceneObject:
    size = _uniform(rng, *_SIZES)
    reach = 0.5 - 0.48 * size  # the enclosing circle may touch the picture's border
    return SceneObject(
        shape=SHAPES[rng.randint(len(SHAPES))],
        colour=COLOURS[rng.randint(len(COLOURS))],
        material=MATERIALS[rng.randint(len(MATERIALS))],
        centre=(_uniform(rng, 0.5 - reach, 0.5 + reach), _uniform(rng, 0.5 - reach, 0.5 + reach)),
        size=size,
        angle=_uniform(rng, -MAX_ANGLE, MAX_ANGLE, 1),
    )


def _is_clear(scene: Scene) -> bool:
    """Whether enough is seen of every region and every object, the newest being the last."""
    *others, newest = scene.objects
    for other in others:
        across, down = (a - b for a, b in zip(newest.centre, other.centre, strict=True))
        reach = 0.33 * (newest.size + other.size)
        if across * across + down * down < reach * reach:
            return False
    visible, whole = segment_areas(scene, _CHECK_SIZE)
    count = len(scene.regions)
    return bool(
        (visible[:count] >= MIN_REGION * _CHECK_SIZE**2).all() and (visible[count:] >= MIN_VISIBLE * whole).all()
    )
