"""Losses of segments that have boxes instead of masks, by hand and on a toy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from xdet.datasets.transforms.box_affinity import like_neighbours
from xdet.models.losses import BoxMaskLoss, SegmentationLoss, SegmentTargets
from xdet.models.losses.criteria.boxes import (
    affinity_loss,
    box_profiles,
    mask_profiles,
    profile_distance,
    projection_cost,
)

BIG = 50.0


def test_profiles_of_boxes() -> None:
    # Pixels 2 to 9 across: half of cell 0, all of cell 1, a quarter of cell 2. Down: pixels 4 to 7, which is cell 1.
    rows, columns = box_profiles(torch.tensor([[2.0, 4.0, 9.0, 8.0]]), (2, 3))
    assert rows.tolist() == [[0, 1]] and columns.tolist() == [[0.5, 1, 0.25]]


def test_profiles_of_masks() -> None:
    logits = torch.tensor([[[0.0, -BIG, BIG], [-BIG, -BIG, 0.0]]])
    rows, columns = mask_profiles(logits)
    assert rows.tolist() == [[1, 0.5]] and torch.allclose(columns, torch.tensor([[0.5, 0, 1.0]]))


def test_distance_by_hand() -> None:
    assert profile_distance(torch.tensor([1.0, 0.5]), torch.tensor([1.0, 1.0])).item() == pytest.approx(1 - 3 / 3.25)
    assert profile_distance(torch.zeros(3), torch.zeros(3)).item() == 1
    boxes = torch.tensor([[0.0, 0.0, 8.0, 4.0]])
    fits = torch.tensor([[[BIG, BIG, -BIG], [-BIG, -BIG, -BIG]]])
    half = torch.tensor([[[BIG, -BIG, -BIG], [-BIG, -BIG, -BIG]]])
    cost = projection_cost(torch.cat([fits, half]), boxes)
    # The second covers the only row but one of two columns: 1 - 2 / (1 + 2).
    assert torch.allclose(cost, torch.tensor([[0.0], [1 / 3]]), atol=1e-6)


def test_affinity_by_hand() -> None:
    # Three cells in a row, compared with the next one: in, in, undecided.
    logits = torch.tensor([[[2.0, 1.0, 0.0]]])
    alike = torch.zeros(4, 1, 3, dtype=torch.bool)
    alike[0, 0, :2] = True
    inside = torch.tensor([[[True, False, False]]])
    p, q = 1 / (1 + math.exp(-2)), 1 / (1 + math.exp(-1))
    pairs = [-math.log(p * q + (1 - p) * (1 - q)), -math.log(0.5)]
    assert affinity_loss(logits, alike, inside, dilation=1).item() == pytest.approx(pairs[0])
    inside[..., 1] = True
    assert affinity_loss(logits, alike, inside, dilation=1).item() == pytest.approx(sum(pairs) / 2)
    assert affinity_loss(logits, ~alike & alike, inside).item() == 0


def test_like_neighbours_by_hand() -> None:
    """Offsets of the pipeline are those of the loss: a mask along equal colours costs nothing."""
    image = np.zeros((24, 24, 3), dtype=np.uint8)
    image[np.arange(24)[:, None] // 4 + np.arange(24) // 4 >= 5] = 255  # cells on and below a diagonal
    alike = like_neighbours(image)
    assert alike.shape == (4, 6, 6)
    # Lower left neighbours lie on the same diagonal, right and lower ones two further, lower right ones four.
    assert alike[3, :4, 2:].all() and not alike[3, 4:].any() and not alike[3, :, :2].any()
    assert not alike[0, 0, 3] and alike[0, 0, 2] and not alike[1, 3, 0] and not alike[2, 1, 1] and alike[2, 0, 0]
    cells = torch.from_numpy(image[::4, ::4, 0] > 0)
    everywhere = torch.ones(1, 6, 6, dtype=torch.bool)
    assert affinity_loss(torch.where(cells, BIG, -BIG)[None], alike, everywhere).item() < 1e-6
    assert affinity_loss(torch.where(cells.flip(1), BIG, -BIG)[None], alike, everywhere).item() > 1


def make_criterion(**more) -> SegmentationLoss:
    return SegmentationLoss(num_points=256, box_loss=dict(type='BoxMaskLoss', **more))


def random_batch(targets: list[InstanceData], classes: int = 2) -> dict:
    torch.manual_seed(0)
    batch = len(targets)
    return dict(
        mask_embeds=[torch.randn(batch, 5, 6, requires_grad=True) for _ in range(3)],
        class_logits=[[torch.randn(5, classes + 1, requires_grad=True) for _ in targets] for _ in range(3)],
        mask_features=torch.randn(batch, 6, 8, 8, requires_grad=True),
        targets=SegmentTargets(targets, (32, 32)),
    )


def with_boxes(boxes: list, labels: list) -> InstanceData:
    return InstanceData(boxes=torch.tensor(boxes).reshape(-1, 4).float(), labels=torch.tensor(labels).long())


def test_mixed_batches() -> None:
    masks = torch.zeros(2, 32, 32, dtype=torch.bool)
    masks[0, :16], masks[1, 16:] = True, True
    annotated = InstanceData(masks=masks, labels=torch.tensor([0, 1]))
    boxed = with_boxes([[0, 0, 9, 20], [4, 4, 30, 31], [1, 1, 3, 3]], [1, 0, 1])
    criterion = make_criterion(affinity_weight=0.0)
    batch = random_batch([annotated, boxed])
    matches = criterion.match(**batch)
    assert [tuple(match.shape) for match in matches] == [(3, 2), (3, 3)]
    torch.manual_seed(1)
    losses = criterion(**batch, matches=matches)
    assert {name.split('.')[-1] for name in losses} == {'loss_cls', 'loss_mask', 'loss_dice', 'loss_projection'}

    # Masks learn as if the other image had nothing to learn; boxes as computed from the definition.
    alone = random_batch([annotated, InstanceData(masks=masks[:0], labels=torch.tensor([]).long())])
    torch.manual_seed(1)
    expected = SegmentationLoss(num_points=256)(**alone, matches=[matches[0], matches[1][:, :0]])
    for name in ('loss_mask', 'd0.loss_dice'):
        assert losses[name] == expected[name]
    embed, feature = batch['mask_embeds'][-1][1], batch['mask_features'][1]
    cost = projection_cost(torch.einsum('qc,chw->qhw', embed, feature), boxed.boxes)
    assert losses['loss_projection'].item() == pytest.approx(5 * cost[matches[1][-1], range(3)].sum().item() / 3)
    sum(losses.values()).backward()
    assert all(embeds.grad is not None and embeds.grad.isfinite().all() for embeds in batch['mask_embeds'])


@pytest.mark.parametrize('count', [0, 7])
def test_no_boxes_and_more_boxes_than_queries(count: int) -> None:
    target = with_boxes([[2, 2, 9, 9]] * count, [1] * count)
    target.set_metainfo(dict(alike=torch.ones(4, 6, 7, dtype=torch.bool)))  # smaller than the padded input
    batch = random_batch([target])
    losses = make_criterion()(**batch)
    assert {'loss_projection', 'loss_affinity', 'd1.loss_affinity'} <= set(losses)
    assert all(loss.isfinite() for loss in losses.values())
    assert (losses['loss_affinity'] > 0) == (losses['loss_projection'] > 0) == (count > 0)
    sum(losses.values()).backward()


def test_all_ranks_have_the_same_losses() -> None:
    masks = InstanceData(masks=torch.ones(1, 32, 32, dtype=torch.bool), labels=torch.tensor([0]))
    names = [set(make_criterion()(**random_batch([target]))) for target in (masks, with_boxes([[0, 0, 8, 8]], [0]))]
    assert names[0] == names[1]


def test_boxes_need_the_loss() -> None:
    with pytest.raises(ValueError, match='image 0 of the batch: has boxes instead of masks'):
        SegmentationLoss(num_points=16)(**random_batch([with_boxes([[0, 0, 8, 8]], [0])]))


@pytest.mark.parametrize(('affinity_weight', 'least', 'most'), [(1.0, 0.93, 1.0), (0.0, 0.0, 0.7)])
def test_a_disc_is_learned_from_its_box(affinity_weight: float, least: float, most: float) -> None:
    """The mask is a combination of colours and waves; many have the box's height and width, one follows the colours."""
    side, cells = 96, 24
    rows, columns = np.mgrid[:side, :side]
    disc = (rows - 44) ** 2 + (columns - 52) ** 2 < 28**2
    image = np.where(disc[..., None], (40, 60, 220), (90, 160, 60)).astype(np.uint8)
    torch.manual_seed(1)
    across, down = torch.linspace(-1, 1, cells), torch.linspace(-1, 1, cells)[:, None]
    frequencies, phases = 3 * torch.randn(40, 2), 2 * torch.pi * torch.rand(40)
    waves = [torch.cos(fx * across + fy * down + phase) for (fx, fy), phase in zip(frequencies, phases, strict=True)]
    colours = torch.from_numpy(image[2::4, 2::4]).permute(2, 0, 1) / 127 - 1
    features = torch.cat([torch.stack(waves), colours, torch.ones(1, cells, cells)])[None]
    embed = torch.nn.Parameter(0.1 * torch.randn(1, 1, 1, features.shape[1]))
    box, alike = torch.tensor([[24.0, 16.0, 80.0, 72.0]]), like_neighbours(image)
    criterion = BoxMaskLoss(affinity_weight=affinity_weight)
    optimizer = torch.optim.Adam([embed], lr=0.1)
    for _ in range(200):
        (losses,) = criterion(embed, features, [box], [alike], [torch.zeros(1, 1).long()], torch.tensor(1.0))
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    found = torch.einsum('c,chw->hw', embed[0, 0, 0].detach(), features[0]) > 0
    found, truth = found.repeat_interleave(4, 0).repeat_interleave(4, 1), torch.from_numpy(disc)
    iou = ((found & truth).sum() / (found | truth).sum()).item()
    # Cells of 4x4 pixels can reach 0.935; the box itself would have 0.785.
    assert least <= iou <= most
