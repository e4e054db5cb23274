"""Pictures for ``tiny_run.py``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ('sky', 'grass', 'ball')


def write_pictures(root: Path, number: int = 6, size: tuple[int, int] = (48, 64)) -> Path:
    """Write ``images/``, ``labels/`` and ``classes.txt``: sky above grass with a ball at a place of its own."""
    generator = np.random.default_rng(0)
    height, width = size
    colours = np.array([[90, 150, 240], [40, 160, 50], [220, 30, 30]])
    rows, columns = np.mgrid[:height, :width]
    for folder in ('images', 'labels'):
        (root / folder).mkdir(parents=True)
    for index in range(number):
        labels = (rows > height // 2).astype(np.uint8)
        top, left = generator.integers(8, height - 8), generator.integers(8, width - 8)
        labels[(rows - top) ** 2 + (columns - left) ** 2 < 40] = 2
        picture = colours[labels] + generator.integers(-12, 13, (*size, 3))
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(root / 'images' / f'{index}.png')
        Image.fromarray(labels).save(root / 'labels' / f'{index}.png')
    (root / 'classes.txt').write_text('\n'.join(CLASSES) + '\n')
    return root
