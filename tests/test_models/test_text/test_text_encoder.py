from unittest import mock

import pytest
import torch
from parity.cases import Case
from parity.weights import assert_golden, golden

from xdet.compat.official_weights import official_to_xdet
from xdet.models import XDecoderTextEncoder

PREFIX = 'sem_seg_head.predictor.lang_encoder.'


@pytest.fixture(scope='module')
def focal_t():
    return XDecoderTextEncoder().eval()


def _load(model, state):
    model.load_state_dict({key.removeprefix('text_encoder.'): value for key, value in official_to_xdet(state).items()})


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    return XDecoderTextEncoder(width=32, num_heads=4, num_layers=2, embed_dims=16, context_length=20)


@torch.no_grad()
def test_equals_golden(focal_t, focal_t_state):
    _load(focal_t, focal_t_state('golden', PREFIX))
    ids = focal_t.tokenize(['a photo of a dog .', 'dog'])
    assert_golden(focal_t(ids).pooled, golden('a')['text.class_emb'])
    # The reference padded with end tokens up to 77.
    padded = torch.full((2, 77), 49407)
    padded[0, :8], padded[1, :3] = ids[0], ids[1, :3]
    features = focal_t(padded)
    assert_golden(features.tokens, golden('a')['text.token_emb'])
    assert_golden(features.pooled, golden('a')['text.class_emb'])


@torch.no_grad()
def test_equals_recorded_case(focal_t, focal_t_state):
    case = Case('text_basic')
    _load(focal_t, focal_t_state('filler', PREFIX))
    ids = focal_t.tokenize(case.spec['phrases'])
    features = focal_t(ids)
    length = ids.shape[1]
    assert features.valid.sum(1).tolist() == case.arrays['attention_mask'].sum(1).tolist()
    assert torch.equal(ids[features.valid], torch.as_tensor(case.arrays['token_ids'])[:, :length][features.valid])
    case.assert_close('class_emb', features.pooled)
    expected = torch.as_tensor(case.arrays['token_emb'])[:, :length][features.valid]
    torch.testing.assert_close(features.tokens[features.valid][:, ::2], expected, rtol=0, atol=1.3e-4)


@torch.no_grad()
def test_padding_has_no_influence(tiny):
    short, together = tiny(['a dog']), tiny(['a dog', 'a cat on a very long red sofa'])
    torch.testing.assert_close(together.pooled[:1], short.pooled)
    torch.testing.assert_close(together.tokens[:1, :4], short.tokens)
    assert together.valid[0].tolist() == [True] * 4 + [False] * (together.valid.shape[1] - 4)


def test_a_phrase_of_200_words_is_read_in_part_and_the_user_is_told(tiny):
    phrase = 'the old dog of ' * 50
    with mock.patch('xdet.models.text.tokenizer.print_log') as log:
        features = tiny([phrase, 'dog'])
    assert features.tokens.shape == (2, 20, 16) and features.valid.sum(1).tolist() == [20, 3]
    assert torch.isfinite(features.tokens).all()
    notice = log.call_args.args[0]
    assert notice.startswith("text 'the old dog of the old dog") and 'has 202 tokens; only the first 20 are' in notice


def test_width_may_differ_from_the_embedding(tiny):
    features = tiny(['a dog', 'a cat'])
    assert features.tokens.shape == (2, 4, 16) and features.pooled.shape == (2, 16)
    assert tiny.token_embedding.weight.shape == (49408, 32)
    assert torch.equal(features.pooled, features.tokens[:, 3])


def test_logit_scale_starts_at_one(tiny):
    assert isinstance(tiny.logit_scale, torch.nn.Parameter) and tiny.logit_scale.item() == 1.0


def test_checkpointing_changes_no_gradient(tiny):
    gradients = []
    for with_cp in (False, True):
        tiny.set_grad_checkpointing(with_cp)
        tiny.zero_grad()
        tiny(['a red dog']).pooled.sum().backward()
        gradients.append({name: p.grad for name, p in tiny.named_parameters() if name != 'logit_scale'})
    assert all(torch.equal(gradients[0][name], gradients[1][name]) for name in gradients[0])


def test_bfloat16_stays_close(tiny):
    with torch.no_grad():
        expected = tiny(['a red dog']).pooled
        half = tiny.to(torch.bfloat16)(['a red dog']).pooled
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), expected, rtol=0.05, atol=0.05 * expected.abs().max().item())
