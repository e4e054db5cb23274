"""Loss of several answers about an object, against numbers made by hand."""

import math

import torch

from xdet.models.losses import ClickLoss


def test_the_best_answer_learns_its_mask_and_all_their_score() -> None:
    targets = torch.zeros(1, 2, 2)
    targets[0, 0] = 1
    masks = torch.stack([torch.full((2, 2), 20.0), 20 * (2 * targets[0] - 1), torch.full((2, 2), -20.0)])[None]
    masks.requires_grad_()
    scores = torch.zeros(1, 3, requires_grad=True)
    losses = ClickLoss()(masks, scores, targets)
    losses_of = {name: float(loss.detach()) for name, loss in losses.items()}
    assert losses_of['loss_click_mask'] < 1e-6 and losses_of['loss_click_dice'] < 1e-6
    expected = sum((0.5 - iou) ** 2 for iou in (0.5, 1.0, 0.0)) / 3
    assert math.isclose(losses_of['loss_click_score'], expected, rel_tol=1e-5)
    sum(losses.values()).backward()
    assert not masks.grad[0, [0, 2]].any() and scores.grad[0, 1:].all()


def test_without_objects_losses_are_zero_and_in_the_graph() -> None:
    masks = torch.zeros(0, 3, 4, 4, requires_grad=True)
    losses = ClickLoss()(masks, masks.sum((2, 3)), torch.zeros(0, 4, 4))
    assert {float(loss.detach()) for loss in losses.values()} == {0.0}
    assert all(loss.requires_grad for loss in losses.values())
