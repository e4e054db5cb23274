"""Procedural backgrounds: functions of coordinates and a random state, independent of resolution.

Coordinates are fractions of the picture's side: ``x`` float32 ``[W]`` and ``y`` float32 ``[H]``. A texture is float32
``[H, W, 3]``, RGB in grey values of about 0..255 (not clipped). Only arithmetic that IEEE 754 rounds identically on
every machine is used (no ``sin``, ``exp``, ``pow``), so equal seeds give equal bytes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

Array = NDArray[np.float32]
Colour = tuple[float, float, float]


def wave(t: Array) -> Array:
    """A sine look-alike made of parabolas: period 1, amplitude 1, smooth."""
    v = 2 * (t - np.floor(t)) - 1
    return 4 * v * (1 - np.abs(v))


def value_noise(rng: RandomState, x: Array, y: Array, columns: int, rows: int) -> Array:
    """Smooth random field in -1..1 with ``columns`` x ``rows`` independent values over the picture.

    Returns:
        Array: ``[H, W]``.
    """
    lattice = (rng.random_sample((rows + 2, columns + 2)) * 2 - 1).astype(np.float32)
    i, p = _cells(x, columns)
    j, q = _cells(y, rows)
    across = lattice[:, i] * (1 - p) + lattice[:, i + 1] * p
    return across[j] * (1 - q)[:, None] + across[j + 1] * q[:, None]


def _cells(t: Array, cells: int) -> tuple[NDArray[np.int64], Array]:
    """Cell index of every coordinate and the smoothed position within the cell."""
    scaled = t * cells
    index = np.floor(scaled).astype(np.int64)
    part = scaled - index.astype(np.float32)
    return index, part * part * (3 - 2 * part)


def _tint(base: Colour, tone: Array, gains: Colour = (1.0, 1.0, 1.0)) -> Array:
    """A base colour brightened or darkened by ``tone`` ``[H, W]``, in different strength per channel."""
    return tone[..., None] * np.asarray(gains, np.float32) + np.asarray(base, np.float32)


def _mix(first: Array, second: Colour, weight: Array) -> Array:
    """Linear mix of a picture with one colour, ``weight`` ``[H, W]`` in 0..1 being the colour's share."""
    weight = weight[..., None]
    return first + weight * (np.asarray(second, np.float32) - first)


def _step(value: Array, edge: float, width: float) -> Array:
    """0 below ``edge - width / 2``, 1 above ``edge + width / 2``, linear between."""
    return np.clip((value - edge) * (1 / width) + 0.5, 0, 1)


def sky(rng: RandomState, x: Array, y: Array) -> Array:
    """Blue, lighter towards the ground, with clouds."""
    fade = np.broadcast_to(y[:, None], (len(y), len(x)))
    clouds = 0.65 * value_noise(rng, x, y, 4, 7) + 0.35 * value_noise(rng, x, y, 9, 16)
    return _mix(_tint((112, 172, 232), fade, (85, 55, 18)), (246, 248, 252), 0.85 * _step(clouds, 0.32, 0.5))


def grass(rng: RandomState, x: Array, y: Array) -> Array:
    """Yellowish green with blades."""
    patches = value_noise(rng, x, y, 5, 5)
    blades = value_noise(rng, x, y, 72, 20)
    return _tint((118, 156, 72), 14 * patches + 26 * blades, (0.9, 1.0, 0.6))


def sand(rng: RandomState, x: Array, y: Array) -> Array:
    """Light tan with ripples and grains."""
    bend = value_noise(rng, x, y, 3, 4)
    grains = value_noise(rng, x, y, 64, 64)
    ripples = wave(y[:, None] * 13 + x[None] * 2 + 0.9 * bend)
    return _tint((221, 196, 148), 7 * ripples + 10 * grains, (1.0, 0.95, 0.8))


def water(rng: RandomState, x: Array, y: Array) -> Array:
    """Blue green with small waves and glints."""
    bend = value_noise(rng, x, y, 5, 9)
    crests = wave(y[:, None] * 15 + x[None] + 1.1 * bend)
    ripples = value_noise(rng, x, y, 14, 48)
    base = _tint((58, 132, 150), 13 * crests + 9 * ripples, (0.9, 1.0, 1.0))
    return _mix(base, (188, 226, 228), 0.6 * _step(crests + 0.7 * ripples, 1.25, 0.5))


def brick_wall(rng: RandomState, x: Array, y: Array) -> Array:
    """Reddish brown bricks in rows that are half a brick apart, with light mortar."""
    courses, bricks = 10, 5
    row = y * courses
    j = np.floor(row).astype(np.int64)
    column = (x * bricks)[None] + 0.5 * (j % 2).astype(np.float32)[:, None]
    i = np.floor(column).astype(np.int64)
    tones = (rng.random_sample((courses + 1, bricks + 2)) * 2 - 1).astype(np.float32)
    surface = _tint((164, 98, 78), 20 * tones[j[:, None], i] + 8 * value_noise(rng, x, y, 50, 50), (1.0, 0.8, 0.7))
    # Distance to the next joint, in units of a course's height (a brick is twice as long as high).
    across = np.abs(column - i.astype(np.float32) - 0.5) * 2
    along = np.abs(row - j.astype(np.float32) - 0.5)[:, None]
    joint = np.maximum(_step(across, 0.92, 0.08), _step(along, 0.42, 0.08))
    return _mix(surface, (202, 192, 178), joint)


def wooden_floor(rng: RandomState, x: Array, y: Array) -> Array:
    """Horizontal brown planks with grain and dark gaps."""
    planks = 7
    row = y * planks
    j = np.floor(row).astype(np.int64)
    shifts = rng.random_sample(planks + 1).astype(np.float32)
    column = (x * 1.6)[None] + shifts[j][:, None]
    i = np.floor(column).astype(np.int64)
    tones = (rng.random_sample((planks + 1, 4)) * 2 - 1).astype(np.float32)
    grain = value_noise(rng, x, y, 6, 90)
    surface = _tint((178, 132, 86), 13 * tones[j[:, None], i] + 15 * grain, (1.0, 0.9, 0.75))
    ends = np.abs(column - i.astype(np.float32) - 0.5)
    sides = np.abs(row - j.astype(np.float32) - 0.5)[:, None]
    gap = np.maximum(_step(ends, 0.493, 0.01), _step(sides, 0.465, 0.05))
    return _mix(surface, (88, 58, 36), 0.8 * gap)


TEXTURES: dict[str, Callable[[RandomState, Array, Array], Array]] = {
    'sky': sky,
    'grass': grass,
    'sand': sand,
    'water': water,
    'brick wall': brick_wall,
    'wooden floor': wooden_floor,
}
"""Texture of every stuff class."""
