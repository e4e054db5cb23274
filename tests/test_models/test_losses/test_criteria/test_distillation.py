"""Distillation of text towers and of queries."""

from __future__ import annotations

import pytest
import torch
from mmengine.structures import InstanceData
from torch import Tensor

from xdet.models.losses import DistillationLoss, SegmentTargets, TaughtSegments
from xdet.models.losses.criteria.distillation import RelationalDistillationLoss, centred, neighbour_agreement
from xdet.models.losses.matching import points as point_sampling
from xdet.registry import MODELS


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


LAYERS, QUERIES, DIM, SIZE = 3, 5, 6, (8, 12)


def student(classes: list[int]) -> tuple[list[Tensor], list[list[Tensor]], Tensor]:
    torch.manual_seed(1)
    embeds = [torch.randn(len(classes), QUERIES, DIM, requires_grad=True) for _ in range(LAYERS)]
    logits = [[torch.randn(QUERIES, count + 1, requires_grad=True) for count in classes] for _ in range(LAYERS)]
    return embeds, logits, torch.randn(len(classes), DIM, *SIZE, requires_grad=True)


def teacher(classes: list[int], segments: list[int]) -> TaughtSegments:
    torch.manual_seed(2)
    return TaughtSegments(
        [torch.randn(n, count + 1) for n, count in zip(segments, classes, strict=True)],
        [torch.randn(n, 16, 24) for n in segments],
        [torch.arange(n) != 1 for n in segments],  # it has no query for the second segment
    )


MATCHES = [torch.tensor([[4, 0, 2], [0, 1, 3]]), torch.tensor([[-1, 2, 3, 1], [1, 2, 3, -1]]), torch.zeros(2, 0).long()]
CLASSES, SEGMENTS = [3, 4, 2], [3, 4, 0]


def test_distillation_follows_the_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    def fixed(count: int, num_points: int, *_: object) -> Tensor:
        generator = torch.Generator().manual_seed(num_points)
        return torch.rand(1, num_points, 2, generator=generator).expand(count, -1, -1)

    monkeypatch.setattr(point_sampling, 'uniform_points', fixed)
    loss = DistillationLoss(class_weight=3.0, mask_weight=7.0, temperature=2.0, num_layers=2, num_points=32)
    (embeds, logits, features), taught = student(CLASSES), teacher(CLASSES, SEGMENTS)
    losses = loss(embeds, logits, features, MATCHES, taught)
    expected = {}
    for place, (layer, prefix) in enumerate([(1, 'd1.'), (2, '')]):
        classes = masks = 0.0
        for image, matches in enumerate(MATCHES):
            for segment, query in enumerate(matches[place].tolist()):
                if query < 0 or segment == 1:
                    continue
                p = (taught.logits[image][segment] / 2).softmax(0)
                q = (logits[layer][image][query] / 2).softmax(0)
                classes = classes + 4 * (p * (p / q).log()).sum()
                mask = torch.einsum('c,chw->hw', embeds[layer][image, query], features[image])[None]
                points = point_sampling.uncertain_points(mask.detach(), 32, 3.0, 0.75)
                x = point_sampling.sample_points(mask[None], points)[0, 0].sigmoid()
                y = point_sampling.sample_points(taught.masks[image][None, segment : segment + 1], points)[
                    0, 0
                ].sigmoid()
                masks = masks + (y * (y / x).log() + (1 - y) * ((1 - y) / (1 - x)).log()).mean()
        expected[f'{prefix}loss_taught_cls'] = 3 * classes / 7
        expected[f'{prefix}loss_taught_mask'] = 7 * masks / 7
    assert losses.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value, rtol=1e-4, atol=1e-6)
    leaves = [*embeds[1:], *logits[1][:2], *logits[2][:2], features]
    own, reference = (torch.autograd.grad(sum(part.values()), leaves, retain_graph=True) for part in (losses, expected))
    torch.testing.assert_close(own, reference, rtol=1e-3, atol=1e-6)


def test_a_student_that_says_the_same_has_no_loss() -> None:
    embeds, logits, features = student([3])
    queries = torch.tensor([4, 0])
    masks = torch.einsum('nc,chw->nhw', embeds[-1][0, queries], features[0]).detach()
    taught = TaughtSegments([logits[-1][0][queries].detach()], [masks], [torch.ones(2, dtype=torch.bool)])
    losses = DistillationLoss(num_layers=1, num_points=16)(embeds, logits, features, [queries[None]], taught)
    assert losses.keys() == {'loss_taught_cls', 'loss_taught_mask'}
    assert all(loss.item() == pytest.approx(0, abs=1e-6) for loss in losses.values())


def test_matching_is_that_of_segmentation() -> None:
    embeds, logits, features = student([3])
    masks = torch.zeros(2, 32, 48, dtype=torch.bool)
    masks[0, :16] = masks[1, 16:] = True
    targets = SegmentTargets([InstanceData(labels=torch.tensor([0, 2]), masks=masks)], (32, 48))
    loss = DistillationLoss(num_layers=2, num_points=64)
    torch.manual_seed(0)
    [found] = loss.match(embeds, logits, features, targets)
    torch.manual_seed(0)
    [wanted] = loss.segmentation.match(embeds, logits, features, targets)
    assert torch.equal(found, wanted[1:])


def test_nothing_to_learn_stays_in_the_graph() -> None:
    embeds, logits, features = student([3])
    taught = TaughtSegments([torch.zeros(0, 4)], [torch.zeros(0, *SIZE)], [torch.zeros(0, dtype=torch.bool)])
    losses = DistillationLoss(num_layers=1)(embeds, logits, features, [torch.zeros(1, 0).long()], taught)
    sum(losses.values()).backward()
    assert not any(losses.values()) and features.grad is not None and embeds[-1].grad is not None


def test_bad_arguments_and_other_classes_are_named() -> None:
    assert isinstance(MODELS.build(dict(type='DistillationLoss', num_points=8)), DistillationLoss)
    for wrong in (dict(temperature=0), dict(class_weight=-1.0), dict(mask_weight=-1.0)):
        with pytest.raises(ValueError, match=f'{next(iter(wrong))}={next(iter(wrong.values()))}'):
            DistillationLoss(**wrong)
    with pytest.raises(ValueError, match='importance_ratio=2'):
        DistillationLoss(importance_ratio=2)
    with pytest.raises(ValueError, match='the student tells 3 classes apart and the teacher 4'):
        DistillationLoss()(*student([3]), [torch.zeros(3, 1).long()], teacher([4], [1]))
