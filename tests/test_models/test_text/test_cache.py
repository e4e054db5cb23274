"""Texts and class names asked of many images are encoded once, and never with features of other weights."""

import copy

import pytest
import torch

from xdet.models.text import TextCache, XDecoderTextEncoder
from xdet.structures import Vocabulary


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
    known = {}
    found, direct = TextCache(encoder).whole(texts, known), encoder(texts)
    assert list(known) == texts[:2]
    assert torch.equal(found.valid, direct.valid)
    torch.testing.assert_close(found.tokens[found.valid], direct.tokens[direct.valid])
    torch.testing.assert_close(found.pooled, direct.pooled)
    for row, text in enumerate(texts):
        assert len(known[text].tokens) == direct.valid[row].sum()


def test_remembered_in_evaluation_and_bounded(encoder, monkeypatch):
    memory, seen = TextCache(encoder, max_texts=2), count_texts(encoder, monkeypatch)
    with torch.no_grad():
        memory.whole(['a', 'b'])
        memory.whole(['b', 'a'])
        assert seen == ['a', 'b']
        memory.whole(['c'])
        memory.whole(['a'])
        assert seen == ['a', 'b', 'c']  # b was the oldest
        memory.whole(['b'])
    assert seen == ['a', 'b', 'c', 'b']


def test_gradients_reach_the_encoder_and_nothing_is_remembered(encoder, monkeypatch):
    memory, seen = TextCache(encoder), count_texts(encoder, monkeypatch)
    for _ in range(2):
        memory.whole(['a']).pooled.sum().backward()
    assert seen == ['a', 'a']
    assert encoder.text_projection.grad.abs().sum() > 0


@pytest.mark.parametrize('change', ['weights', 'data', 'swap', 'another tensor', 'precision', 'autocast'])
def test_forgotten_when_something_changed(encoder, monkeypatch, change):
    memory, seen = TextCache(encoder), count_texts(encoder, monkeypatch)
    with torch.no_grad():
        memory.whole(['a'])
        if change == 'weights':
            encoder.text_projection.mul_(2)
        elif change == 'data':
            encoder.positional_embedding.data.mul_(2)  # leaves no trace but the values
        elif change == 'swap':  # as a hook of averaged weights does, which need not leave evaluation
            for parameter in encoder.parameters():
                parameter.data.copy_(parameter.data + 0.01)
        elif change == 'another tensor':
            encoder.positional_embedding.data = encoder.positional_embedding.data.clone()
        elif change == 'precision':
            encoder.double()
        with torch.autocast('cpu', dtype=torch.bfloat16, enabled=change == 'autocast'):
            memory.whole(['a'])
    assert seen == ['a', 'a']


def test_usable_in_training_after_inference_mode(encoder):
    memory = TextCache(encoder)
    with torch.inference_mode():
        memory.whole(['a'])
    with torch.no_grad():
        tokens = memory.whole(['a']).tokens
    assert not tokens.is_inference()


NAMES = Vocabulary(('television', 'bag'), (True, True), (('tv', 'screen'), ('handbag',)))


def test_the_table_of_a_vocabulary_is_remembered(encoder, monkeypatch):
    cache = TextCache(encoder)
    table = cache.classes(NAMES)
    monkeypatch.setattr(cache, '_table', None)  # nothing is put together anew
    again = Vocabulary(NAMES.names, NAMES.is_thing, NAMES.prompts)
    assert cache.classes(again) is table and cache(again) is table


@pytest.mark.parametrize('change', ['data', 'swap', 'clear'])
def test_tables_do_not_outlive_the_weights(encoder, change):
    cache = TextCache(encoder)
    with torch.no_grad():
        before = cache.classes(NAMES)
        if change == 'clear':
            cache.clear()
        else:
            for parameter in list(encoder.parameters())[: 1 if change == 'data' else None]:
                parameter.data.mul_(1.5)
        after = cache.classes(NAMES)
    assert after is not before and (torch.equal(before, after) == (change == 'clear'))


def test_averaged_weights_swapped_in_evaluation(encoder):
    """As MMEngine's EMAHook swaps them: values are exchanged in place, through ``data``."""
    averaged = copy.deepcopy(encoder)
    with torch.no_grad():
        for parameter in averaged.parameters():
            parameter.mul_(0.5)
        expected, cache = TextCache(averaged).whole(['a dog']).pooled, TextCache(encoder)
        before = cache.whole(['a dog']).pooled
        for own, other in zip(encoder.parameters(), averaged.parameters(), strict=True):
            kept = own.data.clone()
            own.data.copy_(other.data)
            other.data.copy_(kept)
        swapped = cache.whole(['a dog']).pooled
    torch.testing.assert_close(swapped, expected)
    assert not torch.allclose(swapped, before)


def test_a_copy_of_a_model_has_a_memory_of_its_own(encoder):
    cache = TextCache(encoder)
    before = cache.classes(NAMES)
    other = copy.deepcopy(cache)
    with torch.no_grad():
        other.text_encoder.text_projection.data.mul_(-1)
    assert not torch.allclose(other.classes(NAMES), before) and cache.classes(NAMES) is before


def test_training_remembers_texts_of_a_frozen_encoder(encoder, monkeypatch):
    """Also while the temperature, which no feature depends on, learns."""
    encoder.requires_grad_(False)
    encoder.logit_scale.requires_grad_(True)
    memory, seen = TextCache(encoder), count_texts(encoder, monkeypatch)
    names = []
    monkeypatch.setattr(memory, '_embed', lambda keys, embed=memory._embed: names.extend(keys) or embed(keys))
    for _ in range(2):
        whole, named = memory.whole(['a', 'b']), memory.encode(['c', 'a', 'c'])
        with torch.no_grad():
            encoder.logit_scale += 0.1
    assert seen == ['a', 'b'] and names == [('c', False), ('a', False)]
    assert not whole.pooled.requires_grad and not named.requires_grad
    torch.testing.assert_close(named[1], whole.pooled[0] / whole.pooled[0].norm())
    torch.testing.assert_close(named, super(TextCache, memory).encode(['c', 'a', 'c']))
    with torch.no_grad():
        encoder.text_projection.mul_(2)
    assert not torch.equal(memory.whole(['a', 'b']).pooled, whole.pooled)


def test_one_learning_weight_makes_texts_learn(encoder, monkeypatch):
    encoder.requires_grad_(False)
    encoder.text_projection.requires_grad_(True)
    memory, seen = TextCache(encoder), count_texts(encoder, monkeypatch)
    for _ in range(2):
        assert memory.whole(['a']).pooled.requires_grad and memory.encode(['a']).requires_grad
    assert seen == ['a'] * 4


def test_what_inference_embedded_can_be_saved_outside_of_it(encoder, tmp_path):
    memory = TextCache(encoder)
    with torch.no_grad():
        memory(Vocabulary.from_prompts(things='dog . cat'))
    memory.save(tmp_path / 'names.safetensors')
    assert TextCache(encoder).load(tmp_path / 'names.safetensors') >= 2
    with torch.no_grad():
        encoder.text_projection.mul_(2)
    with pytest.raises(ValueError, match='no class name was embedded yet'):
        memory.save(tmp_path / 'other.safetensors')
