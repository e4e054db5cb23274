import math

import pytest
import torch
import torch.nn.functional as F

from xdet.models.losses import ImageTextContrastiveLoss, RetrievalLoss, RetrievalTargets, TokenContrastiveLoss, text_ids
from xdet.registry import MODELS

LAYERS, DIM = 4, 8
SCALE = torch.tensor(math.log(2.0))


def make_batch(images=3, seed=0, tokens=5):
    torch.manual_seed(seed)
    lengths = torch.tensor([5, 3, 4, 5, 2])[:images]
    return dict(
        image_embeds=[torch.randn(images, DIM, requires_grad=True) for _ in range(LAYERS)],
        object_embeds=[torch.randn(images, 6, DIM, requires_grad=True) for _ in range(LAYERS)],
        backbone_embed=torch.randn(images, DIM, requires_grad=True),
        text_embed=torch.randn(images, DIM, requires_grad=True),
        text_tokens=torch.randn(images, tokens, DIM, requires_grad=True),
        text_valid=torch.arange(tokens) < lengths[:, None],
        logit_scale=torch.tensor(1.5, requires_grad=True),
    )


def apply(criterion, batch, ids=None):
    targets = RetrievalTargets(batch['text_embed'], batch['text_tokens'], batch['text_valid'], ids)
    embeds = batch['image_embeds'], batch['object_embeds'], batch['backbone_embed']
    return criterion(*embeds, targets, batch['logit_scale'])


def leaves(batch):
    layers = [*batch['image_embeds'], *batch['object_embeds']]
    return [*layers, batch['backbone_embed'], batch['text_embed'], batch['text_tokens'], batch['logit_scale']]


def test_image_text_by_hand():
    """Two images on the axes, of any length; the second text lies between them. Factor 2."""
    images = torch.tensor([[[3.0, 0.0]], [[0.0, 0.5]]])
    texts = torch.tensor([[2.0, 0.0], [5.0, 5.0]])
    side = 2 * math.sqrt(0.5)
    logits = torch.tensor([[2.0, side], [0.0, side]])
    expected = (F.cross_entropy(logits, torch.arange(2)) + F.cross_entropy(logits.T, torch.arange(2))) / 2
    torch.testing.assert_close(ImageTextContrastiveLoss()(images, texts, SCALE), expected[None])


def test_equal_captions_are_right_answers_of_each_other():
    """Three orthogonal pairs of which the first two have the same caption."""
    embeds, same = torch.eye(3), text_ids(['A dog', 'a dog', 'cat'])
    embeds[1] = embeds[0]
    # For the pair of dogs both columns are equal and right: the probability mass of two out of three.
    dogs = -math.log(math.exp(2) / (2 * math.exp(2) + 1))
    cat = -math.log(math.exp(2) / (math.exp(2) + 2))
    loss = ImageTextContrastiveLoss()(embeds[:, None], embeds, SCALE, same)
    assert loss.item() == pytest.approx((2 * dogs + cat) / 3, rel=1e-6)
    # A dog that is told apart from the other pulls its twin away from it, although nothing tells them apart.
    torch.manual_seed(0)
    images, texts = torch.randn(3, 1, 3, requires_grad=True), embeds + 0
    ours = torch.autograd.grad(ImageTextContrastiveLoss()(images, texts, SCALE, same).sum(), images)[0]
    swapped = torch.autograd.grad(ImageTextContrastiveLoss()(images, texts[[1, 0, 2]], SCALE, same).sum(), images)[0]
    torch.testing.assert_close(ours, swapped)
    official = ImageTextContrastiveLoss(official=True)
    torch.testing.assert_close(official(images, texts, SCALE, same), official(images, texts, SCALE))
    assert not torch.allclose(official(images, embeds @ embeds + 1, SCALE), ours.sum())


def test_scale_is_limited_to_100():
    batch = make_batch()
    images = torch.stack(batch['image_embeds'], 1)
    losses = [ImageTextContrastiveLoss()(images, batch['text_embed'], torch.tensor(s)) for s in (math.log(100), 9.0)]
    torch.testing.assert_close(*losses)


