import errno
import http.server
import io
import os
import pickle
import re
import threading
from functools import partial
from unittest import mock

import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.runner import checkpoint as mmengine_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader
from torch import nn

from xdet.compat import checkpoint as module
from xdet.compat.checkpoint import CheckpointError, load_weights, read_checkpoint, read_state_dict, save_weights
from xdet.compat.official_weights import xdet_to_official
from xdet.registry import MODELS
from xdet.structures import KnownWords, Vocabulary


def _model(**changes):
    torch.manual_seed(0)
    cfg = dict(
        type='XDecoder',
        backbone=dict(type='FocalNet', embed_dims=4, depths=(1, 1, 1, 1), focal_levels=(1, 1, 1, 1)),
        pixel_decoder=dict(
            type='FPNTransformerPixelDecoder',
            in_channels=(4, 8, 16, 32),
            feat_channels=32,
            num_layers=1,
            num_heads=2,
            feedforward_channels=8,
        ),
        text_encoder=dict(type='XDecoderTextEncoder', width=4, num_heads=2, num_layers=1, embed_dims=32),
        decoder=dict(
            type='XDecoderTransformerDecoder',
            num_queries=changes.get('num_queries', 5),
            embed_dims=32,
            num_heads=2,
            num_layers=1,
            feedforward_channels=8,
        ),
        tasks=dict(segmentation=dict(type='SegmentationTask')),
    )
    return MODELS.build(cfg)


@pytest.fixture(scope='module')
def source():
    """State dict of a model with random values everywhere."""
    from mmengine.registry import init_default_scope

    init_default_scope('xdet')
    return {
        key: torch.randn_like(value) if value.is_floating_point() else value
        for key, value in _model().state_dict().items()
    }


@pytest.fixture
def model():
    return _model()


def _equal(model, state, atol=0.0):
    own = model.state_dict()
    return all(torch.allclose(own[key], state[key].float(), rtol=0, atol=atol) for key in own)


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
        donor = _model()
        donor.load_state_dict(source)
        save_weights(donor, path, dtype=None)
    load_weights(model, str(path))
    assert _equal(model, source)


def test_half_precision_is_cast_to_the_models(model, source, tmp_path):
    model.load_state_dict(source)
    save_weights(model, tmp_path / 'half.safetensors')
    assert read_state_dict(tmp_path / 'half.safetensors')['decoder.class_embed'].dtype == torch.float16
    other = _model()
    load_weights(other, tmp_path / 'half.safetensors')
    assert other.decoder.class_embed.dtype == torch.float32
    assert _equal(other, source, atol=5e-3)


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
    assert _equal(model, before)  # nothing was loaded


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
    assert _equal(model, source)


def test_another_number_of_queries_is_named(source, tmp_path):
    torch.save(source, tmp_path / 'w.pth')
    line = r'write model = dict\(decoder=dict\(num_queries=5\)\) into the config, or add --cfg-options \S+=5; '
    with pytest.raises(CheckpointError, match=f'it has 5 queries, the model 9: {line}it has wrong shapes for 2'):
        load_weights(_model(num_queries=9), tmp_path / 'w.pth')


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


def _write_bad_file(kind, path, source):
    if kind == 'folder':
        path.mkdir()
    elif kind == 'text':
        path.write_text('hello, these are no weights\n' * 9)
    elif kind == 'empty':
        path.touch()
    elif kind == 'truncated':
        torch.save(source, path)
        path.write_bytes(path.read_bytes()[:100_000])
    elif kind == 'no dict':
        torch.save([1, 2], path)
    elif kind == 'no tensors':
        torch.save(dict(state_dict=dict(a=1)), path)
    elif kind == 'another model':
        torch.save(nn.Linear(2, 2).state_dict(), path)


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
@pytest.mark.parametrize(
    ('kind', 'reason'),
    [
        ('missing', 'does not exist'),
        ('folder', 'is a folder'),
        ('text', 'damaged'),
        ('empty', 'damaged'),
        ('truncated', 'damaged'),
        ('no dict', 'holds no weights|damaged'),
        ('no tensors', 'holds no weights|damaged'),
        ('another model', 'another model|damaged'),
    ],
)
def test_bad_files_end_in_one_clear_line(kind, reason, suffix, model, source, tmp_path):
    path = tmp_path / f'bad{suffix}'
    _write_bad_file(kind, path, source)
    with pytest.raises(CheckpointError, match=reason) as caught:
        load_weights(model, path)
    assert str(path) in str(caught.value) and '\n' not in str(caught.value)


class _Attack:
    def __reduce__(self):
        return os.mkdir, (_Attack.target,)


