import json
import os
import re
from unittest import mock

import pytest
import safetensors.torch
import torch

from xdet.models.text import EmbeddingFileError, TextCache, XDecoderTextEncoder
from xdet.models.text import embedding_file as module
from xdet.models.text.embedding_file import EmbeddingFile, read_embeddings, write_embeddings
from xdet.structures import Vocabulary


def _vocabulary(*names):
    return Vocabulary(names, (True,) * len(names))


def _embedder(seed=0, embed_dims=16):
    torch.manual_seed(seed)
    return TextCache(XDecoderTextEncoder(width=32, num_heads=4, num_layers=1, embed_dims=embed_dims))


def _names_embedded(embedder, *names, prompt=True):
    """Names that are embedded, not known, when a vocabulary is asked for; and its embeddings."""
    with mock.patch.object(embedder, '_embed', wraps=embedder._embed) as embed:
        embeddings = embedder(_vocabulary(*names), prompt)
    return [name for call in embed.call_args_list for name, _ in call.args[0]], embeddings


@pytest.fixture
def path(tmp_path):
    embedder = _embedder()
    embedder(_vocabulary('dog', 'café', 'sky-other-merged'))
    embedder(_vocabulary('dog'), prompt=False)
    embedder.save(tmp_path / 'deep' / 'names.safetensors')
    return tmp_path / 'deep' / 'names.safetensors'


def test_only_unknown_names_are_embedded(path):
    _, expected = _names_embedded(_embedder(), 'owl', 'café', 'sky')
    embedder = _embedder()
    assert embedder.load(path) == 4 + 2
    new, embeddings = _names_embedded(embedder, 'owl', 'café', 'sky')
    assert new == ['owl']
    torch.testing.assert_close(embeddings, expected)
    assert _names_embedded(embedder, 'dog', prompt=False)[0] == []
    assert _names_embedded(embedder, 'café', prompt=False)[0] == ['café']


def test_saving_again_keeps_what_was_loaded(path):
    embedder = _embedder()
    embedder.load(path)
    embedder(_vocabulary('owl'))
    embedder.save(path)
    again = _embedder()
    assert again.load(path) == 7
    assert os.listdir(path.parent) == ['names.safetensors']


def test_the_bounded_memory_does_not_drop_loaded_names(path):
    embedder = _embedder()
    embedder.capacity = 1
    embedder.load(path)
    embedder(_vocabulary('owl', 'cat'))
    assert _names_embedded(embedder, 'dog', 'café', 'sky')[0] == []


def test_survives_clearing_and_precision_of_the_scale_but_not_other_weights(path):
    embedder = _embedder()
    embedder.load(path)
    embedder.clear()
    embedder.text_encoder.load_state_dict(embedder.text_encoder.state_dict())
    with torch.no_grad():
        embedder.text_encoder.logit_scale += 1  # embeddings do not depend on it
    with torch.inference_mode():
        assert _names_embedded(embedder, 'dog')[0] == []
    weight = torch.ones(16, requires_grad=True)
    (embedder(_vocabulary('dog')) * weight).sum().backward()
    with torch.no_grad():
        embedder.text_encoder.positional_embedding[0, 0] += 1
    with mock.patch('xdet.models.text.cache.print_log') as log:
        assert _names_embedded(embedder, 'dog')[0] == ['dog', 'background']
    assert 'read from a file are not used any more' in log.call_args.args[0]


def test_stale_names_are_not_saved(path):
    embedder = _embedder()
    embedder(_vocabulary('dog'))
    with torch.no_grad():
        embedder.text_encoder.positional_embedding[0, 0] += 1
    with pytest.raises(EmbeddingFileError, match='no class name was embedded yet'):
        embedder.save(path)


