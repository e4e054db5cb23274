from pathlib import Path

import pytest
import torch
from mmengine import Config
from parity.weights import is_stored, official_keys

from xdet.compat.official_weights import is_official, official_to_xdet, xdet_to_official
from xdet.registry import MODELS

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'xdecoder'
TASK_KEYS = {
    'backbone_proj': 'tasks.retrieval.backbone_proj',
    'sem_seg_head.predictor.caping_embed': 'tasks.captioning.token_proj',
    'sem_seg_head.predictor.pos_embed_caping.weight': 'tasks.captioning.position_embed.weight',
    'sem_seg_head.predictor.query_feat_caping.weight': 'tasks.vqa.query_feat.weight',
    'sem_seg_head.predictor.vqa_classifier.3.bias': 'tasks.vqa.classifier.3.bias',
}


def _state(name):
    """Official state dict without memory behind it."""
    return {key: torch.empty(shape, device='meta') for key, shape in official_keys(name).items()}


@pytest.mark.parametrize('name', ['focal-t', 'focal-l', 'davit-d3', 'davit-d5'])
def test_round_trip_of_complete_key_lists(name):
    official = _state(name)
    converted = official_to_xdet(official)
    assert {key.split('.')[0] for key in converted} == {
        'backbone',
        'pixel_decoder',
        'decoder',
        'text_encoder',
        'tasks',
    }
    # Every entry but the computed ones survives, under a name of its own and with the same tensor.
    assert len(converted) == len(official) - 2
    back = xdet_to_official(converted)
    assert back.keys() == {key for key in official if is_stored(key)}
    assert all(back[key] is official[key] for key in back)


@pytest.mark.parametrize(
    ('config', 'name', 'queries'),
    [
        ('xdecoder_focal-t', 'focal-t', 101),
        ('xdecoder_focal-l', 'focal-l', 201),
        ('xdecoder_focal-l_oq101', 'focal-l', 101),
        ('xdecoder_davit-d3', 'davit-d3', 201),
        ('xdecoder_davit-d5', 'davit-d5', 201),
    ],
)
def test_names_and_shapes_are_those_of_the_model(config, name, queries):
    with torch.device('meta'):
        model = MODELS.build(Config.fromfile(CONFIGS / f'{config}.py').model)
    own = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    converted = {key: tuple(value.shape) for key, value in official_to_xdet(_state(name)).items()}
    for key in ('decoder.query_feat.weight', 'decoder.query_embed.weight'):
        converted[key] = (queries, 512)
    tasks = {key.split('.')[1] for key in own if key.startswith('tasks.')}
    assert own == {
        key: shape for key, shape in converted.items() if not key.startswith('tasks.') or key.split('.')[1] in tasks
    }


@pytest.mark.parametrize(('official', 'ours'), TASK_KEYS.items())
def test_parameters_of_one_task_belong_to_it(official, ours):
    tensor = torch.zeros(1)
    assert official_to_xdet({official: tensor}) == {ours: tensor}
    assert xdet_to_official({ours: tensor}) == {official: tensor}


@pytest.mark.parametrize(
    ('official', 'ours'),
    [
        (
            'sem_seg_head.pixel_decoder.adapter_1.norm.weight',
            'pixel_decoder.lateral_convs.0.gn.weight',
        ),
        ('backbone.convs.0.proj.weight', 'backbone.stem.conv.weight'),
        ('backbone.convs.2.norm.bias', 'backbone.stages.2.downsample.norm.bias'),
        (
            'backbone.blocks.2.8.channel_block.channel_attn.fn.qkv.weight',
            'backbone.stages.2.blocks.8.channel_block.attn.qkv.weight',
        ),
        ('sem_seg_head.pixel_decoder.layer_3.weight', 'pixel_decoder.output_convs.2.conv.weight'),
        ('sem_seg_head.pixel_decoder.layer_4.norm.bias', 'pixel_decoder.encoder_out_proj.gn.bias'),
        (
            'sem_seg_head.predictor.transformer_cross_attention_layers.8.multihead_attn.out_proj.bias',
            'decoder.layers.8.cross_attn.out_proj.bias',
        ),
        (
            'sem_seg_head.predictor.lang_encoder.lang_encoder.resblocks.11.mlp.c_fc.bias',
            'text_encoder.transformer.resblocks.11.mlp.c_fc.bias',
        ),
        ('sem_seg_head.predictor.lang_encoder.lang_proj', 'text_encoder.text_projection'),
    ],
)
def test_examples(official, ours):
    assert list(official_to_xdet({official: torch.zeros(1)})) == [ours]


@pytest.mark.parametrize('prefix', ['module.', 'model.', 'module.model.'])
def test_wrapper_prefixes_are_tolerated(prefix):
    official = _state('focal-t')
    wrapped = {prefix + key: value for key, value in official.items()}
    assert is_official(wrapped)
    assert official_to_xdet(wrapped) == official_to_xdet(official)


def test_layout_is_recognised():
    official = _state('focal-t')
    assert is_official(official)
    assert not is_official(official_to_xdet(official))
    assert not is_official({})


@pytest.mark.parametrize('convert', [official_to_xdet, xdet_to_official])
def test_unknown_entries(convert):
    state = {'backbone.norm0.bias': torch.zeros(1), 'head.weight': torch.zeros(1)}
    with pytest.raises(ValueError, match=r'1 entries are not names of .*: head\.weight'):
        convert(state)
    assert set(convert(state, strict=False)) == set(state)


def test_layout_of_the_official_vqa_checkpoint():
    """Everything of Focal-T plus learned question content and the classifier, with the official names and shapes."""
    vqa = {
        'query_feat_caping.weight': (77, 512),
        'vqa_classifier.0.weight': (1024, 512),
        'vqa_classifier.0.bias': (1024,),
        'vqa_classifier.1.weight': (1024,),
        'vqa_classifier.1.bias': (1024,),
        'vqa_classifier.3.weight': (3129, 1024),
        'vqa_classifier.3.bias': (3129,),
    }
    official = official_keys('focal-t') | {f'sem_seg_head.predictor.{key}': shape for key, shape in vqa.items()}
    state = official_to_xdet({key: torch.empty(shape, device='meta') for key, shape in official.items()})
    with torch.device('meta'):
        model = MODELS.build(Config.fromfile(CONFIGS / 'xdecoder_focal-t_vqa.py').model)
    assert {key: tuple(value.shape) for key, value in model.state_dict().items()} == {
        key: tuple(value.shape) for key, value in state.items()
    }
