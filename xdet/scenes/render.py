"""Draws a :class:`Scene` and its segment map at any size.

Speed matters (training renders its pictures on the fly): textures are drawn only where their region lies and objects
only in their bounding boxes. See ``scene_textures.py`` for why the bytes are the same on every machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from .description import VOCABULARY, Border, Light, Scene, SceneObject
from .shapes import DISTANCES, Array
from .textures import TEXTURES, wave

PALETTE: dict[str, tuple[float, float, float]] = {
    'red': (218, 36, 40),
    'orange': (250, 132, 24),
    'yellow': (250, 216, 40),
    'green': (22, 150, 66),
    'blue': (38, 74, 214),
    'purple': (134, 52, 176),
    'white': (244, 244, 240),
}
"""RGB of every colour word."""

# Second colour of stripes and dots: the first one mixed with white, or with black where white would not show.
_ACCENTS = {colour: (0, 0.42) if colour in ('yellow', 'white') else (255, 0.58) for colour in PALETTE}

_DRAWING = 1
"""Appended to a scene's key, this seeds the random numbers of drawing it (in the order textures, tints, noise)."""


@dataclass(frozen=True)
class RenderedScene:
    """A picture with its ground truth.

    Attributes:
        image (NDArray[uint8]): ``[H, W, 3]``, BGR.
        segment_map (NDArray[uint8]): ``[H, W]``; value i + 1 is ``segments_info[i]``, 0 (void) does not occur.
        segments_info (list[dict]): ``id`` (= i + 1), ``label``, ``is_thing``, ``iscrowd``; the regions first, then the
            objects in drawing order.
    """

    image: NDArray[np.uint8]
    segment_map: NDArray[np.uint8]
    segments_info: list[dict]


def render_scene(scene: Scene, size: int) -> RenderedScene:
    """Draw a scene.

    Args:
        scene (Scene): What to draw.
        size (int): Side of the square picture in pixels.
    """
    if size < 16:
        raise ValueError(f'size is {size}; scenes are drawn at 16 pixels a side or more')
    rng = RandomState((*scene.key, _DRAWING))
    image, segment_map = _draw_regions(scene, size, rng)
    for index, item in enumerate(scene.objects, start=len(scene.regions) + 1):
        _draw_object(image, segment_map, item, index, rng)
    _apply_light(image, scene.light, rng)
    segments = [_segment(name) for name in scene.regions] + [_segment(item.name) for item in scene.objects]
    infos = [dict(id=index + 1, **segment) for index, segment in enumerate(segments)]
    pixels = np.clip(image + 0.5, 0, 255).astype(np.uint8)
    return RenderedScene(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), segment_map, infos)


