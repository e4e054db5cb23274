"""Names learned from regions: what is learned, kept in files, and refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny.tools import ROOT

from xdet.apis import XDecoderInferencer
from xdet.cli.commands.examples import main
from xdet.inference.inputs.regions import RegionError
from xdet.inference.names.examples import ExampleError, use_examples
from xdet.models.text.embedding_file import EmbeddingFileError, read_embeddings
from xdet.structures import Vocabulary

DEMO = str(ROOT / 'demo' / 'demo_scene.png')


@pytest.fixture(scope='module')
def model() -> XDecoderInferencer:
    return XDecoderInferencer('scenes', device='cpu')


@pytest.fixture(scope='module')
def scene(model):
    return model.set_image(DEMO)


@pytest.fixture(scope='module')
def things(model, scene):
    return model.segment(scene, kind='panoptic')


@pytest.fixture
def own(model, monkeypatch):
    """What a test learns is forgotten after it."""
    before = dict(model.model.vocabulary._loaded)
    yield model
    model.model.vocabulary._loaded = before
    model.model.vocabulary.clear()
    model.word_check._learned.clear()


def box_of(things, name):
    return [things.boxes[things.names.index(name)].tolist()]


def test_an_example_finds_its_object_again(own, scene, things) -> None:
    example = own.learn_example('zweep', scene, boxes=box_of(things, 'blue circle'))
    assert example.name == 'zweep' and example.background is None and len(example.scores) == 1
    torch.testing.assert_close(example.rows['zweep'].norm(), torch.tensor(1.0))
    found = own.segment(scene, ['zweep'], kind='instance')
    assert 'unknown_prompts' not in found.prediction
    before = things.masks[things.names.index('blue circle')]
    best = found.masks[0]
    assert (best & before).sum() > 0.8 * (best | before).sum()


def test_what_is_not_meant_competes(own, scene, things) -> None:
    boxes = {name: box_of(things, name) for name in ('orange cross', 'red cross')}
    example = own.learn_example('zweep', scene, boxes=boxes['orange cross'], not_boxes=boxes['red cross'])
    assert example.background == 'not zweep' and len(example.scores) == 2
    alone = own.segment(scene, ['zweep'], kind='panoptic')
    found = own.segment(scene, ['zweep'], kind='panoptic', background=example.background)
    true, other = (things.masks[things.names.index(name)] for name in boxes)
    assert (alone.masks.any(0) & other).any()  # the other cross looks alike
    assert (found.masks.any(0) & true).sum() > 0.8 * true.sum() and not (found.masks.any(0) & other).sum() > 99


def test_regions_of_several_images_and_the_name_are_averaged(own, scene, things) -> None:
    image = Image.open(DEMO)
    boxes = [box_of(things, 'orange cross'), box_of(things, 'red cross')]
    both = own.learn_example('zweep', [image, image], boxes=boxes)
    rows = [own.learn_example('zweep', scene, boxes=box).rows['zweep'] for box in boxes]
    mean = (rows[0] + rows[1]) / 2
    torch.testing.assert_close(both.rows['zweep'], mean / mean.norm(), atol=1e-4, rtol=0)
    text = own.model.vocabulary.from_text('red cross')
    half = own.learn_example('red cross', scene, boxes=boxes[1], name_share=0.5).rows['red cross']
    torch.testing.assert_close(half, (rows[1] + text) / (rows[1] + text).norm(), atol=1e-4, rtol=0)
    whole = own.learn_example('red cross', scene, boxes=boxes[1], name_share=1).rows['red cross']
    torch.testing.assert_close(whole, text, atol=1e-5, rtol=0)


def test_files_hold_names_of_several_examples_and_texts(own, scene, things, tmp_path) -> None:
    path = tmp_path / 'names.safetensors'
    own.model.vocabulary(Vocabulary(('blue circle',), (True,)))
    own.model.vocabulary.save(path)
    for name, of in (('zweep', 'green heart'), ('mump', 'red cross'), ('zweep', 'blue circle')):
        example = own.learn_example(name, scene, boxes=box_of(things, of))
        example.save(path)
    content = read_embeddings(path)
    assert {'blue circle', 'zweep', 'mump'} <= set(content.names) and content.shown == ['zweep', 'mump']
    other = XDecoderInferencer('scenes', device='cpu', text_embeddings=path)
    here = own.segment(scene, ['zweep', 'mump'])
    there = other.segment(DEMO, ['zweep', 'mump'])
    assert set(there.names) == {'zweep', 'mump'} and 'unknown_prompts' not in there.prediction
    np.testing.assert_array_equal(here.masks, there.masks)
    wrong = dataclasses.replace(example, weights='0' * 64)
    with pytest.raises(EmbeddingFileError, match='have examples of other weights; give another file'):
        wrong.save(path)
    alone = tmp_path / 'alone.safetensors'
    wrong.save(alone)
    with pytest.raises(EmbeddingFileError, match='have the examples zweep, which were learned with other weights'):
        use_examples(own, alone)


@pytest.mark.parametrize(
    ('given', 'error', 'message'),
    [
        (dict(name=' ', boxes=[[0, 0, 9, 9]]), ValueError, 'is empty or not a string'),
        (dict(name='background', boxes=[[0, 0, 9, 9]]), ValueError, 'is taken'),
        (dict(name='zweep'), ValueError, 'needs points or boxes or masks'),
        (dict(name='zweep', boxes=[[600, 0, 700, 9]]), RegionError, 'covers no pixel'),
        (dict(name='zweep', boxes=[[1, 1, 4, 4]]), ExampleError, r'sees no object in region 1 \(score 0.\d\d, needed'),
        (dict(name='zweep', masks=np.zeros((512, 512), bool)), RegionError, 'a mask is empty'),
        (dict(name='zweep', boxes=[[0, 0, 99, 99]], name_share=2), ValueError, 'name_share is 2'),
    ],
)
def test_bad_examples_end_in_one_line(own, scene, given, error, message) -> None:
    before = dict(own.model.vocabulary._loaded)
    with pytest.raises(error, match=message) as caught:
        own.learn_example(images=scene, **given)
    assert '\n' not in str(caught.value) and own.model.vocabulary._loaded.keys() == before.keys()


def test_full_mask_is_a_defined_example(own, scene) -> None:
    """All of the image: what covers most of it, or nothing."""
    try:
        assert len(own.learn_example('zweep', scene, masks=np.ones((512, 512), bool)).scores) == 1
    except ExampleError as error:
        assert 'sees no object in region 1' in str(error)


def largest(found: Any) -> Any:
    return max(found.masks, key=lambda mask: mask.sum())


def test_examples_where_pixels_know_names() -> None:
    """One photograph teaches a name to queries and pixels, among other examples and among names."""
    model = XDecoderInferencer('photos', device='cpu')
    photos = {name: str(ROOT / 'demo' / 'photos' / f'{name}.jpg') for name in ('chelsea', 'astronaut')}
    boxes = {}
    for name, of in (('chelsea', 'cat'), ('astronaut', 'person')):
        found = model.segment(photos[name], [of])
        boxes[name] = [found.boxes[found.scores.argmax()].tolist()]
        model.learn_example(f'zweep {name}', photos[name], boxes=boxes[name])
    for name, of in (('chelsea', 'cat'), ('astronaut', 'person')):
        image = model.set_image(photos[name])
        true = largest(model.segment(image, [of, 'horse', 'sofa']))
        for names in (['zweep chelsea', 'zweep astronaut'], [f'zweep {name}', 'horse', 'sofa']):
            found = model.segment(image, names)
            assert set(found.names) == {f'zweep {name}'}
            assert (largest(found) & true).sum() > 0.8 * (largest(found) | true).sum()
    model.word_check = None  # weights without a training vocabulary have no words for what is shown
    for name, own in boxes.items():
        row = model.learn_example(f'zweep {name}', photos[name], boxes=own).rows[f'zweep {name}']
        torch.testing.assert_close(row.norm(), torch.tensor(1.0))
    assert model.segment(photos['chelsea'], ['zweep chelsea', 'zweep astronaut']).names == ['zweep chelsea']


def test_command(things, tmp_path, capsys) -> None:
    path = str(tmp_path / 'names.safetensors')
    x1, y1, x2, y2 = things.boxes[things.names.index('orange cross')]
    given = [path, DEMO, '--model', 'scenes', '--device', 'cpu', '--name', 'zweep']
    others = ' '.join(map(str, things.boxes[things.names.index('red cross')]))
    assert main([*given, '--boxes', f'{x1} {y1} {x2} {y2}', '--not', DEMO, '--not-boxes', others]) == 0
    told = capsys.readouterr().out
    assert f"'zweep' is in {path}; scores of the regions: 0." in told and "is 'not zweep'" in told
    assert read_embeddings(path).shown == ['zweep', 'not zweep']
    for more, message in (
        ([], 'give either --boxes or --mask, once per image'),
        (['--boxes', '1 2 3 4', '--boxes', '1 2 3 4'], '1 images but --boxes 2 times; needed is one for each'),
        (['--boxes', '1 2 3 4', '--not-boxes', '1 2 3 4'], 'name them by --not'),
    ):
        assert main([*given, *more]) == 2
        assert message in capsys.readouterr().err
