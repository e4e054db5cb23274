"""Positions equal those of mmdet, bit for bit."""

import pytest
import torch
from mmdet.models.layers import SinePositionalEncoding

from xdet.models.decoder.positions import sine_positions


@pytest.mark.parametrize(('channels', 'height', 'width'), [(8, 1, 1), (32, 5, 3), (512, 25, 34), (96, 7, 128)])
def test_equal_to_mmdet(channels: int, height: int, width: int) -> None:
    expected = SinePositionalEncoding(channels // 2, normalize=True)(torch.zeros(1, height, width, dtype=torch.bool))
    assert sine_positions(channels, height, width).equal(expected.flatten(2).transpose(1, 2))