class _GetattrAttack:
    """Reaches for what mmengine's list of safe names would hand out."""

    def __reduce__(self):
        return getattr, (dict, '__subclasses__')


@pytest.mark.parametrize('attack', [_Attack, _GetattrAttack])
@pytest.mark.parametrize('plain_pickle', [False, True])
def test_pickled_code_is_refused_and_never_run(attack, plain_pickle, tmp_path):
    _Attack.target = str(tmp_path / 'pwned')
    path = tmp_path / 'evil.pth'
    if plain_pickle:
        path.write_bytes(pickle.dumps(dict(state_dict=attack()), protocol=2))
    else:
        torch.save(dict(state_dict=attack()), path)
    for read in (read_checkpoint, CheckpointLoader.load_checkpoint):
        with pytest.raises(CheckpointError, match=re.escape(f"'{path}' holds pickled code")):
            read(str(path))
    assert not (tmp_path / 'pwned').exists()


def test_training_checkpoints_of_mmengine_can_be_read(tmp_path):
    hub = MessageHub.get_instance('test_training_checkpoints')
    hub.update_scalar('train/loss', 0.5)
    hub.update_info('score', np.float64(0.25))
    linear = nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(linear.parameters())
    linear(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    random_state = np.random.get_state()
    checkpoint = dict(
        state_dict=linear.state_dict(),
        optimizer=optimizer.state_dict(),
        message_hub=hub.state_dict(),
        meta=dict(seed=1, random=random_state, flag=np.bool_(True)),
    )
    torch.save(checkpoint, tmp_path / 'iter_1.pth')
    loaded = CheckpointLoader.load_checkpoint(str(tmp_path / 'iter_1.pth'), map_location='cpu')
    assert loaded['message_hub']['log_scalars']['train/loss'].mean() == 0.5
    assert loaded['message_hub']['runtime_info']['score'] == 0.25
    assert np.array_equal(loaded['meta']['random'][1], random_state[1])
    assert torch.equal(loaded['state_dict']['weight'], linear.weight)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def served(tmp_path):
    """Folder and the URL under which it is served."""
    folder = tmp_path / 'served'
    folder.mkdir()
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with mock.patch.object(torch.hub, 'get_dir', return_value=str(tmp_path / 'hub')):
        yield folder, f'http://127.0.0.1:{server.server_port}'
    server.shutdown()
    server.server_close()


def test_urls_are_downloaded_once(served, model, source):
    folder, url = served
    torch.save(xdet_to_official(source), folder / 'w.pt')
    load_weights(model, f'{url}/w.pt')
    assert _equal(model, source)
    (folder / 'w.pt').unlink()
    load_weights(_model(), f'{url}/w.pt')  # from the copy


def test_urls_work_in_distributed_runs(served, model, source, tmp_path):
    folder, url = served
    torch.save(xdet_to_official(source), folder / 'w.pt')
    torch.distributed.init_process_group('gloo', init_method=f'file://{tmp_path}/rendezvous', rank=0, world_size=1)
    try:
        load_weights(model, f'{url}/w.pt')
    finally:
        torch.distributed.destroy_process_group()
    assert _equal(model, source)


def test_failed_download_leaves_nothing_behind(served, tmp_path):
    with pytest.raises(CheckpointError, match="cannot download '.*/missing.pt': .*404"):
        read_state_dict(f'{served[1]}/missing.pt')
    assert not list(tmp_path.rglob('*missing.pt*'))


def test_writing_is_all_or_nothing(model, tmp_path):
    path = tmp_path / 'folder' / 'w.safetensors'
    save_weights(model, path)
    content = path.read_bytes()
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with (
        mock.patch.object(module.safetensors.torch, 'save', side_effect=full),
        pytest.raises(CheckpointError, match=f"cannot write '{re.escape(str(path))}': No space left on device"),
    ):
        save_weights(model, path)
    assert path.read_bytes() == content
    assert os.listdir(path.parent) == ['w.safetensors']


def test_values_a_type_cannot_hold_are_refused(model, tmp_path):
    with torch.no_grad():
        model.decoder.class_embed[0, 0] = 1e6
    with pytest.raises(CheckpointError, match=r'float16 cannot hold the values of decoder\.class_embed'):
        save_weights(model, tmp_path / 'w.safetensors')
    save_weights(model, tmp_path / 'w.safetensors', dtype='bfloat16')


def test_what_the_weights_were_trained_on(tmp_path):
    """Own checkpoints name their classes; plain weights do not."""
    model = nn.Linear(2, 2)
    meta = dict(dataset_meta=dict(classes=('dog',), vocabulary=Vocabulary(('dog',), (True,))))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), tmp_path / 'own.pth')
    torch.save(model.state_dict(), tmp_path / 'plain.pth')
    assert load_weights(model, tmp_path / 'own.pth')['vocabulary'].names == ('dog',)
    assert load_weights(model, tmp_path / 'plain.pth') == {}


