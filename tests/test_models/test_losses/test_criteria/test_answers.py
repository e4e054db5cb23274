"""The loss of answers equals mmpretrain's, bit for bit."""

from __future__ import annotations

import pytest
import torch

from xdet.models.losses import AnswerLoss


@pytest.mark.parametrize(('sigmoid', 'option'), [(False, 'use_soft'), (True, 'use_sigmoid')])
@pytest.mark.parametrize('weight', [1.0, 3129.0])
def test_equal_to_mmpretrain(sigmoid: bool, option: str, weight: float) -> None:
    losses = pytest.importorskip('mmpretrain.models.losses')
    generator = torch.Generator().manual_seed(0)
    logits, targets = torch.randn(5, 9, generator=generator), torch.rand(5, 9, generator=generator)
    found = []
    for criterion in (AnswerLoss(sigmoid, weight), losses.CrossEntropyLoss(**{option: True}, loss_weight=weight)):
        leaf = logits.clone().requires_grad_()
        loss = criterion(leaf, targets)
        loss.backward()
        found.append((loss.detach(), leaf.grad))
    assert found[0][0].equal(found[1][0]) and found[0][1].equal(found[1][1])
