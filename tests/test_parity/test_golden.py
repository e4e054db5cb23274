"""Full-size Focal-T against reference numbers of the official model that are part of this repository.

Weights follow from the official parameter names by a formula, the pictures are random, so nothing is downloaded. Every
stage from pixels to segments is compared; before the first masked attention to 1e-4, behind it as tightly, except that
a mask logit within rounding of zero may flip a pixel of an attention mask.
"""

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from parity.model import phrase_groups, preprocess, run_stages, sample_of
from parity.weights import assert_golden, fixture_image, golden

from xdet.models import postprocess
from xdet.models.decoder import IMAGE, OBJECT
from xdet.models.similarity import cosine_logits
from xdet.structures import Vocabulary

A, B = golden('a'), golden('b')
NAMES = Vocabulary(('dog', 'cat', 'traffic light', 'sky-other-merged'), (True, True, False, False))
SIZE = (180, 240)


@pytest.fixture(scope='module')
def model(golden_focal_t):
    return golden_focal_t


@pytest.fixture(scope='module')
def image():
    return fixture_image(90, 120, 7)


@pytest.fixture(scope='module')
def stages(model, image):
    return run_stages(model, [image])


@pytest.fixture(scope='module')
def random_text():
    vectors = torch.from_numpy(np.random.RandomState(11).standard_normal((6, 512)).astype(np.float32))
    return vectors / vectors.norm(dim=-1, keepdim=True)


def test_image_encoder(stages):
    assert_golden(stages.inputs, A['input.padded'])
    for index, level in enumerate(stages.features.backbone):
        assert_golden(level, A[f'backbone.res{index + 2}'])
    assert_golden(stages.features.mask_features, A['pixdec.mask_features'])
    for index, level in enumerate(stages.features.memory):
        assert_golden(level, A[f'pixdec.ms{index}'])


def test_vocabulary(model):
    assert_golden(model.vocabulary(NAMES), A['text.default_text_embeddings'])


@pytest.mark.parametrize(
    ('layer', 'masks', 'logits'),
    [
        (0, 'seg.aux0.pred_masks', None),
        (4, None, 'seg.aux4.pred_logits'),
        (-1, 'seg.pred_masks', 'seg.pred_logits'),
    ],
)
def test_decoder_layers(model, stages, layer, masks, logits):
    if masks:
        assert_golden(stages.masks(layer), A[masks], atol=5e-4)
    if logits:
        text = model.vocabulary(NAMES)
        scores = cosine_logits(stages.class_embed(layer), text, model.text_encoder.logit_scale)
        assert_golden(scores.detach(), A[logits])


def test_class_embeddings(stages):
    assert_golden(stages.class_embed(-1), A['seg.pred_captions'])


def final(model, stages, text):
    """Class logits and a mask function of the only image."""
    logits = cosine_logits(stages.class_embed(-1)[0], text, model.text_encoder.logit_scale).detach()
    embed = stages.outputs.last.mask_embed[0]

    def masks(queries):
        return postprocess.mask_logits(embed[queries], stages.features.mask_features[0], (90, 120), SIZE)

    return logits, masks


def test_semantic(model, stages):
    logits, masks = final(model, stages, model.vocabulary(NAMES))
    assert_golden(masks(slice(None)), A['eval.masks'], atol=5e-4)
    assert_golden(postprocess.semantic_scores(logits, masks, SIZE), A['eval.sem_seg'], atol=5e-4)
    labels = postprocess.semantic_labels(logits, masks, SIZE)
    assert labels.flatten().bincount(minlength=4).tolist() == A['eval.sem_argmax_hist'][:4]


def test_through_the_task_adapter(model, image):
    """The same results where users get them, with all three outputs from one decoding."""
    sample = sample_of(image, SIZE, vocabulary=NAMES, tasks=('semantic', 'instance', 'panoptic'))
    model.predict(preprocess(model, [image]), [sample])
    assert isinstance(sample.pred_sem_seg, PixelData)
    labels = sample.pred_sem_seg.sem_seg[0]
    assert labels.flatten().bincount(minlength=4).tolist() == A['eval.sem_argmax_hist'][:4]
    assert len(sample.pred_instances) == A['eval.inst_labels_n']
    assert_scores = sorted(sample.pred_instances.scores.tolist())
    np.testing.assert_allclose(assert_scores[:5], A['eval.inst_scores']['first'], atol=1e-5)
    assert sample.pred_panoptic_seg.segments_info == []


def test_panoptic_through_the_task_adapter(model, image, stages, monkeypatch):
    """With thresholds at which something is found: the adapter passes sizes and thing flags on unharmed."""
    monkeypatch.setattr(model.tasks['segmentation'], 'object_mask_threshold', 0.1)
    monkeypatch.setattr(model.tasks['segmentation'], 'overlap_threshold', 0.1)
    sample = sample_of(image, SIZE, vocabulary=NAMES, tasks=('panoptic',))
    model.predict(preprocess(model, [image]), [sample])
    logits, masks = final(model, stages, model.vocabulary(NAMES))
    segments, infos = postprocess.panoptic_segments(logits, masks, SIZE, NAMES.is_thing, 0.1, 0.1)
    assert len(infos) > 0
    labels = [(info['label'], info['is_thing']) for info in sample.pred_panoptic_seg.segments_info]
    assert labels == [(info['label'], info['is_thing']) for info in infos]
    assert torch.equal(sample.pred_panoptic_seg.sem_seg[0], segments)