@pytest.mark.parametrize('place', [0.2, 0.5, 0.8])
def test_flipped_bits_are_found(model, source, tmp_path, place):
    path = tmp_path / 'w.pth'
    torch.save(source, path)
    data = bytearray(path.read_bytes())
    data[int(len(data) * place)] ^= 4
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"w.pth' is damaged"):
        load_weights(model, path)


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_values_that_are_not_finite_are_refused(model, source, tmp_path, value, suffix):
    key = 'decoder.query_feat.weight'
    weights = {**source, key: source[key].clone()}
    weights[key][1, 2] = value
    module.write_state_dict(weights, tmp_path / f'w{suffix}')
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


def test_pipes_are_no_checkpoints(tmp_path):
    os.mkfifo(tmp_path / 'w.pth')
    with pytest.raises(CheckpointError, match='pipe'):
        read_checkpoint(tmp_path / 'w.pth')


@pytest.mark.parametrize(
    'scheme', ['torchvision://resnet50', 'mmcls://vgg11', 'open-mmlab://detectron2/resnet50_caffe']
)
def test_other_schemes_go_through_the_safe_loader(monkeypatch, tmp_path, scheme):
    monkeypatch.setattr(_Attack, 'target', str(tmp_path / 'ran'), raising=False)
    seen = []
    monkeypatch.setattr(module, 'download', lambda url, path: (seen.append(url), torch.save(_Attack(), path)))
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    module.install_safe_loader(mmengine_checkpoint)
    with pytest.raises(CheckpointError, match='pickled code'):
        CheckpointLoader.load_checkpoint(scheme)
    assert seen[0].startswith('http') and not (tmp_path / 'ran').exists()


def test_buffers_of_other_storages_are_read_safely(monkeypatch, tmp_path):
    monkeypatch.setattr(_Attack, 'target', str(tmp_path / 'ran'), raising=False)
    buffer = io.BytesIO()
    torch.save(_Attack(), buffer)
    buffer.seek(0)
    with pytest.raises(CheckpointError, match='pickled code'):
        mmengine_checkpoint._safe_torch_load(buffer, map_location='cpu')


@pytest.mark.parametrize('value', [5, None, []])
def test_what_is_no_path_is_named(value):
    with pytest.raises(CheckpointError, match='checkpoint is .*; accepted are a path and a URL'):
        read_checkpoint(value)


KNOWN = KnownWords(('dog',), frozenset(['été']), also=('puppy',), others=('hat',), threshold=0.25)


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_training_vocabularies_travel_with_the_weights(source, tmp_path, suffix):
    model = _model()
    path = tmp_path / f'w{suffix}'
    save_weights(model, path, known_words=KNOWN)
    assert load_weights(_model(), path) == dict(known_words=KNOWN)
    assert read_state_dict(path).keys() == source.keys()
    loaded = mmengine_checkpoint.load_checkpoint(_model(), str(path), map_location='cpu', strict=True)
    assert loaded['meta']['known_words']['names'] == ['dog']


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_weights_without_a_vocabulary_bring_none(tmp_path, suffix):
    save_weights(_model(), tmp_path / f'w{suffix}')
    assert load_weights(_model(), tmp_path / f'w{suffix}') == {}
    assert 'meta' not in read_checkpoint(tmp_path / f'w{suffix}')


@pytest.mark.parametrize(
    ('header', 'reason'),
    [
        ('{"names": "dog"}', "'names' is no list of texts"),
        ('{"names": ', 'no object with keys'),
        ('[' * 100_000, 'no object with keys'),
        ('null', None),
    ],
)
def test_damaged_vocabularies_are_left_out(tmp_path, caplog, header, reason):
    model, path = _model(), tmp_path / 'w.safetensors'
    weights = {key: value.contiguous() for key, value in model.state_dict().items()}
    module.safetensors.torch.save_file(weights, path, metadata={'format': 'pt', 'known_words': header})
    messages = []
    with mock.patch.object(module, 'print_log', side_effect=lambda message, **_: messages.append(message)):
        assert load_weights(_model(), path) == {}
    assert (len(messages) == 1 and reason in messages[0] and 'w.safetensors' in messages[0]) if reason else not messages
