"""Colours of classes: a function of the class name, so one class looks the same in every picture and every run."""

from __future__ import annotations

import colorsys
import zlib
from functools import lru_cache

import numpy as np

_CANDIDATES = 24
_FAR_ENOUGH = 90.0

# Hue (a turn is 1), saturation and value that a word calls for: a red overlay named "sky" would only confuse.
_MEANT = {
    **dict(red=(0.0, 0.85, 0.85), orange=(0.08, 0.9, 0.95), yellow=(0.15, 0.9, 0.95), green=(0.36, 0.8, 0.7)),
    **dict(blue=(0.62, 0.8, 0.85), purple=(0.78, 0.7, 0.75), pink=(0.93, 0.55, 0.95), brown=(0.06, 0.7, 0.55)),
    **dict(white=(0.0, 0.04, 0.95), black=(0.0, 0.0, 0.2), grey=(0.0, 0.0, 0.55), gray=(0.0, 0.0, 0.55)),
    **dict(sky=(0.56, 0.5, 0.95), water=(0.53, 0.75, 0.75), sea=(0.55, 0.8, 0.7), river=(0.54, 0.7, 0.75)),
    **dict(grass=(0.28, 0.75, 0.75), tree=(0.33, 0.75, 0.5), sand=(0.12, 0.4, 0.9), snow=(0.55, 0.08, 0.97)),
    **dict(wooden=(0.08, 0.6, 0.65), brick=(0.03, 0.6, 0.7)),
}


def class_colors(names: tuple[str, ...] | list[str]) -> np.ndarray:
    """RGB colours of class names.

    A colour follows from the name alone unless an earlier name of the same list took one that looks alike; then the
    next candidate of this name is used. The result is a function of the list, whatever the length of it.

    Args:
        names (Sequence[str]): Class names in label order.

    Returns:
        np.ndarray: uint8 ``[K, 3]``.
    """
    return _class_colors(tuple(names)).copy()


@lru_cache(maxsize=64)
def _class_colors(names: tuple[str, ...]) -> np.ndarray:
    chosen = np.zeros((len(names), 3), dtype=np.uint8)
    for index, name in enumerate(names):
        candidates = _candidates(name)
        nearest = _distances(candidates, chosen[:index])
        good = np.flatnonzero(nearest >= _FAR_ENOUGH)
        chosen[index] = candidates[good[0] if len(good) else nearest.argmax()]
    return chosen


def shade(color: np.ndarray, index: int) -> np.ndarray:
    """Variation of a class colour that tells the ``index``-th instance of this class from its siblings.

    Args:
        color (np.ndarray): uint8 ``[3]`` RGB.
        index (int): 0 keeps the colour.

    Returns:
        np.ndarray: uint8 ``[3]`` RGB of about the same hue.
    """
    if index == 0:
        return np.asarray(color, dtype=np.uint8)
    hue, saturation, value = colorsys.rgb_to_hsv(*(float(channel) / 255 for channel in color))
    golden = index * 0.618034 % 1.0  # spreads any number of values over [0, 1)
    hue = (hue + 0.09 * (golden - 0.5)) % 1.0
    value = 0.55 + 0.45 * ((value + golden) % 1.0)
    saturation = min(1.0, max(0.45, saturation + 0.4 * ((index * 0.381966) % 1.0 - 0.5)))
    return _to_uint8(colorsys.hsv_to_rgb(hue, saturation, value))


def readable_on(color: np.ndarray) -> tuple[int, int, int]:
    """Black or white, whichever stands out from a background of this RGB colour."""
    red, green, blue = (float(channel) for channel in color)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue  # ITU-R BT.601
    return (0, 0, 0) if luma > 140 else (255, 255, 255)


@lru_cache(maxsize=4096)
def _candidates(name: str) -> np.ndarray:
    """``[_CANDIDATES, 3]`` colours that belong to a name: those it speaks of, else vivid ones."""
    seed = zlib.crc32(name.encode('utf-8', errors='replace'))  # unlike hash(), equal in every process
    draws = np.random.RandomState(seed).rand(_CANDIDATES, 3)
    meant = next((_MEANT[word] for word in name.lower().split() if word in _MEANT), None)
    if meant is not None:
        hues = (meant[0] + 0.04 * (draws[:, 0] - 0.5)) % 1.0
        saturations, values = (np.array(meant[1:]) + 0.3 * (draws[:, 1:] - 0.5)).clip(0, 1).T
    else:
        hues, saturations, values = draws[:, 0], 0.5 + 0.5 * draws[:, 1], 0.55 + 0.45 * draws[:, 2]
    colors = [colorsys.hsv_to_rgb(*color) for color in zip(hues, saturations, values, strict=True)]
    return np.stack([_to_uint8(color) for color in colors])


def _distances(candidates: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Perceived distance ``[n]`` of each candidate to the nearest taken colour ("redmean" weighting of RGB)."""
    if not len(taken):
        return np.full(len(candidates), np.inf)
    left, right = candidates[:, None].astype(np.float32), taken[None].astype(np.float32)
    red = (left[..., 0] + right[..., 0]) / 2 / 256
    square = (left - right) ** 2
    return np.sqrt((2 + red) * square[..., 0] + 4 * square[..., 1] + (3 - red) * square[..., 2]).min(axis=1)


def _to_uint8(color: tuple[float, float, float]) -> np.ndarray:
    return np.round(np.asarray(color) * 255).astype(np.uint8)


_HEAT = np.array([[18, 24, 70], [96, 30, 128], [190, 55, 92], [246, 130, 48], [252, 230, 120]], np.float32)


def heat_colors(values: np.ndarray) -> np.ndarray:
    """Colours uint8 ``[..., 3]`` of numbers from 0 (dark) to 1 (bright), also apart for colour-blind people."""
    places = np.linspace(0, 1, len(_HEAT))
    channels = [np.interp(values, places, _HEAT[:, channel]) for channel in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
