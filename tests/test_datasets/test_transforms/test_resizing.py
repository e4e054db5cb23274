"""Sizes and pixels equal those of the libraries that the official pipelines use."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import Resize

from xdet.datasets.transforms import ResizeShortestEdge

SHAPES = np.random.default_rng(0).integers(1, 3000, size=(3000, 2)).tolist()


def size_of(transform: ResizeShortestEdge, shape: tuple[int, int]) -> tuple[int, int]:
    """Height and width after ``transform``, without resizing any pixel."""
    image = np.broadcast_to(np.uint8(0), (*shape, 3))
    return transform._get_output_shape(image, transform.scale)[::-1]


@pytest.mark.parametrize(('scale', 'max_size'), [(800, 1333), (640, 2560), (1024, 2048), (512, 1024)])
def test_sizes_by_the_detectron2_rule(scale: int, max_size: int) -> None:
    transform = ResizeShortestEdge(scale, max_size)
    for height, width in SHAPES:
        # Written out as in the definition, in the order in which rounding happens.
        factor = scale / min(height, width)
        new = (float(scale), factor * width) if height < width else (factor * height, float(scale))
        if max(new) > max_size:
            limit = max_size / max(new)
            new = (new[0] * limit, new[1] * limit)
        assert size_of(transform, (height, width)) == tuple(max(int(side + 0.5), 1) for side in new)


def test_known_sizes() -> None:
    assert size_of(ResizeShortestEdge(800, 1333), (480, 640)) == (800, 1067)
    assert size_of(ResizeShortestEdge(800, 1333), (427, 640)) == (800, 1199)
    assert size_of(ResizeShortestEdge(800, 1333), (300, 20000)) == (20, 1333)
    assert size_of(ResizeShortestEdge(800, 1333), (1, 1)) == (800, 800)
    assert size_of(ResizeShortestEdge(800, 1333), (2, 20000)) == (1, 1333)


def test_bilinear_pixels_are_pillows() -> None:
    image = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    resized = ResizeShortestEdge(64, 80)(dict(img=image))
    expected = Image.fromarray(image).resize((80, 56), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(resized['img'], np.asarray(expected))
    assert resized['img_shape'] == (56, 80) and resized['scale_factor'] == (80 / 53, 56 / 37)


@pytest.mark.parametrize('shape', [(37, 53), (53, 37), (40, 40), (101, 997)])
def test_torchvision_rule_equals_torchvision(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    resized = ResizeShortestEdge(64, max_size=70, rule='torchvision')(dict(img=image))['img']
    expected = Resize(64, interpolation=InterpolationMode.BICUBIC)(Image.fromarray(image))
    np.testing.assert_array_equal(resized, np.asarray(expected))


def test_unknown_rule_is_an_error() -> None:
    with pytest.raises(ValueError, match="'detectron2' and 'torchvision'"):
        ResizeShortestEdge(800, rule='nearest')
    with pytest.raises(ValueError, match='scale is 0'):
        ResizeShortestEdge(0)