def test_image_token_by_hand():
    """The definition with loops: mean cosine of all queries with every token; later tokens count more."""
    batch = make_batch()
    scale, ids = batch['logit_scale'].exp(), text_ids(['one', 'two', 'One'])
    for equal in (False, True):
        owners, weights, columns = [], [], []
        objects = F.normalize(batch['object_embeds'][0], dim=-1)
        for caption, valid in enumerate(batch['text_valid'].tolist()):
            for position in range(sum(valid)):
                token = F.normalize(batch['text_tokens'][caption, position], dim=0)
                columns.append(torch.stack([(objects[i] @ token).mean() for i in range(3)]))
                owners.append(caption)
                weights.append(position + 1.0)
        logits = scale * torch.stack(columns, 1)
        groups = [0, 1, 0] if equal else [0, 1, 2]
        target = torch.tensor(
            [[w * (groups[i] == groups[o]) for o, w in zip(owners, weights, strict=True)] for i in range(3)]
        )
        target = target / target.sum(1, keepdim=True)
        there = -(target * logits.log_softmax(1)).sum() / 3
        back = -(target * logits.log_softmax(0)).sum() / len(owners)
        loss = TokenContrastiveLoss()(
            batch['object_embeds'][0][:, None],
            batch['text_tokens'],
            batch['text_valid'],
            batch['logit_scale'],
            ids if equal else None,
        )
        torch.testing.assert_close(loss, (0.7 * there + 0.3 * back)[None], rtol=1e-5, atol=1e-6)
        official = TokenContrastiveLoss(official=True)(
            batch['object_embeds'][0][:, None], batch['text_tokens'], batch['text_valid'], batch['logit_scale'], ids
        )
        assert torch.allclose(official, loss) is not equal


def test_retrieval_is_the_weighted_sum():
    batch = make_batch()
    losses = apply(RetrievalLoss(), batch)
    assert set(losses) == {'loss_retrieval', 'd1.loss_retrieval', 'd2.loss_retrieval', 'loss_retrieval_backbone'}
    text, scale = batch['text_embed'], batch['logit_scale']
    coarse = ImageTextContrastiveLoss()
    for layer, prefix in {1: 'd1.', 3: ''}.items():
        fine = TokenContrastiveLoss()(
            batch['object_embeds'][layer][:, None], batch['text_tokens'], batch['text_valid'], scale
        )
        expected = 8 * (coarse(batch['image_embeds'][layer][:, None], text, scale) + 0.5 * fine)
        torch.testing.assert_close(losses[f'{prefix}loss_retrieval'], expected[0])
    expected = 8 * coarse(batch['backbone_embed'][:, None], text, scale)
    torch.testing.assert_close(losses['loss_retrieval_backbone'], expected[0])

    without = apply(RetrievalLoss(num_layers=1), {**batch, 'backbone_embed': None})
    assert set(without) == {'loss_retrieval'} and torch.equal(without['loss_retrieval'], losses['loss_retrieval'])


def test_padding_does_not_matter():
    batch = make_batch()
    expected = apply(RetrievalLoss(), batch)
    batch['text_tokens'] = torch.cat([batch['text_tokens'], torch.full((3, 4, DIM), 3.0)], 1)
    batch['text_valid'] = torch.cat([batch['text_valid'], torch.zeros(3, 4, dtype=torch.bool)], 1)
    for key, value in apply(RetrievalLoss(), batch).items():
        torch.testing.assert_close(value, expected[key])


@pytest.mark.parametrize('images', [0, 1])
@pytest.mark.parametrize('official', [False, True])
def test_few_images(images, official):
    batch = make_batch(images)
    losses = apply(RetrievalLoss(official=official), batch, text_ids(['dog'] * images))
    assert losses['loss_retrieval_backbone'].item() == 0 and losses['loss_retrieval'].isfinite()
    gradients = torch.autograd.grad(sum(losses.values()), leaves(batch), allow_unused=True)
    used = [g for leaf, g in zip(leaves(batch), gradients, strict=True) if leaf not in set(batch['image_embeds'][:1])]
    assert all(gradient is None or gradient.isfinite().all() for gradient in used)
    assert gradients[LAYERS - 1] is not None and gradients[-1] is not None


def test_single_precision_under_autocast():
    batch = make_batch()
    expected = apply(RetrievalLoss(), batch)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = apply(RetrievalLoss(), batch)
    assert all(torch.equal(losses[key], value) for key, value in expected.items())
    half = {key: value.bfloat16() if key in ('text_embed', 'text_tokens') else value for key, value in batch.items()}
    assert all(value.dtype == torch.float32 for value in apply(RetrievalLoss(), half).values())


def test_registry():
    for name in ('ImageTextContrastiveLoss', 'TokenContrastiveLoss', 'RetrievalLoss'):
        assert not list(MODELS.build(dict(type=name, official=True)).parameters())
