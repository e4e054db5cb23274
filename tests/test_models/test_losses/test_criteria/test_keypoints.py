"""The keypoint loss against its definition, written with loops."""

from __future__ import annotations

import math

import pytest
import torch

from xdet.models.losses import KeypointLoss
from xdet.models.losses.criteria.keypoints import gaussians

N, K, S = 3, 4, 5


def inputs() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return dict(
        heat=torch.randn(N, K, S, S, generator=generator, requires_grad=True),
        visible=torch.randn(N, K, generator=generator, requires_grad=True),
        posed=torch.randn(5, generator=generator, requires_grad=True),
        places=torch.rand(N, K, 2, generator=generator) * 1.4 - 0.2,
        labelled=torch.rand(N, K, generator=generator) > 0.4,
        has_pose=torch.tensor([True, True, False, True, False]),
    )


def test_equals_its_definition() -> None:
    given = inputs()
    losses = KeypointLoss(sigma=0.7, heat_weight=2.0, visible_weight=3.0, posed_weight=4.0)(**given)
    total, count = 0.0, 0
    for n in range(N):
        for k in range(K):
            x, y = given['places'][n, k].tolist()
            if not (given['labelled'][n, k] and 0 <= x <= 1 and 0 <= y <= 1):
                continue
            weights = torch.tensor(
                [
                    [
                        math.exp(-((column + 0.5 - S * x) ** 2 + (row + 0.5 - S * y) ** 2) / 2 / 0.49)
                        for column in range(S)
                    ]
                    for row in range(S)
                ]
            )
            shares = given['heat'][n, k].flatten().softmax(0).view(S, S)
            total -= float((weights / weights.sum() * shares.log()).sum())
            count += 1
    assert 0 < count < int(given['labelled'].sum())
    assert float(losses['loss_keypoints']) == pytest.approx(2 * total / count, rel=1e-5)
    for name, weight, logits, truth in (('visible', 3, 'visible', 'labelled'), ('posed', 4, 'posed', 'has_pose')):
        share = given[logits].sigmoid()
        expected = -torch.where(given[truth], share.log(), (1 - share).log()).mean()
        assert float(losses[f'loss_{name}']) == pytest.approx(weight * float(expected), rel=1e-5)


def test_nothing_to_learn_from_is_zero_with_gradients() -> None:
    given = {key: value[:0].detach().requires_grad_(value.is_floating_point()) for key, value in inputs().items()}
    losses = KeypointLoss()(**given)
    assert all(float(loss) == 0 for loss in losses.values())
    sum(losses.values()).backward()
    given = inputs()
    given['labelled'] = torch.zeros_like(given['labelled'])
    loss = KeypointLoss()(**given)['loss_keypoints']
    loss.backward()
    assert float(loss) == 0 and not given['heat'].grad.any()


def test_gaussians_are_distributions_even_far_outside() -> None:
    places = torch.tensor([[[0.5, 0.5], [7.0, -9.0], [0.0, 1.0]]])
    targets = gaussians(places, 4, 1.0)
    torch.testing.assert_close(targets.sum(-1), torch.ones(1, 3))
    assert targets[0, 2].view(4, 4).argmax() == 12  # last row, first column
