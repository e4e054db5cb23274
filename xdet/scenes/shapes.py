"""Signed distance to the outline of every shape, in the shape's own coordinates.

A shape lives in the unit circle: ``u`` points right, ``v`` down, both are +-1 on the circle that encloses it. Distances
are negative inside. They give the mask, smooth edges and rims at any resolution from a few array operations. Only
``+ - * /``, ``sqrt`` and comparisons are used, which IEEE 754 rounds identically everywhere.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def circle(u: Array, v: Array) -> Array:
    """A disc."""
    return np.sqrt(u * u + v * v) - 0.92


def ring(u: Array, v: Array) -> Array:
    """A disc with a hole of about half its diameter."""
    return np.abs(np.sqrt(u * u + v * v) - 0.72) - 0.24


def box(u: Array, v: Array, half_width: float, half_height: float) -> Array:
    """An upright rectangle around the origin; the distance is exact inside and a lower bound beyond the corners."""
    return np.maximum(np.abs(u) - half_width, np.abs(v) - half_height)


def square(u: Array, v: Array) -> Array:
    """A square."""
    return box(u, v, 0.69, 0.69)


def cross(u: Array, v: Array) -> Array:
    """A plus sign with arms of equal length."""
    return np.minimum(box(u, v, 0.29, 0.94), box(u, v, 0.94, 0.29))


def heart(u: Array, v: Array) -> Array:
    """A square on its tip with a half disc on each of the two upper sides."""
    side, root = 0.53, 0.70710678
    tip = v - 0.12
    body = box((u + tip) * root, (u - tip) * root, side, side)
    across = np.abs(u) - side * root
    along = tip + side * root
    lobes = np.sqrt(across * across + along * along) - side
    return np.minimum(body, lobes)


def polygon(u: Array, v: Array, corners: list[tuple[float, float]]) -> Array:
    """Any simple polygon: distance to the nearest edge, sign by the even-odd rule."""
    nearest = np.full_like(u, np.inf)
    inside = np.zeros(u.shape, dtype=bool)
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
        ex, ey = bx - ax, by - ay
        du, dv = u - ax, v - ay
        along = np.clip((du * ex + dv * ey) * (1 / (ex * ex + ey * ey)), 0, 1)
        across_u, across_v = du - ex * along, dv - ey * along
        nearest = np.minimum(nearest, across_u * across_u + across_v * across_v)
        if ey:
            inside ^= ((v < ay) != (v < by)) & (du < dv * (ex / ey))
    return np.where(inside, -np.sqrt(nearest), np.sqrt(nearest))


TRIANGLE = [(0.0, -0.98), (0.849, 0.49), (-0.849, 0.49)]
# Five tips on the unit circle and five notches at 0.46 of it, from the top clockwise.
STAR = [
    (0.0, -1.0),
    (0.2704, -0.3722),
    (0.9511, -0.3090),
    (0.4375, 0.1421),
    (0.5878, 0.8090),
    (0.0, 0.46),
    (-0.5878, 0.8090),
    (-0.4375, 0.1421),
    (-0.9511, -0.3090),
    (-0.2704, -0.3722),
]


def triangle(u: Array, v: Array) -> Array:
    """An equilateral triangle with its tip up."""
    return polygon(u, v, TRIANGLE)


def star(u: Array, v: Array) -> Array:
    """A five-pointed star with a tip up."""
    return polygon(u, v, STAR)


DISTANCES: dict[str, Callable[[Array, Array], Array]] = {
    'circle': circle,
    'square': square,
    'triangle': triangle,
    'star': star,
    'heart': heart,
    'ring': ring,
    'cross': cross,
}
"""Signed distance function of every shape."""
