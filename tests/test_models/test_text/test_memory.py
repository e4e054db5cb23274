"""Texts asked of many images are encoded once, and never with features of other weights."""

import pytest
import torch

from xdet.models.text import TextMemory, XDecoderTextEncoder


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return XDecoderTextEncoder(width=16, num_heads=2, num_layers=2, embed_dims=8).eval()


def count_texts(encoder, monkeypatch):
    """Texts that reach the encoder, in order."""
    seen, forward = [], encoder.forward
    monkeypatch.setattr(encoder, 'forward', lambda texts: seen.extend(texts) or forward(texts))
    return seen


@torch.no_grad()
def test_features_are_those_of_the_encoder_at_real_length(encoder):
    texts = ['a dog', 'a much longer text about a cat', 'a dog']
    found = TextMemory(encoder).encode(texts)
    direct = encoder(texts)
    assert list(found) == texts[:2]
    for row, text in enumerate(texts):
        length = int(direct.valid[row].sum())
        assert found[text].tokens.shape == (length, 8)
        torch.testing.assert_close(found[text].tokens, direct.tokens[row, :length])
        torch.testing.assert_close(found[text].pooled, direct.pooled[row])


def test_remembered_in_evaluation_and_bounded(encoder, monkeypatch):
    memory, seen = TextMemory(encoder, capacity=2), count_texts(encoder, monkeypatch)
    with torch.no_grad():
        memory.encode(['a', 'b'])
        memory.encode(['b', 'a'])
        assert seen == ['a', 'b']
        memory.encode(['c'])
        memory.encode(['a'])
        assert seen == ['a', 'b', 'c']  # b was the oldest
        memory.encode(['b'])
    assert seen == ['a', 'b', 'c', 'b']


def test_gradients_reach_the_encoder_and_nothing_is_remembered(encoder, monkeypatch):
    memory, seen = TextMemory(encoder), count_texts(encoder, monkeypatch)
    for _ in range(2):
        memory.encode(['a'])['a'].pooled.sum().backward()
    assert seen == ['a', 'a']
    assert encoder.text_projection.grad.abs().sum() > 0


@pytest.mark.parametrize('change', ['weights', 'precision', 'autocast'])
def test_forgotten_when_something_changed(encoder, monkeypatch, change):
    memory, seen = TextMemory(encoder), count_texts(encoder, monkeypatch)
    with torch.no_grad():
        memory.encode(['a'])
        if change == 'weights':
            encoder.text_projection.mul_(2)
        elif change == 'precision':
            encoder.double()
        with torch.autocast('cpu', dtype=torch.bfloat16, enabled=change == 'autocast'):
            memory.encode(['a'])
    assert seen == ['a', 'a']


def test_usable_in_training_after_inference_mode(encoder):
    memory = TextMemory(encoder)
    with torch.inference_mode():
        memory.encode(['a'])
    with torch.no_grad():
        tokens = memory.encode(['a'])['a'].tokens
    assert not tokens.is_inference()
