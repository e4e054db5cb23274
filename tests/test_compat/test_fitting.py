"""Weights in any layout go into models, or it is said what does not fit."""

from unittest import mock

import pytest
import torch
from tiny.weights import equal_weights, small_model
from torch import nn

from xdet.compat import fitting as module
from xdet.compat.checkpoint import CheckpointError, read_state_dict, save_weights, write_state_dict
from xdet.compat.fitting import load_weights
from xdet.compat.official_weights import xdet_to_official
from xdet.structures import Vocabulary


@pytest.mark.parametrize('layout', ['own', 'mmengine', 'data parallel', 'official', 'official, trainer', 'safetensors'])
def test_every_layout_loads(layout, model, source, tmp_path):
    path = tmp_path / ('w.safetensors' if layout == 'safetensors' else 'w.pth')
    if layout == 'own':
        torch.save(source, path)
    elif layout == 'mmengine':
        torch.save(dict(meta={}, state_dict=source), path)
    elif layout == 'data parallel':
        torch.save({f'module.{key}': value for key, value in source.items()}, path)
    elif layout == 'official':
        computed = {'criterion.empty_weight': torch.ones(3), 'sem_seg_head.predictor.self_attn_mask': torch.ones(1, 2)}
        torch.save(xdet_to_official(source) | computed, path)
    elif layout == 'official, trainer':
        torch.save({f'module.model.{key}': value for key, value in xdet_to_official(source).items()}, path)
    else:
        donor = small_model()
        donor.load_state_dict(source)
        save_weights(donor, path, dtype=None)
    load_weights(model, str(path))
    assert equal_weights(model, source)


def test_half_precision_is_cast_to_the_models(model, source, tmp_path):
    model.load_state_dict(source)
    save_weights(model, tmp_path / 'half.safetensors')
    assert read_state_dict(tmp_path / 'half.safetensors')['decoder.class_embed'].dtype == torch.float16
    other = small_model()
    load_weights(other, tmp_path / 'half.safetensors')
    assert other.decoder.class_embed.dtype == torch.float32
    assert equal_weights(other, source, atol=5e-3)


def test_all_problems_are_listed_in_one_error(model, source, tmp_path):
    broken = dict(source, extra=torch.zeros(1), decoder_typo=torch.zeros(1))
    broken['text_encoder.ln_final.weight'] = torch.zeros(7)
    for index in range(3):
        del broken[f'decoder.mask_embed.layers.{index}.bias']
    before = {key: value.clone() for key, value in model.state_dict().items()}
    torch.save(broken, tmp_path / 'w.pth')
    with pytest.raises(CheckpointError) as caught:
        load_weights(model, tmp_path / 'w.pth')
    message = str(caught.value)
    assert '\n' not in message and 'w.pth' in message
    assert 'it lacks 3: decoder.mask_embed.layers.0.bias, ' in message
    assert 'it has unknown 2: extra, decoder_typo' in message
    assert 'wrong shapes for 1: text_encoder.ln_final.weight (7,) in the file, (4,) in it' in message
    assert equal_weights(model, before)  # nothing was loaded


def test_long_lists_are_cut(model, source, tmp_path):
    torch.save({key: value for key, value in source.items() if not key.startswith('decoder.')}, tmp_path / 'w.pth')
    with pytest.raises(CheckpointError, match=r'it lacks \d\d: .*, and \d+ more$'):
        load_weights(model, tmp_path / 'w.pth')


def test_problems_can_be_allowed_by_name(model, source, tmp_path):
    changed = {key: value for key, value in source.items() if not key.startswith('decoder.mask_embed.')}
    changed |= {'extra': torch.zeros(1), 'text_encoder.ln_final.weight': torch.zeros(7)}
    torch.save(changed, tmp_path / 'w.pth')
    load_weights(model, tmp_path / 'w.pth', ['decoder.mask_embed.*', 'text_encoder.ln_final.weight'], ['ext*'])
    assert torch.equal(model.decoder.class_embed, source['decoder.class_embed'])
    assert torch.equal(model.text_encoder.ln_final.weight, torch.ones(4))  # kept
    with pytest.raises(CheckpointError, match='lacks 6'):
        load_weights(model, tmp_path / 'w.pth', ['text_encoder.*'], ['extra'])


def test_tasks_the_model_does_not_have_are_skipped(model, source, tmp_path):
    state = source | {'tasks.captioning.token_proj': torch.zeros(2, 2), 'tasks.vqa.query_feat.weight': torch.zeros(2)}
    torch.save(state, tmp_path / 'w.pth')
    with mock.patch.object(module, 'print_log') as log:
        load_weights(model, tmp_path / 'w.pth')
    assert 'captioning, vqa' in log.call_args_list[0].args[0]
    assert equal_weights(model, source)


