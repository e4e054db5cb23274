"""Two real processes against one that sees the whole batch: losses, and gradients as distributed training averages."""

import pytest
import torch
import torch.distributed as dist
from mmengine.structures import InstanceData
from test_tasks.conftest import tiny_model
from tiny.ranks import needs_ranks, on_two_ranks

from xdet.models.losses import (
    GroundingLoss,
    GroundingTargets,
    NounContrastiveLoss,
    NounTargets,
    RetrievalLoss,
    RetrievalTargets,
    RowGather,
    SegmentationLoss,
    SegmentTargets,
    text_ids,
)
from xdet.models.losses.distributed import check_same_kinds
from xdet.models.losses.matching import points as point_sampling
from xdet.structures import XDetDataSample

pytestmark = needs_ranks

LAYERS, QUERIES, DIM, SIZE = 3, 6, 8, (32, 32)
CAPTIONS = ('a dog', 'a cat', 'A dog', 'a tree', 'a cow')
CLASSES = (('dog', 'cat'), ('dog',), (), ('cow', 'dog'), ('bee',))
NOUNS = (('tree', 'a dog'), ('cat',), ('a dog',), (), ('dog', 'a bee'))


def run_on_two_ranks(function, folder):
    """What ``function(rank)`` returns on each of two ranks."""
    return on_two_ranks(lambda: function(dist.get_rank()), folder)


def parameters():
    """Stand-in for a model: one matrix for images, one for texts, and the scale."""
    generator = torch.Generator().manual_seed(1)
    return [
        torch.randn(DIM, DIM, generator=generator).requires_grad_(),
        torch.randn(DIM, DIM, generator=generator).requires_grad_(),
        torch.tensor(1.0, requires_grad=True),
    ]


