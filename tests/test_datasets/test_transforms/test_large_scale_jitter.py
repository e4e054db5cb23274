"""Large-scale jitter, step by step as the official recipe states it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from xdet.datasets.transforms import LargeScaleJitter

GENERATOR = np.random.default_rng(0)
IMAGE = GENERATOR.integers(0, 256, (60, 90, 3), dtype=np.uint8)
INDICES = np.kron(GENERATOR.integers(0, 5, (6, 9)), np.ones((10, 10))).astype(np.uint8)


def expected(pixels: np.ndarray, size: int, scale: float, offsets: tuple, resample, pad: int) -> np.ndarray:
    factor = min(scale * size / pixels.shape[0], scale * size / pixels.shape[1])
    height, width = (int(np.round(side * factor)) for side in pixels.shape[:2])
    resized = np.asarray(Image.fromarray(pixels).resize((width, height), resample))
    top = int(np.round(max(height - size, 0) * offsets[0]))
    left = int(np.round(max(width - size, 0) * offsets[1]))
    crop = resized[top : top + size, left : left + size]
    widths = [(0, size - crop.shape[0]), (0, size - crop.shape[1])] + [(0, 0)] * (pixels.ndim - 2)
    return np.pad(crop, widths, constant_values=pad)


@pytest.mark.parametrize('seed', range(12))
def test_pixels_follow_the_recipe(seed: int) -> None:
    np.random.seed(seed)
    scale, offset = np.random.uniform(0.1, 2.0), np.random.uniform()
    np.random.seed(seed)
    results = LargeScaleJitter(size=(64, 64))(dict(img=IMAGE, gt_seg_map=INDICES))
    offsets = (offset, offset)
    np.testing.assert_array_equal(results['img'], expected(IMAGE, 64, scale, offsets, Image.Resampling.BILINEAR, 128))
    np.testing.assert_array_equal(
        results['gt_seg_map'], expected(INDICES, 64, scale, offsets, Image.Resampling.NEAREST, 0)
    )
    assert results['img_shape'] == (64, 64) and results['gt_seg_map'].dtype == np.uint8


def test_separate_offsets_leave_the_diagonal() -> None:
    image = np.zeros((200, 200, 3), dtype=np.uint8)
    image[..., 0], image[..., 1] = np.arange(200)[:, None], np.arange(200)

    def corners(shared_offset: bool) -> list[bool]:
        jitter = LargeScaleJitter(size=(100, 100), scale_range=(2.0, 2.0), shared_offset=shared_offset)
        np.random.seed(0)
        crops = [jitter(dict(img=image))['img'][0, 0] for _ in range(20)]
        return [crop[0] == crop[1] for crop in crops]

    assert all(corners(shared_offset=True))
    assert sum(corners(shared_offset=False)) < 5


def test_scales_cover_the_range() -> None:
    np.random.seed(0)
    jitter = LargeScaleJitter(size=(64, 64))
    factors = [jitter(dict(img=IMAGE))['scale_factor'][0] * 90 / 64 for _ in range(300)]
    assert 0.1 <= min(factors) < 0.15 and 1.95 < max(factors) <= 2.0
    assert abs(np.mean(factors) - 1.05) < 0.1


def test_16_bit_maps_and_tiny_images() -> None:
    results = LargeScaleJitter(size=(64, 64))(dict(img=IMAGE, gt_seg_map=INDICES.astype(np.uint16) + 1000))
    assert set(np.unique(results['gt_seg_map'])) <= {0, *range(1000, 1005)}
    thin = LargeScaleJitter(size=(64, 64), scale_range=(0.1, 0.1))(dict(img=np.zeros((1, 900, 3), np.uint8)))
    assert thin['img'].shape == (64, 64, 3)


def test_sizes_and_scales_must_be_positive() -> None:
    with pytest.raises(ValueError, match='must be positive'):
        LargeScaleJitter(size=(0, 64))
    with pytest.raises(ValueError, match='must be positive'):
        LargeScaleJitter(scale_range=(0.0, 2.0))
