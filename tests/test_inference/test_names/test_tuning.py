"""Prompt tuning: what is learned, that nothing else changes, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from tiny.tools import ROOT

from xdet.apis import XDecoderInferencer
from xdet.cli.commands.tune import main
from xdet.datasets.exchange import AnnotatedImage, AnnotatedSet, Segment
from xdet.inference.names.tuning import PromptTokens, TuningError
from xdet.structures import Vocabulary, encode_mask

DEMO = ROOT / 'demo' / 'demo_scene.png'
OTHERS = ['red star', 'green square', 'sky']


@pytest.fixture(scope='module')
def model() -> XDecoderInferencer:
    return XDecoderInferencer('scenes', device='cpu')


@pytest.fixture(scope='module')
def scene(model):
    return model.set_image(str(DEMO))


@pytest.fixture(scope='module')
def data(model, scene) -> AnnotatedSet:
    """The demo scene as the model sees it."""
    found = model.segment(scene, kind='panoptic')
    segments = [
        Segment(name, found.size, mask=encode_mask(mask)) for name, mask in zip(found.names, found.masks, strict=True)
    ]
    image = AnnotatedImage(DEMO.name, found.size, tuple(segments), path=str(DEMO))
    return AnnotatedSet(tuple(dict.fromkeys(found.names)), (image,))


@pytest.fixture
def own(model):
    """What a test learns is forgotten after it."""
    before = dict(model.model.vocabulary._loaded)
    yield model
    model.model.vocabulary._loaded = before
    model.model.vocabulary.clear()
    model.word_check._learned.clear()


def outputs(model, scene, names):
    sample = scene.sample.clone()
    model.check('instance', classes=names).apply(sample, 'scene')
    model.model.predict_features(scene.features, [sample])
    return sample


def test_a_tuned_name_means_its_class_and_all_others_what_they_meant(own, scene, data, tmp_path) -> None:
    """Forgetting is zero by construction: weights, other embeddings and other results are equal bit by bit."""
    weights = {name: value.clone() for name, value in own.model.state_dict().items()}
    before = outputs(own, scene, OTHERS)
    rows = own.model.vocabulary(Vocabulary.from_prompts(classes=[*OTHERS, 'zweep'])).clone()
    tuned = own.tune(data, {'zweep': 'blue circle'}, steps=15)
    assert tuned.segments == {'zweep': 1} and tuned.losses[1] < 0.9 * tuned.losses[0]
    assert all(torch.equal(value, weights[name]) for name, value in own.model.state_dict().items())
    assert all(part.requires_grad for part in own.model.text_encoder.parameters())
    after = outputs(own, scene, OTHERS)
    for key in ('scores', 'labels', 'masks', 'bboxes'):
        assert torch.equal(before.pred_instances[key], after.pred_instances[key])
    assert torch.equal(before.pred_presence, after.pred_presence)
    changed = own.model.vocabulary(Vocabulary.from_prompts(classes=[*OTHERS, 'zweep']))
    assert (changed != rows).any(1).tolist() == [False, False, False, True, False]
    assert outputs(own, scene, ['zweep']).pred_presence > 0.5
    tuned.save(tmp_path / 'z.safetensors')
    own.model.vocabulary._loaded = {}
    own.model.vocabulary.load(tmp_path / 'z.safetensors')
    torch.testing.assert_close(own.model.vocabulary(Vocabulary.from_prompts(classes='zweep'))[0], tuned.rows['zweep'])


def test_without_tokens_learned_a_prompt_is_what_the_encoder_makes_of_it(model) -> None:
    text = model.model.text_encoder
    with torch.no_grad():
        wanted = text(['a photo of a cat.', 'a photo of a blue circle.']).pooled
        made = PromptTokens(text, ['cat', 'blue circle'], 4)()
    torch.testing.assert_close(made, wanted / wanted.norm(dim=1, keepdim=True))


@pytest.mark.parametrize(
    ('names', 'message'),
    [
        (['zweep'], 'data: has no class .zweep.; accepted are'),
        ([], 'data: no name is given'),
        ({'a': 'blue circle', 'b': 'blue circle'}, 'two names are tuned for one class'),
    ],
)
def test_bad_names_end_in_one_line(model, data, names, message) -> None:
    with pytest.raises(TuningError, match=message):
        model.tune(data, names)


def test_bad_data_end_in_one_line(model, data, scene, tmp_path, capsys) -> None:
    with pytest.raises(TuningError, match='the text encoder reads up to'):
        model.tune(data, ['blue circle'], tokens=77)
    corner = np.zeros(data.images[0].size, bool)
    corner[0, 0] = True
    image = AnnotatedImage(
        DEMO.name, corner.shape, (Segment('dot', corner.shape, mask=encode_mask(corner)),), '', str(DEMO)
    )
    with pytest.raises(TuningError, match="no query of the model shows a 'dot'"):
        model.tune(AnnotatedSet(('dot',), (image,)), ['dot'])
    Image.new('RGB', (9, 9)).save(tmp_path / 'a.png')
    wrong = AnnotatedImage('a.png', corner.shape, image.segments, '', str(tmp_path / 'a.png'))
    with pytest.raises(TuningError, match='is 9x9 pixels, but annotated as'):
        model.tune(AnnotatedSet(('dot',), (wrong,)), ['dot'])
    assert main([str(tmp_path), str(tmp_path / 'x.safetensors'), '--name', '=cat']) == 2
    assert 'accepted are a class, or NEW=CLASS' in capsys.readouterr().err
