"""Images and texts to be searched, and an index of them."""

import importlib.util

import cv2
import numpy as np
import pytest

from xdet.apis import ImageIndex

TEXTS = ['a dog on a beach', 'two red circles', 'night', 'a very long description of a street with many cars']
needs_faiss = pytest.mark.skipif(
    importlib.util.find_spec('faiss') is None, reason='faiss is not installed (pip install faiss-cpu)'
)
SQUARE = [
    dict(type='LoadXDetImage'),
    dict(type='mmdet.Resize', scale=(64, 64), keep_ratio=False, backend='pillow', interpolation='bilinear'),
    dict(type='PackXDetInputs', test_mode=True),
]


def picture(seed):
    """Coloured blocks; noise alone looks too much the same."""
    rng = np.random.RandomState(seed)
    blocks = rng.randint(0, 255, (3, 4, 3), np.uint8)
    return cv2.resize(blocks, (50 + 7 * (seed % 3), 40), interpolation=cv2.INTER_NEAREST)


def add(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), picture(sum(name.encode())))


def build(inferencer, photos, **options):
    return ImageIndex.build(inferencer, photos, photos.parent / 'index', show_progress=False, **options)
