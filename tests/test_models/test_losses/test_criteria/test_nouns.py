import math
from itertools import permutations

import pytest
import torch

from xdet.models.losses import NounContrastiveLoss, NounTargets, text_ids
from xdet.registry import MODELS

LAYERS, QUERIES, DIM = 4, 5, 8


def make_batch(classes=(('dog', 'cat'), ('dog',)), nouns=(('tree', 'a dog and a cat'), ('Cat',)), seed=0):
    """Random queries and texts; equal names have equal embeddings, as prompts of one name need not."""
    torch.manual_seed(seed)
    words = dict.fromkeys(word.lower() for image in (*classes, *nouns) for word in image)
    vectors = {word: torch.randn(DIM) for word in words}

    def embed(words):
        return torch.stack([vectors[w.lower()] for w in words]) if words else torch.zeros(0, DIM)

    return dict(
        class_embeds=[torch.randn(len(classes), QUERIES, DIM, requires_grad=True) for _ in range(LAYERS)],
        matches=[torch.stack([torch.randperm(QUERIES)[: len(c)] for _ in range(LAYERS)]) for c in classes],
        class_texts=[embed(image).requires_grad_() for image in classes],
        class_ids=[text_ids(image) for image in classes],
        texts=[embed(image).requires_grad_() for image in nouns],
        text_ids=[text_ids(image) for image in nouns],
        logit_scale=torch.tensor(1.0, requires_grad=True),
    )


def apply(criterion, batch, names=()):
    targets = NounTargets(batch['class_texts'], batch['class_ids'], batch['texts'], batch['text_ids'], names)
    return criterion(batch['class_embeds'], batch['matches'], targets, batch['logit_scale'])


def unit(x):
    return x / x.norm(dim=-1, keepdim=True)


def reference(batch, layer):
    """The definition with loops; the cheapest assignment by trying all."""
    scale = batch['logit_scale'].exp()
    pool = unit(torch.cat(batch['texts']))
    queries, owners, known, start = [], [], {}, 0
    for b, embeds in enumerate(unit(batch['class_embeds'][layer])):
        for text, number in zip(batch['class_texts'][b], batch['class_ids'][b].tolist(), strict=True):
            known.setdefault(number, unit(text))
        for text, number in zip(batch['texts'][b], batch['text_ids'][b].tolist(), strict=True):
            known.setdefault(number, unit(text))
        matched = batch['matches'][b][layer].tolist()
        queries += [embeds[q] for q in matched]
        owners += batch['class_ids'][b].tolist()
        free = [q for q in range(QUERIES) if q not in matched]
        count = len(batch['texts'][b])
        like = (scale * embeds @ pool.T).softmax(-1)[:, start : start + count]
        best = max(permutations(free, count), key=lambda chosen: like[list(chosen), range(count)].sum().item())
        queries += [embeds[q] for q in best]
        owners += batch['text_ids'][b].tolist()
        start += count
    names = sorted(set(owners))
    logits = scale * torch.stack(queries) @ torch.stack([known[name] for name in names]).T
    target = torch.tensor([[float(owner == name) for name in names] for owner in owners])
    there = -(target * logits.log_softmax(1)).sum(1).mean()
    back = -(target / target.sum(0) * logits.log_softmax(0)).sum(0).mean()
    return 0.7 * there + 0.3 * back


def test_follows_the_definition():
    batch = make_batch()
    losses = apply(NounContrastiveLoss(weight=2.0), batch)
    assert set(losses) == {'d1.loss_noun', 'd2.loss_noun', 'loss_noun'}
    for layer, prefix in {1: 'd1.', 2: 'd2.', 3: ''}.items():
        torch.testing.assert_close(losses[f'{prefix}loss_noun'], 2 * reference(batch, layer), rtol=1e-5, atol=1e-6)
    leaves = [*batch['class_embeds'][1:], *batch['class_texts'], *batch['texts'], batch['logit_scale']]
    ours = torch.autograd.grad(sum(losses.values()), leaves, allow_unused=True)
    expected = torch.autograd.grad(2 * sum(reference(batch, layer) for layer in (1, 2, 3)), leaves, allow_unused=True)
    for gradient, other in zip(ours, expected, strict=True):
        gradient = torch.zeros(1) if gradient is None else gradient
        torch.testing.assert_close(gradient, torch.zeros_like(gradient) if other is None else other)


