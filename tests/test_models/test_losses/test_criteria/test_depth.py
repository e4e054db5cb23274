"""The scale-invariant loss of depth maps."""

from __future__ import annotations

import pytest
import torch

from xdet.models.losses import SILogLoss


def loss(found: list[torch.Tensor], true: list[torch.Tensor], **options: float) -> torch.Tensor:
    return SILogLoss(**options)(found, true)['loss_depth']


def test_equal_to_all_pairs_of_pixels() -> None:
    """Equation 3 of arXiv 1406.2283: half the mean over pairs of pixels of squared differences of differences."""
    generator = torch.Generator().manual_seed(0)
    found = torch.randn(4, 5, generator=generator)
    true = torch.rand(4, 5, generator=generator) + 0.5
    difference = (found - true.log()).flatten()
    pairs = (difference[:, None] - difference[None]) ** 2
    torch.testing.assert_close(loss([found], [true], invariance=1.0), pairs.mean() / 2)
    plain = (difference**2).mean()
    torch.testing.assert_close(loss([found], [true], invariance=0.0), plain)
    torch.testing.assert_close(loss([found], [true]), (plain + pairs.mean() / 2) / 2)


def test_unknown_pixels_teach_nothing() -> None:
    found = torch.zeros(2, 2, requires_grad=True)
    unknown = [0.0, -3.0, float('nan')]
    value = loss([found], [torch.tensor([[2.0, unknown[0]], unknown[1:]])], loss_weight=2.0)
    value.backward()
    assert value.item() == pytest.approx(torch.tensor(2.0).log().item() ** 2)
    assert found.grad is not None and (found.grad != 0).tolist() == [[True, False], [False, False]]


def test_images_of_holes_do_not_count_and_keep_the_graph() -> None:
    found = torch.ones(2, 2, requires_grad=True)
    true = torch.full((2, 2), 2.0)
    holes = torch.zeros(2, 2)
    torch.testing.assert_close(loss([found, found], [true, holes]), loss([found], [true]))
    value = loss([found], [torch.full((2, 2), float('inf'))])
    value.backward()
    assert float(value) == 0 and found.grad is not None and not found.grad.any()


def test_invariance_is_checked() -> None:
    with pytest.raises(ValueError, match='invariance is 2'):
        SILogLoss(invariance=2)
