import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

from xdet.compat.official_weights import xdet_to_official
from xdet.engine import XDecoderOptimWrapperConstructor
from xdet.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS

CONFIG = Path(__file__).resolve().parents[3] / 'configs/xdecoder/xdecoder_focal-nano.py'
WRAPPER = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05))


@pytest.fixture(scope='module')
def model():
    init_default_scope('xdet')
    model = MODELS.build(Config.fromfile(CONFIG).model)
    # Parameters that later tasks own, under the names that the weight converter gives them.
    retrieval, captioning = nn.Module(), nn.Module()
    retrieval.backbone_proj = nn.Parameter(torch.zeros(4, 4))
    captioning.token_proj = nn.Parameter(torch.zeros(4, 4))
    captioning.position_embed = nn.Embedding(3, 4)
    model.tasks['retrieval'], model.tasks['captioning'] = retrieval, captioning
    return model


def groups_by_name(model, **paramwise_cfg):
    """``{parameter name: (lr multiplier, decayed)}`` as the optimizer has it."""
    optimizer = XDecoderOptimWrapperConstructor(WRAPPER, paramwise_cfg or None)(model).optimizer
    settings = {
        id(p): (round(group['lr'] / 1e-4, 6), group['weight_decay'] == 0.05)
        for group in optimizer.param_groups
        for p in group['params']
    }
    assert all(group['weight_decay'] in (0, 0.05) for group in optimizer.param_groups)
    assert len(settings) == len(list(model.parameters()))
    return {name: settings[id(p)] for name, p in model.named_parameters()}


def test_intended_groups(model):
    groups = groups_by_name(model)
    expected = {
        'backbone.patch_embed.proj.weight': (0.1, True),
        'backbone.patch_embed.proj.bias': (0.1, False),
        'backbone.layers.0.blocks.0.gamma_1': (0.1, False),
        'backbone.layers.0.blocks.0.norm1.weight': (0.1, False),
        'text_encoder.token_embedding.weight': (0.1, False),
        'text_encoder.positional_embedding': (0.1, False),
        'text_encoder.transformer.resblocks.0.ln_1.weight': (0.1, False),
        'text_encoder.transformer.resblocks.0.attn.in_proj_weight': (0.1, True),
        'text_encoder.text_projection': (0.1, True),
        'text_encoder.logit_scale': (0.1, False),
        'decoder.query_feat.weight': (1, False),
        'decoder.level_embed.weight': (1, False),
        'decoder.class_embed': (1, True),
        'decoder.layers.0.cross_attn.in_proj_weight': (1, True),
        'decoder.layers.0.cross_attn.in_proj_bias': (1, False),
        'decoder.layers.0.ffn_norm.weight': (1, False),
        'pixel_decoder.lateral_convs.0.gn.weight': (1, False),
        'pixel_decoder.lateral_convs.0.conv.weight': (1, True),
        'tasks.retrieval.backbone_proj': (1, True),
        'tasks.captioning.position_embed.weight': (1, False),
    }
    assert {name: groups[name] for name in expected} == expected
    for name, (_, decayed) in groups.items():
        assert not (decayed and re.search(r'norm|\.ln_|bias$|gamma|_embed(ding)?\.weight|positional', name)), name


def official_rule(name):
    """The rule on official names."""
    lr_mult = 0.1 if 'backbone' in name or 'lang_encoder' in name else 1
    torch_norm = re.search(r'norm\d?\.(weight|bias)$', name) and 'lang_encoder' not in name
    embedding = re.search(r'(query_feat|query_embed|level_embed|pos_embed_caping|token_embedding)\.weight$', name)
    return lr_mult, not (torch_norm or embedding)


def test_official_groups_equal_the_rule_on_official_names(model):
    groups = groups_by_name(model, official=True)
    official = xdet_to_official({name: torch.empty(0) for name in groups})
    names = dict(zip(groups, official, strict=True))
    assert names['tasks.retrieval.backbone_proj'] == 'backbone_proj'
    assert {name: groups[name] for name in names} == {name: official_rule(names[name]) for name in names}
    # The mistakes that `official` is there to reproduce.
    assert groups['tasks.retrieval.backbone_proj'] == (0.1, True)
    assert groups['text_encoder.transformer.resblocks.0.ln_1.weight'] == (0.1, True)
    assert groups['backbone.patch_embed.proj.bias'] == (0.1, True)
    assert groups['text_encoder.logit_scale'] == (0.1, True)


def test_multipliers_are_configurable_and_the_longest_path_wins(model):
    groups = groups_by_name(model, lr_mults={'backbone': 0.5, 'backbone.layers.0': 0.25})
    assert groups['backbone.patch_embed.proj.weight'][0] == 0.5
    assert groups['backbone.layers.0.blocks.0.gamma_1'][0] == 0.25
    assert groups['text_encoder.logit_scale'][0] == 1


def test_groups_are_few_and_skip_frozen_parameters(model):
    model.text_encoder.token_embedding.weight.requires_grad = False
    try:
        wrapper = OPTIM_WRAPPER_CONSTRUCTORS.build(
            dict(type='XDecoderOptimWrapperConstructor', optim_wrapper_cfg=WRAPPER, paramwise_cfg=None)
        )(model)
        parameters = [p for group in wrapper.optimizer.param_groups for p in group['params']]
        assert len(parameters) == len(list(model.parameters())) - 1
        assert len([group for group in wrapper.optimizer.param_groups if group['params']]) == 4
    finally:
        model.text_encoder.token_embedding.weight.requires_grad = True


def test_mistakes_are_named(model):
    with pytest.raises(ValueError, match='no option lr_mult; accepted are lr_mults, no_decay_names, official'):
        XDecoderOptimWrapperConstructor(WRAPPER, dict(lr_mult={}))
    with pytest.raises(ValueError, match="names 'lang_encoder', but the model has no parameters there.*text_encoder"):
        XDecoderOptimWrapperConstructor(WRAPPER, dict(lr_mults={'lang_encoder': 0.1}))(model)