def test_by_hand():
    """One query on each of two axes: one matched to 'dog', the other free for the caption. Factor 2."""
    batch = dict(
        class_embeds=[torch.eye(2)[None] * 3],
        matches=[torch.tensor([[0]])],
        class_texts=[torch.tensor([[1.0, 0.0]])],
        class_ids=[text_ids(['dog'])],
        texts=[torch.tensor([[0.0, 4.0]])],
        text_ids=[text_ids(['a caption'])],
        logit_scale=torch.tensor(math.log(2.0)),
    )
    expected = math.log(1 + math.exp(-2))
    assert apply(NounContrastiveLoss(), batch)['loss_noun'].item() == pytest.approx(expected, rel=1e-6)
    batch['text_ids'] = batch['class_ids']  # one text with two queries: nothing to tell apart from queries' side
    loss = apply(NounContrastiveLoss(), batch)['loss_noun'].item()
    assert loss == pytest.approx(0.3 * (math.log(1 + math.exp(-2)) + 2 / 2), rel=1e-6)


def test_official_switch_takes_gradients_from_free_queries():
    batch = make_batch()
    ours, official = apply(NounContrastiveLoss(), batch), apply(NounContrastiveLoss(official=True), batch)
    for key, value in ours.items():
        torch.testing.assert_close(official[key], value)  # the value is the same
    for losses, learning in ((ours, (4, 2)), (official, (2, 1))):
        # Texts and the scale learn either way.
        leaves = [batch['class_embeds'][-1], batch['texts'][0], batch['logit_scale']]
        gradient, *others = torch.autograd.grad(losses['loss_noun'], leaves)
        assert all(other.any() for other in others)
        for image, count in enumerate(learning):
            rows = gradient[image].any(-1)
            assert rows.sum() == count and rows[batch['matches'][image][-1]].all()


@pytest.mark.parametrize(
    'classes, nouns',
    [
        ([(), ()], [(), ()]),
        ([('dog',), ()], [(), ()]),
        ([(), ()], [('tree',), ()]),
        ([('dog', 'cat', 'dog', 'cow', 'cat'), ()], [('tree', 'bush'), ()]),  # no query is free
        ([('dog', 'cat', 'dog', 'cow'), ()], [('tree', 'bush', 'a bush'), ()]),  # one query for three texts
    ],
    ids=['nothing', 'no nouns', 'no segments', 'no free query', 'too few free queries'],
)
@pytest.mark.parametrize('official', [False, True])
def test_edges_are_finite_and_stay_in_the_graph(classes, nouns, official):
    batch = make_batch(classes, nouns)
    losses = apply(NounContrastiveLoss(official=official), batch)
    assert len(losses) == 3 and all(loss.isfinite() for loss in losses.values())
    gradients = torch.autograd.grad(sum(losses.values()), [*batch['class_embeds'][1:], batch['logit_scale']])
    assert all(gradient.isfinite().all() for gradient in gradients)
    if not any(map(len, (*classes, *nouns))):
        assert all(loss.item() == 0 for loss in losses.values())
    else:
        assert losses['loss_noun'] > 0 or len(classes[0]) + len(nouns[0]) + len(nouns[1]) == 1  # one text: no choice


def test_more_segments_than_queries():
    batch = make_batch([('dog', 'cat', 'dog', 'cow', 'cat', 'owl', 'bee'), ('dog',)])
    batch['matches'][0] = torch.tensor([[2, -1, 0, 1, 3, -1, 4]] * LAYERS)
    losses = apply(NounContrastiveLoss(), batch)
    kept = dict(batch)
    rows = batch['matches'][0][0] >= 0
    kept['matches'] = [batch['matches'][0][:, rows], batch['matches'][1]]
    for name in ('class_texts', 'class_ids'):
        kept[name] = [batch[name][0][rows], batch[name][1]]
    for key, value in apply(NounContrastiveLoss(), kept).items():
        torch.testing.assert_close(losses[key], value)


def test_single_precision_under_autocast_and_nan():
    batch = make_batch()
    expected = apply(NounContrastiveLoss(), batch)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = apply(NounContrastiveLoss(), batch)
    assert all(torch.equal(losses[key], value) for key, value in expected.items())
    batch['texts'] = [text.bfloat16() for text in batch['texts']]
    batch['class_texts'] = [text.bfloat16() for text in batch['class_texts']]
    assert all(
        value.dtype == torch.float32 for value in apply(MODELS.build(dict(type='NounContrastiveLoss')), batch).values()
    )
    batch['class_embeds'][-1].data[1, 0, 0] = float('nan')
    with pytest.raises(ValueError, match=r'b.jpg: matching needs finite costs.*text cost in prediction layers \[2\]'):
        apply(NounContrastiveLoss(), batch, names=['a.jpg', 'b.jpg'])