def test_another_number_of_queries_is_named(source, tmp_path):
    torch.save(source, tmp_path / 'w.pth')
    line = r'write model = dict\(decoder=dict\(num_queries=5\)\) into the config, or add --cfg-options \S+=5; '
    with pytest.raises(CheckpointError, match=f'it has 5 queries, the model 9: {line}it has wrong shapes for 2'):
        load_weights(small_model(num_queries=9), tmp_path / 'w.pth')


@pytest.mark.parametrize(
    ('stem', 'channels', 'queries', 'config'),
    [
        ('patch_embed', 96, 101, 'xdecoder_focal-t'),
        ('patch_embed', 192, 101, 'xdecoder_focal-l_oq101'),
        ('patch_embed', 192, 201, 'xdecoder_focal-l'),
        ('stem', 128, 201, 'xdecoder_davit-d3'),
        ('stem', 256, 201, 'xdecoder_davit-d5'),
    ],
)
def test_the_fitting_config_is_named(stem, channels, queries, config, model, source, tmp_path):
    state = {key: value for key, value in source.items() if not key.startswith('backbone.patch_embed.')}
    state[f'backbone.{stem}.norm.weight'] = torch.zeros(channels)
    state['decoder.query_feat.weight'] = torch.zeros(queries, 32)
    torch.save(xdet_to_official(state), tmp_path / 'w.pt')
    with pytest.raises(
        CheckpointError, match=f"it has {queries} queries, the model 5.*; the config '{config}' fits it"
    ):
        load_weights(model, tmp_path / 'w.pt')


def test_what_the_weights_were_trained_on(tmp_path):
    """Own checkpoints name their classes; plain weights do not."""
    model = nn.Linear(2, 2)
    meta = dict(dataset_meta=dict(classes=('dog',), vocabulary=Vocabulary(('dog',), (True,))))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), tmp_path / 'own.pth')
    torch.save(model.state_dict(), tmp_path / 'plain.pth')
    assert load_weights(model, tmp_path / 'own.pth')['vocabulary'].names == ('dog',)
    assert load_weights(model, tmp_path / 'plain.pth') == {}


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_values_that_are_not_finite_are_refused(model, source, tmp_path, value, suffix):
    key = 'decoder.query_feat.weight'
    weights = {**source, key: source[key].clone()}
    weights[key][1, 2] = value
    write_state_dict(weights, tmp_path / f'w{suffix}')
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=f'not finite .* in 1 of .* such as {key}'):
        load_weights(model, tmp_path / f'w{suffix}')
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


@pytest.mark.parametrize('dtype', [torch.int8, torch.uint8, torch.bool, torch.int64])
def test_other_types_are_refused(model, source, tmp_path, dtype):
    key = 'decoder.query_feat.weight'
    torch.save({**source, key: source[key].to(dtype)}, tmp_path / 'w.pth')
    with pytest.raises(CheckpointError, match=rf'wrong types for 1: {key} {dtype} in the file, torch.float32 in it'):
        load_weights(model, tmp_path / 'w.pth')


@pytest.mark.parametrize(
    'change, message',
    [
        (lambda w: w.to(torch.complex64), 'sparse, quantized, complex or empty'),
        (lambda w: w.to_sparse(), 'sparse, quantized, complex or empty'),
        (lambda w: w.to('meta'), 'sparse, quantized, complex or empty|damaged'),
        (lambda w: w.sum(), r'wrong shapes for 1: .* \(\) in the file'),
    ],
)
def test_tensors_that_hold_no_plain_numbers(model, source, tmp_path, change, message):
    key = 'decoder.query_feat.weight'
    torch.save({**source, key: change(source[key])}, tmp_path / 'w.pth')
    with pytest.raises(CheckpointError, match=message):
        load_weights(model, tmp_path / 'w.pth')


def test_names_that_are_numbers(model, tmp_path):
    torch.save({3: torch.zeros(2)}, tmp_path / 'w.pth')
    with pytest.raises(CheckpointError, match='3 is no name of a parameter'):
        load_weights(model, tmp_path / 'w.pth')


@pytest.mark.parametrize(
    'meta',
    [5, 'text', [1], dict(dataset_meta=5), dict(dataset_meta=dict(vocabulary=5, classes=dict(a=1)))],
)
def test_meta_of_other_types_is_left_out(model, source, tmp_path, meta):
    torch.save(dict(state_dict=source, meta=meta), tmp_path / 'w.pth')
    assert load_weights(model, tmp_path / 'w.pth') == {}