def test_panoptic_and_instances_with_a_random_vocabulary(model, stages, random_text):
    logits, masks = final(model, stages, random_text)
    assert_golden(postprocess.semantic_scores(logits, masks, SIZE), B['evalB.sem_seg'], atol=5e-4)
    is_thing = (True, True, True, False, False)
    segments, infos = postprocess.panoptic_segments(logits, masks, SIZE, is_thing, 0.1, 0.1)
    found = [[info['id'], info['label'], info['is_thing']] for info in infos]
    assert found == B['evalB.pano']['segments']
    difference = np.subtract(segments.flatten().bincount().tolist(), B['evalB.pano']['hist'])
    assert np.abs(difference).max() <= 2  # pixels within rounding of a border

    found = postprocess.instances(logits, masks, SIZE, is_thing, 100)
    assert len(found) == B['evalB.inst_n']
    for row, (score, label, area) in enumerate(B['evalB.inst_top10']):
        assert found.scores[row].item() == pytest.approx(score, abs=1e-5)
        assert found.labels[row].item() == label
        assert found.masks[row].sum().item() == pytest.approx(area, abs=2)


def test_joint_padding_reproduces_the_official_batch(model, random_text):
    """The official batch of two sizes, where padding leaks; and that padding each alone does not leak."""
    images = [fixture_image(90, 120, 7), fixture_image(64, 70, 8)]
    stages = run_stages(model, images)
    for index, image in enumerate(images):
        logits = cosine_logits(stages.class_embed(-1)[index], random_text, model.text_encoder.logit_scale).detach()
        size = tuple(image.shape[-2:])
        masks = postprocess.mask_logits(
            stages.outputs.last.mask_embed[index], stages.features.mask_features[index], size, size
        )
        scores = postprocess.semantic_scores(logits, lambda queries, masks=masks: masks[queries], size)
        assert_golden(scores, B[f'batch2.{index}.sem_seg'], atol=5e-4)


def test_mixed_batch_equals_images_alone(model):
    """Different sizes, vocabularies and tasks in one batch: every image as if it were alone."""
    images = [fixture_image(90, 120, 7), fixture_image(64, 70, 8), fixture_image(96, 128, 9)]
    metas = [
        dict(vocabulary=NAMES, tasks=('semantic',)),
        dict(vocabulary=Vocabulary.from_prompts(classes='cat . tree'), tasks=('instance', 'panoptic')),
        dict(vocabulary=Vocabulary.from_prompts(things='bus', stuff='road . sky'), tasks=('semantic', 'instance')),
    ]

    def samples():
        return [sample_of(image, None, **meta) for image, meta in zip(images, metas, strict=True)]

    together, alone = samples(), samples()
    model.predict(preprocess(model, images), together)
    for image, sample in zip(images, alone, strict=True):
        model.predict(preprocess(model, [image]), [sample])
    for one, other in zip(together, alone, strict=True):
        assert one.keys() == other.keys()
        if 'pred_sem_seg' in one:
            assert torch.equal(one.pred_sem_seg.sem_seg, other.pred_sem_seg.sem_seg)
        if 'pred_instances' in one:
            torch.testing.assert_close(one.pred_instances.scores, other.pred_instances.scores, atol=1e-5, rtol=0)
        if 'pred_panoptic_seg' in one:
            assert torch.equal(one.pred_panoptic_seg.sem_seg, other.pred_panoptic_seg.sem_seg)


@torch.no_grad()
@pytest.mark.parametrize(('name', 'phrases'), [('grd1', ['dog']), ('grd2', ['dog', 'A photo of a dog.'])])
def test_phrase_groups_through_the_same_decoder(model, image, name, phrases):
    """Referring segmentation needs no change of the decoder: only other groups."""
    groups, pooled = phrase_groups(model, phrases)
    stages = run_stages(model, [image], groups)
    scale = model.text_encoder.logit_scale
    similarity = cosine_logits(stages.class_embed(-1, 'phrase')[0], pooled / pooled.norm(dim=-1, keepdim=True), scale)
    best = similarity.argmax(dim=0)
    prediction = stages.outputs.last
    embed = prediction.rows(prediction.mask_embed, 'phrase')[0, best]
    masks = postprocess.mask_logits(embed, stages.features.mask_features[0], (90, 120), SIZE)
    assert_golden(masks, A[f'{name}.mask'], atol=5e-4)
    # The latent rows are those of plain segmentation.
    assert_golden(prediction.rows(prediction.class_embed, OBJECT, IMAGE), A['seg.pred_captions'])
