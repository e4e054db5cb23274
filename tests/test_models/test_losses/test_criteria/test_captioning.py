import math

import pytest
import torch

from xdet.models.losses import CaptionLoss
from xdet.registry import MODELS

LAYERS = 4


def test_hand_computed():
    """Two captions over three words; a table that makes probabilities plain numbers."""
    table = torch.eye(3)
    ids = torch.tensor([[0, 1, 2], [0, 2, 0]])
    valid = torch.tensor([[True, True, True], [True, True, False]])
    embeds = torch.tensor(
        [
            # log(2): the right word is as probable as both others together, log(4): four times each other
            [[0.0, math.log(2), 0.0], [0.0, 0.0, math.log(4)], [9.0, 9.0, 9.0]],
            [[0.0, 0.0, 0.0], [5.0, 6.0, 7.0], [9.0, 9.0, 9.0]],
        ]
    )
    losses = CaptionLoss(weight=8.0)([torch.zeros_like(embeds)] * (LAYERS - 1) + [embeds], table, ids, valid)
    # Scored are three tokens, of probabilities 1/2, 2/3 and 1/3; the divisor is their number plus one.
    expected = 8 * -(math.log(1 / 2) + math.log(2 / 3) + math.log(1 / 3)) / 4
    assert losses['loss_captioning'].item() == pytest.approx(expected, rel=1e-6)
    assert losses['d2.loss_captioning'].item() == pytest.approx(8 * 3 * math.log(3) / 4, rel=1e-6)
    assert set(losses) == {'loss_captioning', 'd1.loss_captioning', 'd2.loss_captioning'}


def make_batch(captions=2, length=6, seed=0):
    torch.manual_seed(seed)
    lengths = torch.tensor([length, length - 2][:captions])
    return dict(
        caption_embeds=[torch.randn(captions, length, 8, requires_grad=True) for _ in range(LAYERS)],
        token_embedding=torch.randn(20, 8, requires_grad=True),
        ids=torch.randint(20, (captions, length)),
        valid=torch.arange(length) < lengths[:, None],
    )


def test_padding_changes_nothing_and_learns_nothing():
    batch = make_batch()
    short = CaptionLoss()(**batch)
    padded = dict(batch)
    padded['caption_embeds'] = [torch.cat([e, torch.full((2, 3, 8), 7.0)], 1) for e in batch['caption_embeds']]
    padded['ids'] = torch.cat([batch['ids'], torch.randint(20, (2, 3))], 1)
    padded['valid'] = torch.cat([batch['valid'], torch.zeros(2, 3, dtype=torch.bool)], 1)
    for key, value in CaptionLoss()(**padded).items():
        torch.testing.assert_close(value, short[key])
    sum(short.values()).backward()
    gradient = batch['caption_embeds'][-1].grad
    assert gradient[0, :5].abs().sum(-1).all() and not gradient[0, 5].any()  # the last token predicts nothing
    assert gradient[1, :3].abs().sum(-1).all() and not gradient[1, 3:].any()
    assert batch['token_embedding'].grad.any() and batch['caption_embeds'][0].grad is None


def test_no_captions_is_zero_and_stays_in_the_graph():
    batch = make_batch(captions=0)
    losses = CaptionLoss()(**batch)
    assert all(loss.item() == 0 for loss in losses.values())
    sum(losses.values()).backward()
    assert not batch['token_embedding'].grad.any() and batch['caption_embeds'][-1].grad is not None


def test_single_precision_under_autocast():
    batch = make_batch()
    expected = CaptionLoss()(**batch)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = CaptionLoss()(**batch)
    for key, value in expected.items():
        assert losses[key].dtype == torch.float32 and torch.equal(losses[key], value)
    batch['caption_embeds'] = [embed.bfloat16() for embed in batch['caption_embeds']]
    assert CaptionLoss()(**batch)['loss_captioning'].dtype == torch.float32


def test_number_of_layers_and_errors():
    batch = make_batch()
    loss = MODELS.build(dict(type='CaptionLoss', num_layers=9))
    assert len(loss(**batch)) == LAYERS
    with pytest.raises(ValueError, match='num_layers is 0; a loss needs at least 1'):
        CaptionLoss(num_layers=0)(**batch)
    batch['ids'] = batch['ids'][:, 1:]
    with pytest.raises(ValueError, match=r'caption queries \(2, 6, 8\), ids \(2, 5\)'):
        loss(**batch)
