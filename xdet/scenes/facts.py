"""What is true of a scene, with a margin: facts that a viewer might doubt are neither stated nor denied.

Every fact of degree (small, left of, on the grass, largest) has two readings. The *sure* one holds only beyond a
margin; the other one holds also where it is doubtful. A text says what surely holds, and a description is unambiguous
only if no other object fulfils it even doubtfully (see ``scene_phrases.py``).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .description import Scene, SceneObject
from .textures import wave

SIZES = ('small', 'large')
"""Words for sizes."""

RELATIONS = {
    'left of': (0, -1),
    'right of': (0, 1),
    'above': (1, -1),
    'below': (1, 1),
}
"""Words for places relative to another object: axis of the centres that are compared, and sign of the difference."""

SUPERLATIVES = ('largest', 'smallest', 'leftmost', 'rightmost', 'highest', 'lowest')
"""Words that single out one of several objects."""

# Fractions of the picture's side: beyond the first number a fact is sure, up to the second it is doubtful.
_RELATION_MARGIN = (0.1, -0.02)
_REGION_MARGIN = (0.05, -0.05)
_SMALL = (0.28, 0.31)
_LARGE = (0.36, 0.33)
_SIZE_GAP, _PLACE_GAP = 0.04, 0.08


def has_size(item: SceneObject, word: str, sure: bool = True) -> bool:
    """Whether an object is small or large; about a third of the objects is neither."""
    if word == 'small':
        return item.size <= _SMALL[not sure]
    return item.size >= _LARGE[not sure]


def relates(item: SceneObject, relation: str, other: SceneObject, sure: bool = True) -> bool:
    """Whether the centre of ``item`` lies left of, right of, above or below the centre of ``other``."""
    axis, sign = RELATIONS[relation]
    return sign * (item.centre[axis] - other.centre[axis]) > _RELATION_MARGIN[not sure]


def size_difference(item: SceneObject, other: SceneObject) -> int:
    """1 if ``item`` is clearly larger than ``other``, -1 if clearly smaller, else 0."""
    difference = item.size - other.size
    return 0 if abs(difference) < _SIZE_GAP else 1 if difference > 0 else -1


def lies_on(scene: Scene, item: SceneObject, region: str, sure: bool = True) -> bool:
    """Whether the centre of ``item`` lies in ``region``."""
    if region not in scene.regions:
        return False
    if scene.border is None:
        return True
    border, (x, y) = scene.border, item.centre
    bend = float(wave(np.asarray(2 * x + border.phase)))
    below = y - (border.height + border.tilt * (x - 0.5) + border.bend * bend)
    return (below if region == scene.regions[1] else -below) > _REGION_MARGIN[not sure]


def region_of(scene: Scene, item: SceneObject) -> str | None:
    """The region in which ``item`` surely lies, if any."""
    return next((region for region in scene.regions if lies_on(scene, item, region)), None)


def extremes(items: list[SceneObject], superlative: str, sure: bool = True) -> list[SceneObject]:
    """Which of ``items`` are the largest, leftmost, ...: surely at most one, doubtfully perhaps several.

    Among fewer than two objects nobody speaks of the largest; then it is none.
    """
    if len(items) < 2:
        return []
    rank, gap = {
        'largest': (lambda item: item.size, _SIZE_GAP),
        'smallest': (lambda item: -item.size, _SIZE_GAP),
        'leftmost': (lambda item: -item.centre[0], _PLACE_GAP),
        'rightmost': (lambda item: item.centre[0], _PLACE_GAP),
        'highest': (lambda item: -item.centre[1], _PLACE_GAP),
        'lowest': (lambda item: item.centre[1], _PLACE_GAP),
    }[superlative]
    ordered = sorted(items, key=rank, reverse=True)
    near = [item for item in ordered if rank(ordered[0]) - rank(item) < gap]
    return near if len(near) == 1 or not sure else []


def mirrored(scene: Scene) -> Scene:
    """The scene as seen after a horizontal flip, for describing it (texture and shadow are not those of a drawing)."""
    objects = tuple(replace(item, centre=(1 - item.centre[0], item.centre[1])) for item in scene.objects)
    border = scene.border
    if border is not None:
        # wave(2 (1 - x) + phase) = -wave(2 x - phase), wave being odd and of period 1.
        border = replace(border, tilt=-border.tilt, bend=-border.bend, phase=-border.phase)
    return replace(scene, objects=objects, border=border)
