"""Relational distillation of text towers."""

from __future__ import annotations

import pytest
import torch

from xdet.models.losses.distillation import RelationalDistillationLoss, centred, neighbour_agreement


def test_only_relations_count() -> None:
    torch.manual_seed(0)
    teacher = torch.randn(20, 8)
    rotation = torch.linalg.qr(torch.randn(8, 8)).Q
    student = 3 * torch.cat([teacher @ rotation, torch.zeros(20, 4)], dim=1)
    losses = RelationalDistillationLoss(rank_weight=1.0)(student, teacher)
    assert losses.keys() == {'loss_relation', 'loss_rank'}
    assert all(loss.item() == pytest.approx(0, abs=1e-6) for loss in losses.values())
    assert neighbour_agreement(student, teacher, 5) == 1.0
    assert RelationalDistillationLoss()(torch.randn(20, 8), teacher)['loss_relation'] > 0.05


def test_across_two_sets_and_wrong_sizes() -> None:
    torch.manual_seed(0)
    left, right = torch.randn(5, 8), torch.randn(7, 8)
    assert RelationalDistillationLoss()(left, left, right, right)['loss_relation'].item() == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match='same texts'):
        RelationalDistillationLoss()(left, right)


def test_centred() -> None:
    embeddings = torch.randn(50, 8) + 5
    assert torch.allclose(centred(embeddings).norm(dim=1), torch.ones(50))
    assert centred(embeddings).mean(0).norm() < 0.2