def segment_areas(scene: Scene, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pixels of every segment at ``size``, without drawing the picture.

    Returns:
        tuple: Visible areas of regions and objects in the order of ``segments_info``, and whole areas of the objects
        as far as they lie within the picture.
    """
    segment_map = _region_map(scene, size)
    whole = []
    for order, item in enumerate(scene.objects):
        window, distance = outline_distance(item, size)
        inside = distance < 0
        segment_map[window][inside] = len(scene.regions) + order + 1
        whole.append(int(inside.sum()))
    count = len(scene.regions) + len(scene.objects)
    visible = np.bincount(segment_map.ravel(), minlength=count + 1)[1:]
    return visible, np.asarray(whole, dtype=np.int64)


def _segment(name: str) -> dict:
    label = VOCABULARY.names.index(name)
    return dict(label=label, is_thing=VOCABULARY.is_thing[label], iscrowd=False)


def pixel_centres(size: int) -> Array:
    """Coordinates of pixel centres as fractions of the side: ``[size]``."""
    return (np.arange(size, dtype=np.float32) + 0.5) / size


def _region_map(scene: Scene, size: int) -> NDArray[np.uint8]:
    """Segment map ``[size, size]`` of the regions alone."""
    if scene.border is None:
        return np.ones((size, size), np.uint8)
    line = border_line(scene.border, size)
    return 1 + (pixel_centres(size)[:, None] >= line[None]).astype(np.uint8)


def border_line(border: Border, size: int) -> Array:
    """Height of the line between two regions at every column: ``[size]``, in fractions of the side."""
    x = pixel_centres(size)
    return border.height + border.tilt * (x - 0.5) + border.bend * wave(2 * x + border.phase)


def _draw_regions(scene: Scene, size: int, rng: RandomState) -> tuple[Array, NDArray[np.uint8]]:
    """Textures of the regions, RGB float32 ``[size, size, 3]``, and their segment map."""
    segment_map = _region_map(scene, size)
    image = np.empty((size, size, 3), np.float32)
    coordinates = pixel_centres(size)
    for index, name in enumerate(scene.regions):
        mask = segment_map == index + 1
        rows = np.flatnonzero(mask.any(axis=1))
        window = slice(rows[0], rows[-1] + 1) if rows.size else slice(0)
        texture = TEXTURES[name](rng, coordinates, coordinates[window])
        if len(scene.regions) == 1:
            image[window] = texture
        else:
            np.copyto(image[window], texture, where=mask[window][..., None])
    return image, segment_map


def _local_coordinates(item: SceneObject, size: int, margin: float) -> tuple[tuple[slice, slice], Array, Array]:
    """Window of the picture around an object and its own coordinates there (see ``scene_shapes.py``)."""
    radius = item.size / 2
    x, y = item.centre
    low = [max(math.floor((c - radius - margin) * size), 0) for c in (x, y)]
    # An object of a film may be wholly outside; its window is empty then.
    high = [max(min(math.ceil((c + radius + margin) * size), size), 0) for c in (x, y)]
    across = ((pixel_centres(size)[low[0] : high[0]] - x) / radius)[None]
    down = ((pixel_centres(size)[low[1] : high[1]] - y) / radius)[:, None]
    cosine, sine = (round(f(math.radians(item.angle)), 6) for f in (math.cos, math.sin))
    return (
        (slice(low[1], high[1]), slice(low[0], high[0])),
        across * cosine + down * sine,
        down * cosine - across * sine,
    )


def outline_distance(item: SceneObject, size: int) -> tuple[tuple[slice, slice], Array]:
    """Window of the picture around an object and the signed distance to its outline there."""
    window, u, v = _local_coordinates(item, size, 0)
    return window, DISTANCES[item.shape](u, v)


def _draw_object(image: Array, segment_map: NDArray[np.uint8], item: SceneObject, index: int, rng: RandomState) -> None:
    """Draw shadow, surface and rim of one object into ``image`` and its segment ``index`` into ``segment_map``."""
    size = len(image)
    window, u, v = _local_coordinates(item, size, 0.02)
    pixels = item.size / 2 * size
    distance = DISTANCES[item.shape](u, v) * pixels  # in pixels
    _draw_shadow(image, window, distance)
    surface = _surface(item, u, v, pixels, tint=rng.randint(-9, 10, 3).astype(np.float32))
    rim = max(0.011 * size, 1.0)
    surface *= (1 - 0.45 * np.clip(distance + rim + 0.5, 0, 1))[..., None]
    view = image[window]
    view += np.clip(0.5 - distance, 0, 1)[..., None] * (surface - view)
    segment_map[window][distance < 0] = index


def _draw_shadow(image: Array, window: tuple[slice, slice], distance: Array) -> None:
    """Darken what lies below and to the right of an object by a soft copy of its shape."""
    size = len(image)
    offset, softness = round(0.016 * size), max(0.02 * size, 1.0)
    rows, columns = (slice(part.start + offset, min(part.stop + offset, size)) for part in window)
    height, width = max(rows.stop - rows.start, 0), max(columns.stop - columns.start, 0)
    shade = 0.34 * np.clip(0.5 - distance[:height, :width] / softness, 0, 1)
    image[rows, columns] *= (1 - shade)[..., None]


def _surface(item: SceneObject, u: Array, v: Array, pixels: float, tint: Array) -> Array:
    """Colour of an object's surface, RGB float32 ``[h, w, 3]``; ``pixels`` are the pixels of one unit of u."""
    base = np.asarray(PALETTE[item.colour], np.float32) + tint
    target, share = _ACCENTS[item.colour]
    accent = base + np.float32(share) * (np.float32(target) - base)
    if item.material == 'striped':
        # 0.75 turns a distance in periods of the wave into pixels near its zero crossing (slope 8 per period).
        weight = np.clip(0.5 + wave(1.55 * (u + v)) * (pixels / (8 * 1.55 * 1.4142)), 0, 1)
    elif item.material == 'dotted':
        across, down = (t * 2.3 - np.floor(t * 2.3) - 0.5 for t in (u, v))
        weight = np.clip(0.5 + (0.27 - np.sqrt(across * across + down * down)) * (pixels / 2.3), 0, 1)
    elif item.material == 'shaded':
        across, down = u + 0.35, v + 0.4
        away = np.sqrt(across * across + down * down)
        glow = np.clip(0.8 - 1.3 * away, 0, 1)[..., None]
        shaded = base * np.clip(1.12 - 0.4 * away, 0.45, 1.1)[..., None]
        return shaded + glow * (255 - shaded)
    else:
        return np.broadcast_to(base, (*u.shape, 3)).copy()
    return base + weight[..., None] * (accent - base)


def _apply_light(image: Array, light: Light, rng: RandomState) -> None:
    """Brightness, its slope over the picture, and pixel noise, in place."""
    size = len(image)
    offset = pixel_centres(size) - 0.5
    gain = light.gain + light.slope[0] * offset[None] + light.slope[1] * offset[:, None]
    image *= gain[..., None]
    first, second = np.frombuffer(rng.bytes(2 * size * size), np.uint8).astype(np.float32).reshape(2, size, size)
    image += ((first - second) * (light.noise / 255))[..., None]
