"""Weights of templates: what they are at first, what is learned, and that nothing else changes."""

from __future__ import annotations

import pytest
import torch
from tiny.tools import ROOT

from xdet.apis import XDecoderInferencer
from xdet.cli.commands.tune import main
from xdet.datasets.exchange import AnnotatedImage, AnnotatedSet, Segment
from xdet.inference.names.template_weights import TemplateWeights
from xdet.structures import TEMPLATES, Vocabulary, encode_mask

DEMO = ROOT / 'demo' / 'demo_scene.png'
OTHERS = Vocabulary.from_prompts(classes=['red star', 'green square', 'sky'])


@pytest.fixture(scope='module')
def model() -> XDecoderInferencer:
    return XDecoderInferencer('scenes', device='cpu')


def outputs(model, scene):
    sample = scene.sample.clone()
    model.check('instance', classes=list(OTHERS.names)).apply(sample, 'scene')
    model.model.predict_features(scene.features, [sample])
    return sample.pred_instances


def test_equal_weights_are_the_name_itself(model) -> None:
    with torch.no_grad():
        found = TemplateWeights(model.model.vocabulary, ['sky-other-merged', 'red star'])()
    expected = model.model.vocabulary(Vocabulary.from_prompts(classes=['sky', 'red star']))[:-1]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_weights_stay_on_the_simplex_and_other_names_mean_what_they_meant(model) -> None:
    """Forgetting is zero by construction: weights, other embeddings and other results are equal bit by bit."""
    scene = model.set_image(str(DEMO))
    found = model.segment(scene, kind='panoptic')
    segments = [
        Segment(name, found.size, mask=encode_mask(mask)) for name, mask in zip(found.names, found.masks, strict=True)
    ]
    image = AnnotatedImage(DEMO.name, found.size, tuple(segments), path=str(DEMO))
    data = AnnotatedSet(tuple(dict.fromkeys(found.names)), (image,))
    weights = {name: value.clone() for name, value in model.model.state_dict().items()}
    rows, before = model.model.vocabulary(OTHERS).clone(), outputs(model, scene)
    tuned = model.tune(data, {'navy circle': 'blue circle'}, steps=20, learn='templates')
    assert tuned.losses[1] < 0.98 * tuned.losses[0]
    shares = tuned.templates['navy circle']
    assert set(shares) == set(TEMPLATES) and sum(shares.values()) == pytest.approx(1, abs=1e-5)
    values = list(shares.values())
    assert min(values) > 0 and max(values) > 2 / len(TEMPLATES) and values == sorted(values, reverse=True)
    name = Vocabulary.from_prompts(classes='navy circle')
    assert torch.equal(model.model.vocabulary(name)[0], tuned.rows['navy circle'])
    assert not torch.allclose(model.model.vocabulary.from_text('navy circle'), tuned.rows['navy circle'], atol=1e-3)
    assert all(torch.equal(value, weights[key]) for key, value in model.model.state_dict().items())
    after = outputs(model, scene)
    assert torch.equal(model.model.vocabulary(OTHERS), rows)
    assert all(torch.equal(before[key], after[key]) for key in ('scores', 'labels', 'masks', 'bboxes'))
    with pytest.raises(ValueError, match="learn is 'names'; accepted are 'tokens' and 'templates'"):
        model.tune(data, ['blue circle'], learn='names')


def test_the_command_names_what_can_be_learned(tmp_path, capsys) -> None:
    with pytest.raises(SystemExit):
        main(['data', str(tmp_path / 'x.safetensors'), '--name', 'a', '--learn', 'all'])
    assert "invalid choice: 'all'" in capsys.readouterr().err
