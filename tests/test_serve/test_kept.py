"""Kept images: how much, how long, which go first."""

from __future__ import annotations

import numpy as np
import pytest

from xdet.apis import XDecoderInferencer
from xdet.serve.kept import KeptImages, memory_of
from xdet.serve.refusal import Refused


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def images(inferencer: XDecoderInferencer, number: int) -> list:
    pixels = np.random.default_rng(0).integers(0, 256, (number, 32, 48, 3), dtype=np.uint8)
    return [inferencer.set_image(image) for image in pixels]


def test_memory_counts_what_tasks_add(inferencer: XDecoderInferencer) -> None:
    (image,) = images(inferencer, 1)
    features = (*image.features.backbone, image.features.mask_features, *image.features.memory)
    least = image.image.nbytes + image.source.image.nbytes + sum(part.untyped_storage().nbytes() for part in features)
    encoded = memory_of(image)
    assert least <= encoded < 2 * least
    inferencer.predict('caption', image, max_tokens=2)
    assert memory_of(image) > encoded


def test_least_recently_used_makes_room(inferencer: XDecoderInferencer) -> None:
    first, second, third = images(inferencer, 3)
    size = memory_of(first)
    kept = KeptImages(2 * size, 60)
    handles = [kept.add(first)[0], kept.add(second)[0]]
    assert kept.get(handles[0]) is first and kept.bytes == 2 * size
    kept.add(third)
    assert kept.get(handles[0]) is first and kept.dropped == 1 and len(kept) == 2
    with pytest.raises(Refused, match='no image of this handle'):
        kept.get(handles[1])
    with pytest.raises(Refused, match='takes'):
        KeptImages(size - 1, 60).add(first)


def test_growing_makes_room(inferencer: XDecoderInferencer) -> None:
    first, second = images(inferencer, 2)
    kept = KeptImages(2 * memory_of(first), 60)
    kept.add(first)
    handle = kept.add(second)[0]
    inferencer.predict('caption', second, max_tokens=2)
    kept.measure(handle)
    assert len(kept) == 1 and kept.get(handle) is second


def test_time_since_the_last_use(inferencer: XDecoderInferencer) -> None:
    clock = Clock()
    kept = KeptImages(1 << 30, 10, clock)
    handles = [kept.add(image)[0] for image in images(inferencer, 2)]
    clock.now = 8
    kept.get(handles[0])
    clock.now = 12
    kept.expire()
    assert len(kept) == 1 and kept.drop(handles[0]) and not kept.drop(handles[1])
