import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import InstanceData

from xdet.models.losses import SegmentationLoss, SegmentTargets
from xdet.models.losses.matching import points as point_sampling
from xdet.models.losses.matching.points import sample_points
from xdet.registry import MODELS

LAYERS, QUERIES, DIM, SIZE = 3, 6, 8, (32, 48)


def make_batch(classes, segments, sizes=None, seed=0):
    """Random predictions and targets: ``classes[b]`` names and ``segments[b]`` segments per image."""
    torch.manual_seed(seed)
    batch = len(classes)
    sizes = sizes or [SIZE] * batch
    return dict(
        mask_embeds=[torch.randn(batch, QUERIES, DIM, requires_grad=True) for _ in range(LAYERS)],
        class_logits=[[torch.randn(QUERIES, k + 1, requires_grad=True) for k in classes] for _ in range(LAYERS)],
        mask_features=torch.randn(batch, DIM, SIZE[0] // 4, SIZE[1] // 4, requires_grad=True),
        targets=SegmentTargets(
            [
                InstanceData(masks=torch.rand(n, *size) > 0.5, labels=torch.randint(k, (n,)))
                for k, n, size in zip(classes, segments, sizes, strict=True)
            ],
            SIZE,
        ),
    )


def reference_losses(loss, batch):
    """The definition written with loops; every call of ``uniform_points`` must give the same points."""
    result = {}
    num_masks = max(1, sum(len(target.labels) for target in batch['targets'].segments))
    for layer in range(LAYERS):
        ce = weights = bce = dice = 0.0
        for b, target in enumerate(batch['targets'].segments):
            logits, embed = batch['class_logits'][layer][b], batch['mask_embeds'][layer][b]
            padded = torch.zeros(len(target.labels), *SIZE)
            padded[:, : target.masks.shape[1], : target.masks.shape[2]] = target.masks.float()
            features = batch['mask_features'][b]
            probability = logits.softmax(-1)[None, :, target.labels]
            match = loss.matcher(probability, embed[None], features, padded)[0]
            assigned = {int(query): t for t, query in enumerate(match) if query >= 0}
            for query in range(QUERIES):
                num_classes = logits.shape[1] - 1
                label = int(target.labels[assigned[query]]) if query in assigned else num_classes
                weight = 1.0 if label < num_classes else 0.1
                ce = ce - weight * logits[query].log_softmax(0)[label]
                weights += weight
            for query, t in assigned.items():
                mask = torch.einsum('c,chw->hw', embed[query], features)[None]
                points = point_sampling.uncertain_points(mask, loss.mask_loss.num_points, 3.0, 0.75)
                x = sample_points(mask[None], points)[0, 0]
                y = sample_points(padded[None, t : t + 1], points)[0, 0]
                bce = bce + F.binary_cross_entropy_with_logits(x, y)
                s = x.sigmoid()
                dice = dice + 1 - (2 * (s * y).sum() + 1) / (s.sum() + y.sum() + 1)
        prefix = '' if layer == LAYERS - 1 else f'd{layer}.'
        result[prefix + 'loss_cls'] = 2 * ce / weights
        result[prefix + 'loss_mask'] = torch.as_tensor(5 * bce / num_masks)
        result[prefix + 'loss_dice'] = torch.as_tensor(5 * dice / num_masks)
    return result


@pytest.fixture
def fixed_points(monkeypatch):
    def points(count, num_points, *_):
        generator = torch.Generator().manual_seed(num_points)
        return torch.rand(1, num_points, 2, generator=generator).expand(count, -1, -1)

    monkeypatch.setattr(point_sampling, 'uniform_points', points)


CASES = {
    'equal': ([4, 4], [3, 2], None),
    'vocabularies': ([4, 9], [3, 2], None),
    'sizes': ([4, 4], [3, 2], [(32, 40), (20, 48)]),
    'one empty': ([4, 3], [0, 2], None),
    'all empty': ([4, 3], [0, 0], None),
    'more segments than queries': ([4, 4], [8, 2], None),
}


@pytest.mark.parametrize('case', CASES.values(), ids=CASES)
def test_losses_and_gradients_follow_the_definition(case, fixed_points):
    loss = SegmentationLoss(num_points=64)
    batch = make_batch(*case)
    losses = loss(**batch)
    expected = reference_losses(loss, batch)
    assert set(losses) == set(expected)
    for key, value in expected.items():
        torch.testing.assert_close(losses[key], value.float(), rtol=1e-5, atol=1e-6)

    leaves = [*batch['mask_embeds'], *sum(batch['class_logits'], []), batch['mask_features']]
    gradients = torch.autograd.grad(sum(losses.values()), leaves, retain_graph=True)
    references = torch.autograd.grad(sum(expected.values()), leaves, allow_unused=True)
    for gradient, reference in zip(gradients, references, strict=True):
        reference = torch.zeros_like(gradient) if reference is None else reference
        torch.testing.assert_close(gradient, reference, rtol=1e-4, atol=1e-6)


def test_images_without_segments_keep_every_input_in_the_graph():
    batch = make_batch([4, 3], [0, 0])
    losses = SegmentationLoss(num_points=16)(**batch)
    assert losses['loss_mask'].item() == losses['d0.loss_dice'].item() == 0
    sum(losses.values()).backward()
    for tensor in [*batch['mask_embeds'], batch['mask_features']]:
        assert tensor.grad is not None and not tensor.grad.any()


def test_nothing_matched_and_no_weight_for_that_is_no_loss():
    losses = SegmentationLoss(num_points=16, no_object_weight=0.0)(**make_batch([4, 3], [0, 0]))
    assert not any(losses.values())
    sum(losses.values()).backward()


def test_losses_stay_in_single_precision_under_autocast(fixed_points):
    loss, batch = SegmentationLoss(num_points=64), make_batch([4, 4], [3, 2])
    expected = loss(**batch)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = loss(**batch)
    for key, value in expected.items():
        assert losses[key].dtype == torch.float32 and torch.equal(losses[key], value)
    batch['mask_features'] = batch['mask_features'].bfloat16()
    assert loss(**batch)['loss_mask'].dtype == torch.float32


def test_number_of_masks_is_the_mean_over_ranks(monkeypatch, fixed_points):
    loss, batch = SegmentationLoss(num_points=64), make_batch([4, 4], [3, 2])
    alone = loss(**batch)
    monkeypatch.setattr('xdet.models.losses.distributed.all_reduce', lambda tensor, op: tensor.mul_(2))
    together = loss(**batch)
    torch.testing.assert_close(together['loss_mask'], alone['loss_mask'] / 2)
    torch.testing.assert_close(together['loss_cls'], alone['loss_cls'])


def test_matches_may_be_given(fixed_points):
    loss, batch = SegmentationLoss(num_points=64), make_batch([4, 4], [3, 2])
    matches = loss.match(**batch)
    assert [tuple(match.shape) for match in matches] == [(LAYERS, 3), (LAYERS, 2)]
    given, own = loss(**batch, matches=matches), loss(**batch)
    assert all(torch.equal(given[key], value) for key, value in own.items())
    other = loss(**batch, matches=[match.flip(1) for match in matches])
    assert other['loss_mask'] != own['loss_mask']


def test_random_points_repeat_with_the_seed():
    loss, batch = SegmentationLoss(num_points=64), make_batch([4, 4], [3, 2])
    torch.manual_seed(1)
    first = loss(**batch)
    torch.manual_seed(1)
    assert all(torch.equal(first[key], value) for key, value in loss(**batch).items())
    assert not torch.equal(first['loss_mask'], loss(**batch)['loss_mask'])


def test_bad_targets_are_named():
    loss, batch = SegmentationLoss(num_points=16), make_batch([4, 4], [3, 2])
    good = batch['targets'].segments[0]
    bad = InstanceData(masks=torch.ones(2, *SIZE, dtype=torch.bool), labels=torch.tensor([1, 4]))
    batch['targets'] = SegmentTargets([good, bad], SIZE, ['a.jpg', 'b.jpg'])
    with pytest.raises(ValueError, match=r'b.jpg: labels run from 1 to 4 but its vocabulary has 4 classes \(0 to 3\)'):
        loss(**batch)
    bad = InstanceData(masks=torch.ones(1, 33, 48, dtype=torch.bool), labels=torch.tensor([1]))
    batch['targets'] = SegmentTargets([good, bad], SIZE)
    with pytest.raises(ValueError, match=r'image 1 of the batch: masks of \(33, 48\) do not fit'):
        loss(**batch)


def test_config_errors_and_registry():
    assert isinstance(MODELS.build(dict(type='SegmentationLoss', num_points=8)), SegmentationLoss)
    with pytest.raises(ValueError, match='importance_ratio=1.5'):
        SegmentationLoss(importance_ratio=1.5)
