"""Regions in the sizes of feature levels."""

import torch

from xdet.models.decoder.regions import visible_pixels


def test_visible_pixels():
    regions = torch.zeros(1, 3, 8, 8, dtype=torch.bool)
    regions[0, 0, :4] = True  # nearest sampling at 2x2 reads rows and columns 0 and 4
    regions[0, 1, 7, 7] = True
    found = visible_pixels(regions, (2, 2))
    assert found[0].tolist() == [[True, True, False, False], [False, False, False, True], [True] * 4]
