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
from tiny.weights import equal_weights, small_model
from torch import nn

from xdet.compat import checkpoint as module
from xdet.compat.checkpoint import CheckpointError, read_checkpoint, read_state_dict, save_weights
from xdet.compat.fitting import load_weights
from xdet.compat.official_weights import xdet_to_official
from xdet.structures import KnownWords


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
    assert equal_weights(model, source)
    (folder / 'w.pt').unlink()
    load_weights(small_model(), f'{url}/w.pt')  # from the copy


def test_urls_work_in_distributed_runs(served, model, source, tmp_path):
    folder, url = served
    torch.save(xdet_to_official(source), folder / 'w.pt')
    torch.distributed.init_process_group('gloo', init_method=f'file://{tmp_path}/rendezvous', rank=0, world_size=1)
    try:
        load_weights(model, f'{url}/w.pt')
    finally:
        torch.distributed.destroy_process_group()
    assert equal_weights(model, source)


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


@pytest.mark.parametrize('place', [0.2, 0.5, 0.8])
def test_flipped_bits_are_found(model, source, tmp_path, place):
    path = tmp_path / 'w.pth'
    torch.save(source, path)
    data = bytearray(path.read_bytes())
    data[int(len(data) * place)] ^= 4
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"w.pth' is damaged"):
        load_weights(model, path)


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


def test_names_that_no_file_can_have(source, tmp_path):
    with pytest.raises(CheckpointError, match="checkpoint 'x+.*' cannot be read: File name too long"):
        read_checkpoint('x' * 5000)
    (tmp_path / 'loop.pth').symlink_to(tmp_path / 'loop.pth')
    with pytest.raises(CheckpointError, match=r"loop\.pth' cannot be read"):
        read_checkpoint(tmp_path / 'loop.pth')
    module.write_state_dict(source, tmp_path / 'a.safetensors')
    (tmp_path / 'a.safetensors').rename(tmp_path / 'A.SAFETENSORS')
    assert read_checkpoint(tmp_path / 'A.SAFETENSORS').keys() == source.keys()


KNOWN = KnownWords(('dog',), frozenset(['été']), also=('puppy',), others=('hat',), threshold=0.25)


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_training_vocabularies_travel_with_the_weights(source, tmp_path, suffix):
    model = small_model()
    path = tmp_path / f'w{suffix}'
    save_weights(model, path, known_words=KNOWN)
    assert load_weights(small_model(), path) == dict(known_words=KNOWN)
    assert read_state_dict(path).keys() == source.keys()
    loaded = mmengine_checkpoint.load_checkpoint(small_model(), str(path), map_location='cpu', strict=True)
    assert loaded['meta']['known_words']['names'] == ['dog']


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_weights_without_a_vocabulary_bring_none(tmp_path, suffix):
    save_weights(small_model(), tmp_path / f'w{suffix}')
    assert load_weights(small_model(), tmp_path / f'w{suffix}') == {}
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
    model, path = small_model(), tmp_path / 'w.safetensors'
    weights = {key: value.contiguous() for key, value in model.state_dict().items()}
    module.safetensors.torch.save_file(weights, path, metadata={'format': 'pt', 'known_words': header})
    messages = []
    with mock.patch.object(module, 'print_log', side_effect=lambda message, **_: messages.append(message)):
        assert load_weights(small_model(), path) == {}
    assert (len(messages) == 1 and reason in messages[0] and 'w.safetensors' in messages[0]) if reason else not messages
