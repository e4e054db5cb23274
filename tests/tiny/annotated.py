"""Annotated images with everything that formats may stumble over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xdet.datasets.exchange import AnnotatedImage, AnnotatedSet, Segment
from xdet.structures import encode_mask

NAMES = ('ring é', 'unused', 'tiny thing', 'pixel & co')


def masks(height: int, width: int) -> list[np.ndarray]:
    """A ring with a second part, two pixels at the border, and one pixel; none overlaps another."""
    y, x = np.mgrid[:height, :width]
    distance = (y - 25) ** 2 + (x - 20) ** 2
    ring = (distance < 15**2) & (distance > 6**2)
    ring[2:6, 50:60] = True
    tiny, pixel = np.zeros((2, height, width), bool)
    tiny[-3:-1, -2:] = True
    pixel[50, 10] = True
    return [ring, tiny, pixel]


def make_set(folder: Path, splits: tuple[str, ...] = ('train', 'train', 'val')) -> AnnotatedSet:
    """Images of two sizes, written to ``folder``, with a mask of each kind; the last one has no segments."""
    images = []
    generator = np.random.default_rng(0)
    for number, split in enumerate((*splits, splits[-1])):
        height, width = (60, 81) if number else (97, 64)
        path = folder / f'clip{number // 2}_{number}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)
        names = ('ring é', 'tiny thing', 'pixel & co') if number < len(splits) else ()
        segments = tuple(
            Segment(name, (height, width), mask=encode_mask(mask))
            for name, mask in zip(names, masks(height, width), strict=False)
        )
        images.append(AnnotatedImage(path.name, (height, width), segments, split, str(path)))
    return AnnotatedSet(NAMES, tuple(images))


@pytest.fixture
def annotated(tmp_path: Path) -> AnnotatedSet:
    """:func:`make_set` in a folder of its own."""
    return make_set(tmp_path / 'pictures')