def test_other_weights_templates_and_widths_are_refused(path):
    with pytest.raises(EmbeddingFileError, match=r"names.safetensors' were made with other weights .* embed the names"):
        _embedder(seed=1).load(path)
    with pytest.raises(EmbeddingFileError, match='have 16 channels; the text encoder makes 8'):
        _embedder(embed_dims=8).load(path)
    with (
        mock.patch.object(module, 'templates', mock.Mock(TEMPLATES=('{}',))),
        pytest.raises(EmbeddingFileError, match='other prompt templ'),
    ):
        _embedder().load(path)


def test_the_fingerprint_covers_what_is_no_weight():
    encoder = _embedder().text_encoder
    fingerprint = encoder.fingerprint()
    assert _embedder().text_encoder.fingerprint() == fingerprint
    encoder.ln_final.eps = 1e-5
    assert encoder.fingerprint() != fingerprint
    assert encoder.to(torch.bfloat16).fingerprint() != fingerprint


def test_other_files_are_refused(tmp_path, path):
    with pytest.raises(EmbeddingFileError, match='do not exist'):
        _embedder().load(tmp_path / 'none.safetensors')
    other = tmp_path / 'weights.safetensors'
    safetensors.torch.save_file({'weight': torch.ones(2)}, other)
    with pytest.raises(EmbeddingFileError, match="weights.safetensors' holds no embeddings"):
        _embedder().load(other)
    other.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(EmbeddingFileError, match='are damaged'):
        _embedder().load(other)
    with safetensors.safe_open(path, framework='pt') as file:
        header = file.metadata()
    safetensors.torch.save_file({'embeddings': torch.ones(3, 16)}, other, metadata=header)
    with pytest.raises(EmbeddingFileError, match=r'damaged: 3 embeddings for 6 names'):
        _embedder().load(other)
    assert json.loads(header['names'])[:2] == ['dog', 'café']


def test_a_failed_write_leaves_the_file_as_it_was(path):
    before = path.read_bytes()
    embedder = _embedder()
    embedder(_vocabulary('owl'))
    with mock.patch('os.replace', side_effect=OSError(28, 'No space left on device')):
        with pytest.raises(EmbeddingFileError, match='cannot write .*No space left'):
            embedder.save(path)
    assert path.read_bytes() == before and os.listdir(path.parent) == [path.name]
    with pytest.raises(EmbeddingFileError, match="to .safetensors files, not to 'names.pt'"):
        embedder.save('names.pt')


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(embeddings=torch.tensor([[1.0, float('nan')], [1, 0]])), "embedding of 'a' is zero or not finite"),
        (dict(embeddings=torch.tensor([[1.0, 0], [0, 0]])), "embedding of 'b' is zero or not finite"),
        (dict(embeddings=torch.tensor([[1.0, 0], [float('inf'), 0]])), "embedding of 'b' is zero or not finite"),
        (dict(embeddings=torch.tensor([[1, 0], [0, 1]])), 'of type torch.int64'),
        (dict(names=['a', 5]), 'name 1 is 5'),
        (dict(names='ab'), "'names' is 'ab'"),
        (dict(prompted=['yes', True]), "'prompted' of name 0 is 'yes'"),
        (dict(encoder=5), "'encoder' is 5"),
        (dict(names=['a', 'a'], prompted=[True, True]), "name 1, 'a', is there twice"),
        (dict(names=['a', '']), "name 1, '', is empty"),
        (dict(names=['a', 'b\0']), 'cannot be printed'),
        (dict(templates=[1]), "'templates' is"),
    ],
)
def test_contents_of_another_kind(tmp_path, changes, message):
    good = dict(names=['a', 'b'], prompted=[True, False], embeddings=torch.eye(2), encoder='e', templates='t')
    write_embeddings(tmp_path / 'x.safetensors', EmbeddingFile(**good))
    assert read_embeddings(tmp_path / 'x.safetensors').names == ['a', 'b']
    write_embeddings(tmp_path / 'x.safetensors', EmbeddingFile(**{**good, **changes}))
    with pytest.raises(EmbeddingFileError, match=re.escape(message)):
        read_embeddings(tmp_path / 'x.safetensors')
