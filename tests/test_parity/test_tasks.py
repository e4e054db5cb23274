"""Every task of full-size Focal-T against the official model, through the task adapters.

Golden numbers belong to the repository; recorded cases on photographs are outside, and their tests are skipped without.
"""

import numpy as np
import pytest
import torch
from parity.cases import Case
from parity.model import preprocess, sample_of
from parity.tasks import task_tensors
from parity.weights import assert_golden, fixture_image, golden

from xdet.models import postprocess
from xdet.models.context import LatentPass, TaskContext
from xdet.models.decoder import IMAGE
from xdet.models.similarity import normalize
from xdet.models.text import START_TOKEN, decode, tokenize
from xdet.structures import Vocabulary
from xdet.tasks.generation import GenerationSettings
from xdet.tasks.referring import phrase_groups

A = golden('a')
SIZE = (180, 240)


def context_of(model, features, samples):
    return TaskContext(LatentPass(model.decoder, features), samples, model.text_encoder, model.texts)


def generated(model, features, samples, settings, regions=None):
    """Token ids of greedy captions."""
    task = model.tasks['captioning']
    with torch.no_grad():
        texts = task._write([context_of(model, features, samples)], settings, regions)
    return [list(item[0].ids) for item in texts]


@pytest.fixture(scope='module')
def image():
    return fixture_image(90, 120, 7)


@pytest.fixture(scope='module')
def features(golden_focal_t, image):
    with torch.no_grad():
        return golden_focal_t.encode(preprocess(golden_focal_t, [image])[0][None])


@pytest.fixture
def joint(golden_focal_t, monkeypatch):
    monkeypatch.setattr(golden_focal_t.tasks['referring'], 'mode', 'joint')


@pytest.mark.usefixtures('joint')
@pytest.mark.parametrize(('name', 'phrases'), [('grd1', ('dog',)), ('grd2', ('dog', 'A photo of a dog.'))])
def test_golden_joint_phrases(golden_focal_t, features, image, name, phrases):
    sample = sample_of(image, SIZE, tasks=('refseg',), phrases=phrases)
    golden_focal_t.predict_features(features, [sample])
    with torch.no_grad():
        context = context_of(golden_focal_t, features, [sample])
        outputs = golden_focal_t.decoder(features, [*context.latents, *phrase_groups(context, [list(phrases)])])
        similarity = normalize(outputs.last.rows(outputs.last.class_embed, 'phrase')[0])
        best = (similarity @ normalize(context.encode(phrases).pooled).T).argmax(0)
        masks = outputs.last.rows(outputs.last.mask_embed, 'phrase')[0, best]
        logits = postprocess.mask_logits(masks, features.mask_features[0], (90, 120), SIZE)
    assert_golden(logits, A[f'{name}.mask'], atol=5e-4)
    assert (sample.pred_phrases.masks != (logits > 0)).float().mean() < 1e-4


def test_golden_independent_phrase_is_the_official_single_phrase(golden_focal_t, features, image):
    """The default mode: each of many phrases as the official model finds it alone."""
    sample = sample_of(image, SIZE, tasks=('refseg',), phrases=('A photo of a dog.', 'dog', 'a tree'))
    golden_focal_t.predict_features(features, [sample])
    expected = np.array(A['grd1.mask']['first'] + A['grd1.mask']['last']) > 0
    found = sample.pred_phrases.masks[1].flatten()
    assert found[:5].tolist() + found[-5:].tolist() == expected.tolist()
    alone = sample_of(image, SIZE, tasks=('refseg',), phrases=('dog',))
    golden_focal_t.predict_features(features, [alone])
    assert (alone.pred_phrases.masks[0] != sample.pred_phrases.masks[1]).float().mean() < 1e-4


def test_golden_captions(golden_focal_t, features, image):
    settings = GenerationSettings(max_tokens=6)
    sample = sample_of(image, SIZE)
    assert generated(golden_focal_t, features, [sample], settings) == [A['cap.tokens8'][1:7]]
    left = torch.zeros(1, 1, 96, 128, dtype=torch.bool)
    left[..., :64] = True
    assert generated(golden_focal_t, features, [sample], settings, left) == [A['refcap.tokens8'][1:7]]


def test_golden_retrieval(golden_focal_t, features, image):
    with torch.no_grad():
        context = context_of(golden_focal_t, features, [sample_of(image, SIZE)])
        layer = context.outputs.last
        assert_golden(layer.rows(layer.class_embed, IMAGE)[:, 0], A['ret.img'])
        assert_golden(golden_focal_t.tasks['retrieval'].backbone_embedding(context), A['ret.img_backbone'])
        assert_golden(context.encode(['dog', 'a photo of a dog .']).pooled, A['ret.txt'])


# ------------------------------------------------------------------------------------------------ recorded photographs


