from itertools import permutations

import pytest
import torch
import torch.nn.functional as F

from xdet.models.losses import HungarianMatcher
from xdet.models.losses.matching import points as point_sampling
from xdet.models.losses.matching.points import sample_points

LAYERS, QUERIES, DIM, CLASSES, SIZE = 2, 5, 8, 4, (32, 24)


@pytest.fixture
def image():
    torch.manual_seed(3)
    return dict(
        probability=torch.randn(LAYERS, QUERIES, CLASSES + 1).softmax(-1)[..., [2, 0, 2]],
        mask_embed=torch.randn(LAYERS, QUERIES, DIM),
        mask_features=torch.randn(DIM, SIZE[0] // 4, SIZE[1] // 4),
        masks=(torch.rand(3, *SIZE) > 0.6).float(),
    )


def reference_cost(image, layer, points):
    """The definition, one pair after the other."""
    masks = torch.einsum('qc,chw->qhw', image['mask_embed'][layer], image['mask_features'])
    predicted = sample_points(masks[None], points)[0]
    targets = sample_points(image['masks'][None], points)[0]
    cost = torch.zeros(QUERIES, len(targets))
    for q in range(QUERIES):
        for t, target in enumerate(targets):
            bce = F.binary_cross_entropy_with_logits(predicted[q], target)
            sigmoid = predicted[q].sigmoid()
            dice = 1 - (2 * (sigmoid * target).sum() + 1) / (sigmoid.sum() + target.sum() + 1)
            cost[q, t] = -2 * image['probability'][layer, q, t] + 5 * bce + 5 * dice
    return cost


@pytest.mark.parametrize('num_points', [30, 300], ids=['features sampled', 'masks sampled'])
def test_costs_follow_the_definition(image, monkeypatch, num_points):
    points = torch.rand(1, num_points, 2)
    monkeypatch.setattr(point_sampling, 'uniform_points', lambda n, p, *_: points)
    matcher = HungarianMatcher(num_points=num_points)
    total = sum(matcher.costs(**image).values())
    for layer in range(LAYERS):
        torch.testing.assert_close(total[layer], reference_cost(image, layer, points), rtol=1e-5, atol=1e-5)


def test_assignment_is_the_cheapest_of_all(image, monkeypatch):
    points = torch.rand(1, 200, 2)
    monkeypatch.setattr(point_sampling, 'uniform_points', lambda n, p, *_: points)
    matches = HungarianMatcher(num_points=200)(**image)
    assert matches.shape == (LAYERS, 3) and matches.dtype == torch.int64
    for layer in range(LAYERS):
        cost = reference_cost(image, layer, points)
        best = min(permutations(range(QUERIES), 3), key=lambda queries: float(cost[list(queries), range(3)].sum()))
        assert tuple(matches[layer].tolist()) == best


def test_more_segments_than_queries_leaves_segments_out(image):
    image['probability'] = torch.rand(LAYERS, QUERIES, 7)
    image['masks'] = (torch.rand(7, *SIZE) > 0.5).float()
    matches = HungarianMatcher(num_points=50)(**image)
    for layer in matches.tolist():
        assert layer.count(-1) == 2
        assert sorted(query for query in layer if query >= 0) == list(range(QUERIES))


def test_no_segments_is_an_empty_matching(image):
    image['probability'], image['masks'] = image['probability'][..., :0], image['masks'][:0]
    assert HungarianMatcher(num_points=50)(**image).shape == (LAYERS, 0)


@pytest.mark.parametrize(
    'field, expected',
    [('mask_embed', r'mask cost in prediction layers \[1\].*dice cost'), ('probability', 'class cost in prediction')],
)
def test_nan_is_reported_with_image_and_cost(image, field, expected):
    image[field][1][0, 0] = float('nan')
    with pytest.raises(ValueError, match='street.jpg: matching needs finite costs.*' + expected):
        HungarianMatcher(num_points=50)(**image, name='street.jpg')
