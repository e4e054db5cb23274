"""What the runtime does with numpy, against what the toolkit does with other libraries."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from open_clip.tokenizer import default_bpe
from PIL import Image
from safetensors.numpy import save
from tiny.mutation import damaged, mutated

from xdet.datasets.transforms import ResizeShortestEdge
from xdet.export.sizes import size_rule
from xdet.io.reading import file_sha256
from xdet.models.decoder import resize_regions as torch_regions
from xdet.models.decoder.resizing import shrinking_matrix
from xdet.models.numerics.resizing import resizing_matrix as torch_matrix
from xdet.models.text.embedding_file import read_embeddings, templates_fingerprint
from xdet.models.text.tokenizer import decode, tokenize
from xdet.runtime.generation import _sample
from xdet.runtime.masks import mask_results, overlaps
from xdet.runtime.model import FORMAT, ExportedModel, ExportError
from xdet.runtime.regions import resize_regions
from xdet.runtime.resizing import network_image, resizing_matrix
from xdet.runtime.texts import Texts
from xdet.runtime.texts import _read as read_table
from xdet.runtime.tokenizer import Tokenizer
from xdet.structures import mask_results as toolkit_results
from xdet.structures.generation import GenerationSettings
from xdet.tasks.generation import _Nucleus


@pytest.fixture(scope='module')
def tokenizer() -> Tokenizer:
    return Tokenizer(Path(default_bpe()), 77)


@pytest.mark.parametrize(
    'text',
    [
        *('a photo of a dog.', '', 'Zebras   running!!! 3 times', "it's the dogs' 1234 naïve cafés", 'aaaaaaa banana'),
        *(
            '<end_of_text> is text',
            '&lt;b&gt; &amp;amp; x',
            '日本語 und Ökologie 🙂',
            'x' * 300,
            'word ' * 100,
            '\ud800',
        ),
    ],
)
def test_tokens(tokenizer: Tokenizer, text: str) -> None:
    try:
        expected = tokenize([text, 'a'])
    except UnicodeEncodeError:  # half a surrogate pair
        assert tokenizer([text]).shape[1] >= 2
        return
    assert tokenizer([text, 'a']).tolist() == expected.tolist()
    assert tokenizer.decode(expected[0].tolist()) == decode(expected[0].tolist())


def manifest(folder: Path) -> dict[str, Any]:
    """Of a graph that is the empty file ``data``."""
    empty = dict(file='data', bytes=0, sha256=file_sha256(folder / 'data'))
    text = dict(tokens='tokens.gz', context_length=77, templates=['a {}.'], encoder='e', templates_sha256='t')
    graphs = dict(a=dict(empty, inputs=[], outputs=[]))
    return dict(format=FORMAT, data=dict(empty), graphs=graphs, tasks={}, text=text)


@pytest.mark.parametrize(
    'change, told',
    [
        (lambda facts: facts.pop('text'), "model.json: 'text' is missing"),
        (lambda facts: facts['text'].pop('templates'), "model.json: 'text': 'templates' is missing; it must be a list"),
        (lambda facts: facts['text'].update(templates=['a']), "the template 'a' has no single place"),
        (lambda facts: facts['text'].update(context_length='x'), "context_length is 'x'; accepted are whole numbers"),
        (lambda facts: facts['graphs']['a'].pop('sha256'), "model.json: graph 'a': 'sha256' is missing"),
        (lambda facts: facts['graphs'].update(a=5), "model.json: graph 'a': is 5; it must be an object with keys"),
        (lambda facts: facts['graphs']['a'].update(inputs=[5]), "graph 'a': an entry of 'inputs' is 5"),
        (lambda facts: facts['graphs']['a'].update(file='../a.onnx'), "names the file '../a.onnx'; accepted are files"),
        (lambda facts: facts['data'].update(file='/etc/passwd'), "names the file '/etc/passwd'"),
    ],
)
def test_damaged_manifest(change: Callable[[dict], Any], told: str, tmp_path: Path) -> None:
    pytest.importorskip('onnxruntime', reason='onnxruntime is not installed (requirements/export.txt)')
    (tmp_path / 'data').write_bytes(b'')
    facts = manifest(tmp_path)
    change(facts)
    (tmp_path / 'model.json').write_text(json.dumps(facts))
    (tmp_path / 'tokens.gz').write_bytes(Path(default_bpe()).read_bytes())
    with pytest.raises(ExportError, match=told):
        model = ExportedModel(tmp_path)
        Texts(model)
        model.run('a')


def test_damaged_table_of_tokens(tmp_path: Path) -> None:
    (tmp_path / 'tokens.gz').write_bytes(Path(default_bpe()).read_bytes()[:1000])
    with pytest.raises(ValueError, match='tokens.gz: no table of tokens'):
        Tokenizer(tmp_path / 'tokens.gz', 77)


@pytest.mark.parametrize('shape', [(1, 1), (1, 9), (33, 20), (64, 48)])
@pytest.mark.parametrize('share', [0.0, 0.03, 0.5, 1.0])
def test_masks_as_plain_data(shape: tuple[int, int], share: float) -> None:
    mask = np.random.default_rng(0).random(shape) < share
    assert mask_results(mask) == toolkit_results(mask)


def test_long_runs() -> None:
    mask = np.zeros((700, 900), dtype=bool)
    mask[100:600, 200:210] = mask[:, 800:] = True
    assert mask_results(mask) == toolkit_results(mask)


def test_overlaps_of_masks() -> None:
    masks = np.zeros((3, 4, 4), dtype=bool)
    masks[0, :2] = masks[1, 1:3] = True
    assert overlaps(masks).tolist() == [[1, pytest.approx(1 / 3), 0], [pytest.approx(1 / 3), 1, 0], [0, 0, 0]]


@pytest.mark.parametrize(('length', 'cut', 'size'), [(8, 32, 32), (8, 30, 30), (8, 29, 71), (16, 64, 5), (56, 200, 1)])
def test_matrix_of_both_resizings(length: int, cut: int, size: int) -> None:
    expected = torch_matrix((length, 4 * length, size), cut)
    np.testing.assert_allclose(resizing_matrix(length, 4 * length, cut, size), expected.numpy(), atol=2e-6)


@pytest.mark.parametrize(('size', 'factor'), [(1, 2), (1, 8), (2, 4), (7, 2), (25, 8)])
def test_matrix_of_the_decoder(size: int, factor: int) -> None:
    eye = torch.eye(size * factor)[None, None]
    expected = F.interpolate(eye, (size, size * factor), mode='bicubic', antialias=True, align_corners=False)[0, 0]
    torch.testing.assert_close(shrinking_matrix(size * factor, size), expected, atol=2e-6, rtol=0)


@pytest.mark.parametrize('shape', [(96, 128), (128, 96), (7, 300), (301, 5), (64, 64)])
@pytest.mark.parametrize('rule', ['detectron2', 'torchvision'])
def test_sizes_of_images(shape: tuple[int, int], rule: str) -> None:
    from mmengine.dataset import Compose

    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    resize = ResizeShortestEdge(scale=40, max_size=100, rule=rule)
    expected = resize.transform(dict(img=image, img_shape=shape))['img']
    np.testing.assert_array_equal(network_image(image, size_rule(Compose([resize]))), expected)


@pytest.mark.parametrize('size', [(3, 4), (9, 5), (20, 31)])
def test_regions_in_other_sizes(size: tuple[int, int]) -> None:
    regions = np.zeros((3, 17, 23), dtype=bool)
    regions[0, 3:9, 4:20] = regions[1, 16, 22] = True
    expected = torch_regions(torch.from_numpy(regions)[None], size)[0].numpy()
    for region, wanted in zip(regions, expected, strict=True):
        np.testing.assert_array_equal(resize_regions(region, size), wanted)


@pytest.mark.parametrize('seed', [0, 5, -3, 2**40 + 7])
def test_sampled_words(seed: int) -> None:
    settings = GenerationSettings(top_p=0.8, num_texts=4, seed=seed, temperature=0.7)
    theirs, ours = _Nucleus(1, settings), np.random.RandomState(seed & 0xFFFFFFFF)
    for step in range(5):
        logits = 3 * torch.randn(4, 50, generator=torch.Generator().manual_seed(step))
        assert _sample(logits.numpy(), settings, ours).tolist() == theirs(logits).tolist()


def test_images_are_resized_by_pillow() -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    rule = dict(kind='exact', width=20, height=11, interpolation='bicubic')
    expected = np.asarray(Image.fromarray(image).resize((20, 11), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(network_image(image, rule), expected)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_embeddings_are_read_alike_with_and_without_torch(tmp_path: Path, data: st.DataObject) -> None:
    header = dict(names=['a', 'b'], prompted=[True, False], templates=templates_fingerprint(), encoder='e')
    meta = {key: json.dumps(value) for key, value in mutated(header, data).items()}
    table = data.draw(st.sampled_from([np.eye(2, 4), np.zeros((2, 4)), np.full((2, 4), np.nan), np.eye(3, 4)]))
    content = save({'embeddings': table.astype(np.float32)}, dict(meta, format='xdet-vocabulary-1'))
    path = tmp_path / 'odd.safetensors'
    path.write_bytes(damaged(content, data) if data.draw(st.booleans()) else content)
    facts = dict(encoder='e', templates_sha256=templates_fingerprint())
    names = []
    for read in (lambda: read_embeddings(path).names, lambda: list(read_table(path, facts))):
        try:
            names.append(read())
        except ValueError as error:
            assert str(path) in str(error) and '\n' not in str(error)
            names.append(None)
    assert names[1] is None or set(names[1]) <= set(names[0])  # which also looks at what the file was made with


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_manifests_are_named(tmp_path: Path, data: st.DataObject) -> None:
    pytest.importorskip('onnxruntime', reason='onnxruntime is not installed (requirements/export.txt)')
    (tmp_path / 'data').write_bytes(b'')
    (tmp_path / 'tokens.gz').write_bytes(b'')
    (tmp_path / 'model.json').write_text(json.dumps(mutated(manifest(tmp_path), data)))
    with pytest.raises(ExportError) as error:
        model = ExportedModel(tmp_path)
        model.run('a')
    assert str(tmp_path) in str(error.value) and '\n' not in str(error.value)