def random(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def word(text):
    return random(DIM, seed=abs(int(text_ids([text]))) % 1000)


def words(texts):
    return torch.stack([word(text.lower()) for text in texts]) if texts else torch.zeros(0, DIM)


def retrieval_losses(images, official=False):
    visual, textual, scale = weights = parameters()
    embeds = random(5, LAYERS, DIM, seed=2)[images] @ visual
    losses = RetrievalLoss(fine_weight=0.0, official=official)(  # the fine half looks at its own rank only
        list(embeds.unbind(1)),
        [layer[:, None] for layer in embeds.unbind(1)],
        embeds.sum(1),
        RetrievalTargets(
            random(5, DIM, seed=3)[images] @ textual,
            random(5, 4, DIM, seed=4)[images] @ textual,
            torch.ones(len(images), 4, dtype=torch.bool),
            text_ids([CAPTIONS[image] for image in images]),
        ),
        scale,
    )
    return losses, weights


def noun_losses(images, official=False):
    visual, textual, scale = weights = parameters()
    embeds = random(LAYERS, 5, QUERIES, DIM, seed=5)[:, images] @ visual
    losses = NounContrastiveLoss(official=official)(
        list(embeds),
        [torch.arange(len(CLASSES[image])).expand(LAYERS, -1) for image in images],
        NounTargets(
            [words(CLASSES[image]) @ textual for image in images],
            [text_ids(CLASSES[image]) for image in images],
            [words(NOUNS[image]) @ textual for image in images],
            [text_ids(NOUNS[image]) for image in images],
        ),
        scale,
    )
    return losses, weights


def fixed_points(count, num_points, *_):
    return random(1, num_points, 2, seed=num_points).sigmoid().expand(count, -1, -1)


def grounding_losses(images, official=False):
    visual, textual, scale = weights = parameters()
    embeds = random(LAYERS, 5, QUERIES, DIM, seed=6)[:, images] @ visual
    losses = GroundingLoss(num_points=32, official=official)(
        list(embeds),
        list(embeds.flip(2)),
        random(5, DIM, 8, 8, seed=7)[images],
        GroundingTargets(
            [words(CLASSES[image]) @ textual for image in images],
            [CLASSES[image] for image in images],
            [random(len(CLASSES[image]), *SIZE, seed=8 + image) > 0 for image in images],
            ['text'] * len(images),
            SIZE,
        ),
        scale,
    )
    return losses, weights


def segmentation_losses(images, official=False):
    visual, textual, scale = weights = parameters()
    embeds = random(LAYERS, 5, QUERIES, DIM, seed=6)[:, images] @ visual
    names = ('dog', 'cat', 'cow', 'bee', 'background')
    logits = [list(layer @ (words(names) @ textual).T * scale) for layer in embeds]
    targets = [
        InstanceData(
            masks=random(len(CLASSES[image]), *SIZE, seed=8 + image) > 0,
            labels=torch.tensor([names.index(name) for name in CLASSES[image]], dtype=torch.int64),
        )
        for image in images
    ]
    features = random(5, DIM, 8, 8, seed=7)[images]
    losses = SegmentationLoss(num_points=32)(list(embeds), logits, features, SegmentTargets(targets, SIZE))
    return {key: loss for key, loss in losses.items() if 'cls' not in key}, weights


def with_gradients(losses, weights):
    gradients = torch.autograd.grad(sum(losses.values()), weights, allow_unused=True)
    gradients = [torch.zeros_like(w) if g is None else g for w, g in zip(weights, gradients, strict=True)]
    return {key: loss.detach() for key, loss in losses.items()}, gradients


SPLITS = {'uneven': ([0, 1, 2], [3, 4]), 'one rank has nothing': ([], [0, 1, 2, 3, 4])}


@pytest.mark.parametrize('compute', [retrieval_losses, noun_losses, grounding_losses, segmentation_losses])
@pytest.mark.parametrize('split', SPLITS.values(), ids=SPLITS)
def test_two_ranks_equal_one_process(compute, split, tmp_path, monkeypatch):
    if not split[0] and compute in (grounding_losses, segmentation_losses):
        split = ([2], [0, 1, 3, 4])  # a rank always has images, this one has nothing to find in it
    monkeypatch.setattr(point_sampling, 'uniform_points', fixed_points)
    whole, expected = with_gradients(*compute([0, 1, 2, 3, 4]))
    ranks = run_on_two_ranks(lambda rank: with_gradients(*compute(split[rank])), tmp_path)
    for key, value in whole.items():
        losses = [losses[key] for losses, _ in ranks]
        if compute in (retrieval_losses, noun_losses):  # every rank has the loss of the whole batch
            torch.testing.assert_close(losses, [value, value])
        else:  # every rank has its share
            torch.testing.assert_close(sum(losses) / 2, value)
    for value, *parts in zip(expected, *(gradients for _, gradients in ranks), strict=True):
        torch.testing.assert_close(sum(parts) / 2, value, rtol=1e-4, atol=1e-5)


def test_different_kinds_of_targets_are_an_error_on_every_rank(tmp_path):
    def check(rank):
        kinds = [dict(captioning=['captions', 'regions'], segmentation=['segments']), dict(segmentation=['segments'])]
        samples = [XDetDataSample(metainfo=dict(img_path=f'{rank}{letter}.jpg')) for letter in 'ab']
        check_same_kinds(kinds[0], samples, torch.device('cpu'))
        with pytest.raises(ValueError) as caught:
            check_same_kinds(kinds[rank], samples, torch.device('cpu'))
        return str(caught.value)

    first, second = run_on_two_ranks(check, tmp_path)
    assert first == second
    for kind in ('captions', 'regions'):
        assert f'{kind} (captioning): the images of rank 0 (0a.jpg, 0b.jpg) have some, the images of rank 1' in first
    assert 'segments' not in first and '1a.jpg' in first and 'JointTrainLoop' in first


def test_a_model_refuses_ranks_with_different_targets(tmp_path):
    """Before any exchange that only one of them takes part in, also where one has no targets at all."""
    model = tiny_model()

    def step(rank):
        sample = XDetDataSample(metainfo=dict(img_path=f'{rank}.jpg', **({} if rank else dict(caption='a cat'))))
        with pytest.raises(ValueError, match='rank 1 .1.jpg. have none'):
            model.loss(torch.zeros(1, 3, 32, 32), [sample])

    run_on_two_ranks(step, tmp_path)


def test_official_gradients_are_too_small(tmp_path):
    """By the number of ranks, where they pass through gathered embeddings; the scale is not gathered."""
    split = [1, 3], [4]  # no equal captions, which the switch treats differently too
    results = run_on_two_ranks(
        lambda rank: [with_gradients(*retrieval_losses(split[rank], official)) for official in (False, True)], tmp_path
    )
    for (losses, (visual, textual, scale)), (same, (small_visual, small_textual, same_scale)) in results:
        torch.testing.assert_close(same, losses)
        torch.testing.assert_close([2 * small_visual, 2 * small_textual, same_scale], [visual, textual, scale])


def gather_rows(rank):
    results = []
    for official in (False, True):
        sizes = (2, 0) if official else (1, 3)
        rows = (torch.arange(sizes[rank] * 2.0).view(-1, 2) + 10 * rank).requires_grad_()
        gather = RowGather(len(rows), rows.device, official)
        gathered = gather(rows)
        ids = gather(torch.full((len(rows),), rank))
        flags = gather(torch.full((len(rows),), rank == 1))
        weights = torch.arange(1.0, 1 + gathered.numel()).view_as(gathered)
        [gradient] = torch.autograd.grad((gathered * weights).sum(), rows)
        results.append((gathered.detach(), ids, flags, gradient, torch.tensor([gather.start])))
    return results


def test_gather(tmp_path):
    ranks = run_on_two_ranks(gather_rows, tmp_path)
    for rank, ((rows, ids, flags, gradient, start), official) in enumerate(ranks):
        assert rows.tolist() == [[0, 1], [10, 11], [12, 13], [14, 15]]
        assert ids.tolist() == [0, 1, 1, 1] and flags.tolist() == [False, True, True, True]
        assert gradient.tolist() == ([[2, 4]] if rank == 0 else [[6, 8], [10, 12], [14, 16]])  # times two ranks
        assert start.item() == rank
        rows, ids, flags, gradient, start = official
        assert rows.tolist() == [[0, 1], [2, 3]] and ids.tolist() == [0, 0] and start.item() == 2 * rank
        assert gradient.tolist() == ([[1, 2], [3, 4]] if rank == 0 else [])


def test_one_process_gathers_nothing():
    rows = torch.randn(3, 2, requires_grad=True)
    gather = RowGather(3, rows.device)
    assert gather(rows) is rows and gather.start == 0 and gather.sizes == [3]