def recorded(model, name):
    """A recorded case with its images encoded as one batch, and a sample for each."""
    case = Case(name)
    images = [torch.from_numpy(array) for array in case.inputs()]
    with torch.no_grad():
        features = model.encode(preprocess(model, images, joint=True))
    sizes = case.sizes() or [None] * len(images)
    return case, features, [sample_of(image, size) for image, size in zip(images, sizes, strict=True)]


@pytest.mark.parametrize('name', ['ground_2_street', pytest.param('ground_3', marks=pytest.mark.slow)])
def test_joint_phrases(filler_focal_t, monkeypatch, name):
    monkeypatch.setattr(filler_focal_t.tasks['referring'], 'mode', 'joint')
    case, features, (sample,) = recorded(filler_focal_t, name)
    sample.set_metainfo(dict(tasks=('refseg',), phrases=tuple(case.json['phrases'])))
    filler_focal_t.predict_features(features, [sample])
    assert (sample.pred_phrases.masks.numpy() != case.bits('grounding_binary_bits')).mean() <= 1e-3
    scale = filler_focal_t.text_encoder.logit_scale.exp().item()
    expected = case.arrays['similarity'].max(axis=0) / min(scale, 100)
    np.testing.assert_allclose(sample.pred_phrases.similarities.numpy(), expected, atol=1e-4)


def test_independent_phrase(filler_focal_t):
    case, features, (sample,) = recorded(filler_focal_t, 'ground_1')
    phrases = (*case.json['phrases'], 'a knife', 'the white flower in front')
    sample.set_metainfo(dict(tasks=('refseg',), phrases=phrases))
    filler_focal_t.predict_features(features, [sample])
    assert (sample.pred_phrases.masks[:1].numpy() != case.bits('grounding_binary_bits')).mean() <= 1e-3


@pytest.mark.parametrize('name', ['caption', 'caption_ref'])
def test_captions(filler_focal_t, name):
    case = Case(name)
    for key, tensor in task_tensors(case, filler_focal_t).items():
        case.assert_close(key, tensor)
    _, features, samples = recorded(filler_focal_t, name)
    regions = None
    if 'captioning_mask' in case.tensors:  # True is forbidden
        regions = torch.from_numpy(~case.arrays['captioning_mask'].astype(bool))[None]
    found = generated(filler_focal_t, features, samples, GenerationSettings(max_tokens=50), regions)[0]
    assert found == case.arrays['tokens'][1:51].tolist()
    assert decode([START_TOKEN, *found]) == case.json['caption_text_full'][0]


def test_retrieval(filler_focal_t):
    case = Case('retrieval')
    for key, tensor in task_tensors(case, filler_focal_t).items():
        case.assert_close(key, tensor)
    _, features, samples = recorded(filler_focal_t, 'retrieval')
    texts = tuple(text for captions in case.json['captions'] for text in captions)
    for sample in samples:
        sample.set_metainfo(dict(tasks=('retrieval',), captions=texts))
    filler_focal_t.predict_features(features, samples)
    scores = torch.stack([sample.pred_embedding @ sample.pred_text_embeddings.T for sample in samples], dim=1)
    case.assert_close('scores_decoder', scores[0])
    case.assert_close('scores_backbone', scores[1])
    case.assert_close('scores', scores.mean(0))


def test_region_retrieval(filler_focal_t):
    case = Case('region')
    tensors = task_tensors(case, filler_focal_t)
    for key, tensor in tensors.items():
        case.assert_close(key, tensor)
    assert tensors['logits'].argmax(0).tolist() == case.json['max_id']


def test_classification(filler_focal_t, monkeypatch):
    case, features, samples = recorded(filler_focal_t, 'classify')
    with torch.no_grad():
        text = filler_focal_t.vocabulary.encode(case.json['text'][0]['prompts'])
    case.assert_close('text_emb', text)
    names = tuple(case.json['text'][0]['names'])
    background = torch.zeros(1, text.shape[1])
    monkeypatch.setattr(filler_focal_t, 'texts', lambda vocabulary: torch.cat([text, background]))
    for sample in samples:
        sample.set_metainfo(dict(tasks=('classification',), vocabulary=Vocabulary(names, (True,) * len(names))))
    filler_focal_t.predict_features(features, samples)
    expected = torch.from_numpy(case.arrays['pred_class']).softmax(-1).topk(5)
    for row, sample in enumerate(samples):
        assert sample.pred_classes.labels.tolist() == expected.indices[row].tolist()
        torch.testing.assert_close(sample.pred_classes.scores, expected.values[row], atol=1e-5, rtol=0)


def test_token_ids_are_those_of_the_official_tokenizer():
    assert tokenize(['a photo of a dog .'])[0].tolist() == [49406, 320, 1125, 539, 320, 1929, 269, 49407]
