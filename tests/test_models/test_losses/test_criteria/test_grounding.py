import math

import pytest
import torch
from mmengine.structures import InstanceData

from xdet.models.losses import GroundingLoss, GroundingTargets, SegmentationLoss, SegmentTargets, text_ids
from xdet.models.losses.criteria.grounding import phrase_cross_entropy
from xdet.models.losses.matching import points as point_sampling
from xdet.registry import MODELS

LAYERS, QUERIES, DIM, SIZE = 4, 6, 8, (32, 48)


def make_batch(phrases=(3, 2), modes=('text', 'class'), seed=0):
    torch.manual_seed(seed)
    batch = len(phrases)
    return dict(
        mask_embeds=[torch.randn(batch, QUERIES, DIM, requires_grad=True) for _ in range(LAYERS)],
        class_embeds=[torch.randn(batch, QUERIES, DIM, requires_grad=True) for _ in range(LAYERS)],
        mask_features=torch.randn(batch, DIM, SIZE[0] // 4, SIZE[1] // 4, requires_grad=True),
        texts=[torch.randn(n, DIM, requires_grad=True) for n in phrases],
        identities=[[f'phrase {i}' for i in range(n)] for n in phrases],
        masks=[torch.rand(n, 24, 48) > 0.5 for n in phrases],
        modes=modes,
        logit_scale=torch.tensor(2.0, requires_grad=True),
        input_size=SIZE,
    )


def call(loss, batch, **more):
    """The losses of a batch, in which targets stand beside predictions."""
    fields = GroundingTargets.__dataclass_fields__
    targets = GroundingTargets(**{key: value for key, value in batch.items() if key in fields}, **more)
    return loss(**{key: value for key, value in batch.items() if key not in fields}, targets=targets)


@pytest.fixture
def fixed_points(monkeypatch):
    def points(count, num_points, *_):
        generator = torch.Generator().manual_seed(num_points)
        return torch.rand(1, num_points, 2, generator=generator).expand(count, -1, -1)

    monkeypatch.setattr(point_sampling, 'uniform_points', points)


def leaves(batch):
    layers = [embed for name in ('mask_embeds', 'class_embeds') for embed in batch[name]]
    return [*layers, batch['mask_features'], *batch['texts'], batch['logit_scale']]


def test_cross_entropy_by_hand():
    """Two queries, three phrases; the first and the last are the same text and own a query each."""
    logits = torch.tensor([[[math.log(3), 0.0, math.log(3)], [0.0, 0.0, 0.0]]])
    match = torch.tensor([[0, -1, 1]])
    # Phrases 0 and 2: half of each query, probabilities 3/4 and 1/4. Phrase 1 has no query.
    expected = 2 * -(math.log(3 / 4) + math.log(1 / 4)) / 2 / 3
    assert phrase_cross_entropy(logits, match, ['a', 'b', 'a']).tolist() == pytest.approx([expected])
    # Told apart, each owns its own query only.
    apart = phrase_cross_entropy(logits, torch.tensor([[0, -1, 0]]), ['a', 'b', 'c'])
    assert apart.tolist() == pytest.approx([-2 * math.log(3 / 4) / 3])
    assert phrase_cross_entropy(logits[..., :0], match[:, :0], []).tolist() == [0]


def test_mask_losses_are_those_of_segments(fixed_points):
    """With probabilities over queries in place of probabilities over classes nothing else differs."""
    batch = make_batch(phrases=(3,), modes=('text',))
    losses = call(GroundingLoss(num_points=64, match_weights=(0.0, 5.0, 5.0)), batch)
    targets = [InstanceData(masks=batch['masks'][0], labels=torch.zeros(3, dtype=torch.int64))]
    logits = [[torch.zeros(QUERIES, 2)] for _ in range(LAYERS)]
    segments = SegmentationLoss(num_points=64)(
        batch['mask_embeds'], logits, batch['mask_features'], SegmentTargets(targets, batch['input_size'])
    )
    for name in ('mask', 'dice'):
        for prefix in ('', 'd1.'):
            torch.testing.assert_close(5 * losses[f'{prefix}loss_grounding_{name}'], segments[f'{prefix}loss_{name}'])


def test_matching_prefers_the_query_that_is_most_like_the_phrase(fixed_points):
    batch = make_batch(phrases=(QUERIES,), modes=('text',))
    loss = GroundingLoss(num_points=64, match_weights=(1.0, 0.0, 0.0), class_weight=1.0, text_weight=1.0)
    order = torch.randperm(QUERIES)
    directions = torch.eye(DIM)[:QUERIES]
    batch['class_embeds'] = [3 * directions[None, order]] * LAYERS
    batch['texts'], batch['logit_scale'] = [7 * directions], torch.tensor(10.0)  # clamped to 100
    losses = call(loss, batch)
    assert losses['loss_grounding_cls'].item() == pytest.approx(0, abs=1e-6)
    batch['logit_scale'] = torch.tensor(math.log(2))
    expected = -math.log(math.exp(2) / (math.exp(2) + QUERIES - 1))
    assert call(loss, batch)['loss_grounding_cls'].item() == pytest.approx(expected, rel=1e-5)


def test_modes_layers_and_weights(fixed_points):
    batch = make_batch()
    losses = call(GroundingLoss(num_points=64, num_layers=3), batch)
    kinds = ('loss_grounding_cls', 'loss_grounding_mask', 'loss_grounding_dice')
    assert set(losses) == {prefix + kind for prefix in ('d1.', 'd2.', '') for kind in kinds}
    only = [
        call(GroundingLoss(num_points=64, text_weight=text, class_mode_weight=names), batch)['loss_grounding_cls']
        for text, names in ((1.0, 0.0), (0.0, 1.0))
    ]
    torch.testing.assert_close(losses['loss_grounding_cls'], 2 * only[0] + 0.5 * only[1])


def test_image_without_phrases(fixed_points):
    """By default the other image learns as if it were alone; officially nobody does. All stay in the graph."""
    batch = make_batch(phrases=(3, 0))
    alone = {key: value[:1] if isinstance(value, (list, tuple)) else value for key, value in batch.items()}
    alone['mask_features'] = batch['mask_features'][:1]
    for name in ('mask_embeds', 'class_embeds'):
        alone[name] = [embed[:1] for embed in batch[name]]
    alone['input_size'] = SIZE
    losses, single = call(GroundingLoss(num_points=64), batch), call(GroundingLoss(num_points=64), alone)
    for key, value in single.items():
        assert value > 0
        torch.testing.assert_close(losses[key], value)
    gradients = torch.autograd.grad(sum(losses.values()), leaves(batch))
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert not gradients[0][1].any() and gradients[0][0].any()

    official = call(GroundingLoss(num_points=64, official=True), batch)
    assert official.keys() == losses.keys() and all(loss.item() == 0 for loss in official.values())
    assert not any(gradient.any() for gradient in torch.autograd.grad(sum(official.values()), leaves(batch)))


def test_official_is_the_same_when_every_image_has_phrases(fixed_points):
    batch = make_batch()
    losses, official = (
        call(GroundingLoss(num_points=64), batch),
        call(GroundingLoss(num_points=64, official=True), batch),
    )
    for key, value in losses.items():
        torch.testing.assert_close(official[key], value)


def test_nothing_to_do_and_more_phrases_than_queries(fixed_points):
    batch = make_batch(phrases=(0, 0))
    losses = call(GroundingLoss(num_points=16), batch)
    assert all(loss.item() == 0 for loss in losses.values())
    assert not any(gradient.any() for gradient in torch.autograd.grad(sum(losses.values()), leaves(batch)))

    crowded = call(GroundingLoss(num_points=16), make_batch(phrases=(QUERIES + 2, 1)))
    assert all(loss.isfinite() and loss > 0 for loss in crowded.values())


def test_gradients_reach_queries_texts_and_scale(fixed_points):
    batch = make_batch()
    gradients = torch.autograd.grad(sum(call(GroundingLoss(num_points=64), batch).values()), leaves(batch))
    assert all(gradient.any() and gradient.isfinite().all() for gradient in gradients)


def test_single_precision_under_autocast(fixed_points):
    batch, loss = make_batch(), GroundingLoss(num_points=64)
    expected = call(loss, batch)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = call(loss, batch)
    assert all(torch.equal(losses[key], value) for key, value in expected.items())
    batch['mask_features'] = batch['mask_features'].bfloat16()
    batch['class_embeds'] = [embed.bfloat16() for embed in batch['class_embeds']]
    assert all(value.dtype == torch.float32 for value in call(loss, batch).values())


def test_errors_name_the_image():
    loss = MODELS.build(dict(type='GroundingLoss', num_points=16))
    batch = make_batch()
    with pytest.raises(ValueError, match="image 1 of the batch: mode is 'point'; accepted are 'text' and 'class'"):
        call(loss, {**batch, 'modes': ('text', 'point')})
    with pytest.raises(ValueError, match='a.jpg: 3 phrase embeddings, 3 identities and 2 masks'):
        call(loss, {**batch, 'masks': [batch['masks'][1]] * 2}, names=['a.jpg', 'b.jpg'])
    with pytest.raises(ValueError, match=r'a.jpg: masks of \(24, 49\) do not fit'):
        call(loss, {**batch, 'masks': [torch.ones(3, 24, 49).bool(), batch['masks'][1]]}, names=['a.jpg', 'b.jpg'])
    batch['class_embeds'][-1].data[1, 0, 0] = float('nan')
    with pytest.raises(ValueError, match='b.jpg: matching needs finite costs'):
        call(loss, batch, names=['a.jpg', 'b.jpg'])


def test_text_ids():
    ids = text_ids(['A  Bench', 'a bench', 'bench', 'çay', ' a bench\n'])
    assert ids.dtype == torch.int64 and ids[0] == ids[1] == ids[4] and len(set(ids.tolist())) == 3
    # The same number in every process and release: other ranks and resumed runs have to agree.
    assert text_ids(['a bench']).tolist() == [-817587240847937021]
    assert text_ids([]).shape == (0,)
