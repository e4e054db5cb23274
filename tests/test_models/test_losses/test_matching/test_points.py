import pytest
import torch

from xdet.models.losses import sample_points, uncertain_points, uniform_points
from xdet.models.losses.matching import points as point_sampling


def bilinear(grid, x, y):
    """Value at (x, y) in [0, 1] by the definition: pixel centres at (i + 0.5) / size, zero outside."""
    height, width = grid.shape
    column, row = x * width - 0.5, y * height - 0.5
    left, top = int(column // 1), int(row // 1)
    value = 0.0
    for i in (top, top + 1):
        for j in (left, left + 1):
            if 0 <= i < height and 0 <= j < width:
                value += float(grid[i, j]) * (1 - abs(row - i)) * (1 - abs(column - j))
    return value


def test_sample_points_is_bilinear_with_zeros_outside():
    maps = torch.randn(2, 3, 5, 7)
    points = torch.cat([torch.rand(2, 20, 2), torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0]]).expand(2, 3, 2)], 1)
    sampled = sample_points(maps, points)
    assert sampled.shape == (2, 3, 23)
    for n in range(2):
        for c in range(3):
            expected = [bilinear(maps[n, c], *point.tolist()) for point in points[n]]
            torch.testing.assert_close(sampled[n, c], torch.tensor(expected), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('num_points', [5, 50])
def test_mask_logits_are_the_same_in_either_order(num_points):
    embed, features, points = torch.randn(6, 8), torch.randn(8, 4, 5), torch.rand(num_points, 2)
    masks = torch.einsum('qc,chw->qhw', embed, features)
    expected = sample_points(masks[None], points[None])[0]
    sampled = point_sampling.sample_mask_logits(embed, features, points)
    torch.testing.assert_close(sampled, expected, rtol=1e-5, atol=1e-5)


def test_uniform_points_follow_the_global_generator():
    torch.manual_seed(7)
    first = uniform_points(2, 100, torch.device('cpu'))
    torch.manual_seed(7)
    second = uniform_points(2, 100, torch.device('cpu'))
    assert torch.equal(first, second)
    assert first.min() >= 0 and first.max() < 1 and not torch.equal(first[0], first[1])


def test_most_points_lie_where_the_logit_is_near_zero():
    column = torch.linspace(-4, 4, 64)
    logits = column.expand(2, 64, 64)
    torch.manual_seed(0)
    points = uncertain_points(logits, num_points=400, oversample_ratio=3.0, importance_ratio=0.75)
    assert points.shape == (2, 400, 2)
    distance = sample_points(logits[:, None], points)[:, 0].abs()
    # 300 of 1200 candidates by smallest |logit| (below 1 here), and 100 anywhere.
    assert (distance[:, :300] < 1.2).all()
    assert distance[:, 300:].max() > 3
    assert 0.2 < (distance[:, 300:] < 1).float().mean() < 0.3


def test_importance_ratio_limits():
    logits = torch.randn(1, 8, 8)
    assert uncertain_points(logits, 10, 3.0, 1.0).shape == (1, 10, 2)
    assert uncertain_points(logits, 10, 1.0, 0.0).shape == (1, 10, 2)
