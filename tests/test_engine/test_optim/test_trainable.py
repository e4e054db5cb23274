"""Choosing what is trained: patterns, their mistakes, and what freezing means for modes, memory and the optimizer."""

from __future__ import annotations

import pytest
import torch
from mmengine.config import Config
from tiny.tools import CONFIG
from torch import nn

from xdet.engine.optim.optim_constructor import XDecoderOptimWrapperConstructor
from xdet.engine.optim.trainable import select_trainable, summary
from xdet.registry import MODELS

HEADS = ('decoder.class_embed', 'decoder.mask_embed.*')


@pytest.fixture
def model() -> nn.Module:
    return MODELS.build(Config.fromfile(str(CONFIG)).model)


def trained(model: nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_only_what_is_named_is_trained(model: nn.Module) -> None:
    names = select_trainable(model, HEADS)
    layers = {f'decoder.mask_embed.layers.{i}.{kind}' for i in range(3) for kind in ('weight', 'bias')}
    assert set(names) == trained(model) == {'decoder.class_embed', *layers}
    total = sum(parameter.numel() for parameter in model.parameters())
    own = 4 * 32 * 32 + 3 * 32
    assert summary(model) == (
        f'trains {own / 1e6:.3g} of {total / 1e6:.3g} M parameters ({own / total:.2%}): '
        'decoder.class_embed, decoder.mask_embed'
    )


def test_frozen_is_taken_from_trainable(model: nn.Module) -> None:
    select_trainable(model, frozen=('text_encoder', 'decoder.layers.*'))
    assert trained(model) == {
        name for name, _ in model.named_parameters() if not name.startswith(('text_encoder.', 'decoder.layers.'))
    }


def test_a_path_means_the_whole_module_but_not_its_namesakes(model: nn.Module) -> None:
    select_trainable(model, ('decoder.query_feat', 'decoder.layers.1'))
    assert {name.rsplit('.', 1)[0] for name in trained(model)} >= {'decoder.query_feat', 'decoder.layers.1.linear1'}
    assert all(name.startswith(('decoder.query_feat.', 'decoder.layers.1.')) for name in trained(model))


def test_selecting_again_forgets_the_earlier_selection(model: nn.Module) -> None:
    select_trainable(model, HEADS)
    select_trainable(model)
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert summary(model).endswith('(100.00%): everything')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(trainable=('decoder.class_embd',)), r"trainable: 'decoder.class_embd' fits no parameter; .*class_embed"),
        (dict(frozen=('lang_encoder.*',)), r"frozen: 'lang_encoder.\*' fits no parameter; there are .*text_encoder"),
        (dict(trainable=HEADS, frozen=('decoder.*',)), 'nothing is left to train'),
        (dict(trainable='decoder.*'), r"trainable is 'decoder.\*'; it must be a list of patterns"),
    ],
)
def test_mistakes_are_named(model: nn.Module, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        select_trainable(model, **options)


def test_many_layers_are_summed_up(model: nn.Module) -> None:
    select_trainable(model, ('*.bias',))
    assert 'decoder.layers.*.linear1.bias' not in summary(model)  # beyond those shown
    assert 'decoder.layers.0' not in summary(model) and summary(model).endswith(' more')


def test_frozen_parts_keep_no_gradients_and_no_drop_path(model: nn.Module) -> None:
    select_trainable(model, HEADS)
    model.train()
    assert not model.backbone.training and not model.text_encoder.training
    assert model.decoder.training and model.decoder.mask_embed.training and not model.decoder.layers.training
    features = model.encode(torch.rand(1, 3, 64, 64))
    output = model.decoder(features, model.decoder.latent_queries(1)).last
    assert not features.mask_features.requires_grad and not output.state.requires_grad
    assert output.class_embed.requires_grad and output.mask_embed.requires_grad


def test_the_optimizer_has_the_trained_parameters_only(model: nn.Module) -> None:
    select_trainable(model, HEADS)
    wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05))
    groups = XDecoderOptimWrapperConstructor(wrapper)(model).optimizer.param_groups
    own = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    assert {id(parameter) for group in groups for parameter in group['params']} == own
