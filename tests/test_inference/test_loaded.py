"""Building a model and giving it its weights."""

import copy

import numpy as np
import pytest
import torch

from xdet.apis import XDecoderInferencer
from xdet.inference import loaded
from xdet.structures import Vocabulary

TASKS = ('semantic', 'instance', 'panoptic')
THINGS, STUFF = 'dog . cat', 'grass . sky'


def picture(seed=0, size=(40, 60)):
    return np.random.RandomState(seed).randint(0, 255, (*size, 3), np.uint8)


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(type='XDecoderr'), 'XDecoderr is not in the'),
        (dict(backbone=dict(depth=(1, 1, 1, 1))), "'depth'"),
        (dict(tasks=dict(captions=dict(type='Captioning'))), 'Captioning is not in the'),
    ],
)
def test_config_typos(tiny_config, change, message):
    cfg = copy.deepcopy(tiny_config)
    cfg.merge_from_dict(dict(model=change))
    with pytest.raises(ValueError, match=message) as caught:
        XDecoderInferencer(cfg, random_weights=True, device='cpu')
    assert 'cannot be built' in str(caught.value) and '\n' not in str(caught.value)


def test_weights_are_loaded(inferencer, tiny_config, tmp_path):
    torch.save(dict(state_dict=inferencer.model.state_dict()), tmp_path / 'w.pth')
    loaded = XDecoderInferencer(tiny_config, tmp_path / 'w.pth', device='cpu')
    kwargs = dict(things=THINGS, stuff=STUFF)
    inferencer.model.vocabulary.clear()  # names embedded in other company differ in the last digit
    results = [one(picture(), **kwargs)['predictions'][0] for one in (loaded, inferencer)]
    weights = [result.pop('provenance')['weights'] for result in results]
    assert results[0] == results[1] and weights == ['w.pth', None]
    with pytest.raises(ValueError, match='missing.pth'):
        XDecoderInferencer(tiny_config, tmp_path / 'missing.pth', device='cpu')


def test_text_embeddings_from_a_file(inferencer, tiny_config, tmp_path, monkeypatch):
    """Names of the file are not embedded again; a file of other weights is refused."""
    weights, names = tmp_path / 'weights.pth', tmp_path / 'names.safetensors'
    torch.save(inferencer.model.state_dict(), weights)
    inferencer.model.vocabulary.clear()
    inferencer.model.vocabulary(Vocabulary.from_prompts(classes='dog . cat'))
    inferencer.model.vocabulary.save(names)
    again = XDecoderInferencer(tiny_config, weights, 'cpu', text_embeddings=names)
    monkeypatch.setattr(again.model.text_encoder, 'forward', None)
    assert again.model.vocabulary(Vocabulary.from_prompts(classes='cat')).shape[0] == 2
    with torch.no_grad():
        inferencer_state = {key: value + 0.1 for key, value in inferencer.model.state_dict().items()}
    torch.save(inferencer_state, weights)
    with pytest.raises(ValueError, match='weights'):
        XDecoderInferencer(tiny_config, weights, 'cpu', text_embeddings=names)


def test_says_what_it_is(inferencer):
    shown = repr(inferencer)
    assert shown.startswith('XDecoderInferencer(model=') and "device='cpu'" in shown and 'panoptic' in shown


def test_what_is_missing_is_said_before_anything_is_built(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr(loaded, '_build', None)
    long = dict(weights='w' * 9000)
    for arguments in (
        long,
        dict(weights=tmp_path / 'no.pth'),
        dict(random_weights=True, text_embeddings='no.safetensors'),
    ):
        with pytest.raises(ValueError, match='^.{,300} does not exist$'):
            XDecoderInferencer(tiny_config, device='cpu', **arguments)


def test_half_precision_is_close_and_said(inferencer, tiny_config, tmp_path):
    """Results and notes of runs say it, so that a run does not go on in another precision."""
    torch.save(dict(state_dict=inferencer.model.state_dict()), tmp_path / 'w.pth')
    weights = tmp_path / 'w.pth'
    half = XDecoderInferencer(tiny_config, weights, device='cpu', precision='bfloat16')
    assert half.origin.describe()['precision'] == 'bfloat16' and 'precision' not in inferencer.origin.describe()
    found, exact = (one.set_image(picture()) for one in (half, inferencer))
    assert found.features.mask_features.dtype == torch.bfloat16
    for one, other in zip(found.features.memory, exact.features.memory, strict=True):
        torch.testing.assert_close(one.float(), other, atol=0.1, rtol=0.1)
    asked = dict(task='classification', classes='dog . cat', return_datasamples=True)
    scores, expected = (one.predict(**asked)['predictions'][0].pred_classes.scores for one in (half, inferencer))
    torch.testing.assert_close(scores, expected, atol=0.02, rtol=0)
    with torch.enable_grad():  # training does not depend on it
        assert half.model.encode(torch.zeros(1, 3, 64, 64)).mask_features.dtype == torch.float32

    run = dict(task='panoptic', things=THINGS, out_dir=tmp_path / 'out')
    list(half.stream([picture(), picture(1)], **run))
    single = XDecoderInferencer(tiny_config, weights, device='cpu')
    with pytest.raises(ValueError, match='precision'):
        list(single.stream([picture(), picture(1)], resume=True, **run))
    with pytest.raises(ValueError, match="precision is 'half'; accepted are 'single' and 'bfloat16'"):
        XDecoderInferencer(tiny_config, weights, device='cpu', precision='half')
