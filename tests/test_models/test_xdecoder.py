"""The model as a whole, on a small configuration with random weights."""

from unittest import mock

import pytest
import torch
from mmengine.config import Config
from mmengine.structures import InstanceData
from parity.model import CONFIGS, preprocess, sample_of

from xdet.registry import MODELS
from xdet.structures import Vocabulary

ANIMALS = Vocabulary.from_prompts(things='dog . cat', stuff='grass')
STREET = Vocabulary.from_prompts(classes='car . bus . road . sky')


def build(**overrides):
    torch.manual_seed(0)
    config = Config.fromfile(CONFIGS / '_base_/models/focal-nano.py')
    config.merge_from_dict({'model.backbone.embed_dims': 8, 'model.pixel_decoder.in_channels': (8, 16, 32, 64)})
    config.merge_from_dict({'model.text_encoder.num_layers': 1, 'model.decoder.num_layers': 3})
    config.merge_from_dict({'model.tasks.segmentation.loss.num_points': 128})
    config.merge_from_dict(overrides)
    return MODELS.build(config.model)


class ScatteredNames:
    """Text embeddings far apart, which those of an untrained text encoder are not."""

    def __call__(self, vocabulary):
        vectors = torch.randn(len(vocabulary) + 1, 128, generator=torch.Generator().manual_seed(len(vocabulary)))
        return vectors / vectors.norm(dim=-1, keepdim=True)

    def clear(self):
        pass


def decisive(model):
    """Make random weights predict several classes and segments, so that comparing maps means something."""
    model.texts = ScatteredNames()
    model.text_encoder.logit_scale.data.fill_(4.6)
    task = model.tasks['segmentation']
    task.object_mask_threshold = task.overlap_threshold = 0.0
    return model.eval()


def picture(height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8)


def training_sample(image, vocabulary, labels):
    height, width = image.shape[-2:]
    masks = torch.zeros(len(labels), height, width, dtype=torch.bool)
    for index in range(len(labels)):
        masks[index, :, index * width // len(labels) : (index + 1) * width // len(labels)] = True
    sample = sample_of(image, None, vocabulary=vocabulary)
    sample.gt_segments = InstanceData(masks=masks, labels=torch.tensor(labels, dtype=torch.int64))
    return sample


def test_every_parameter_learns_from_a_batch_of_mixed_sizes_and_vocabularies():
    model = build().train()
    images = [picture(60, 70), picture(64, 40, 1)]
    samples = [training_sample(images[0], ANIMALS, [0, 2]), training_sample(images[1], STREET, [3, 3, 1])]
    data = model.data_preprocessor(dict(inputs=images, data_samples=samples), training=True)
    losses = model(**data, mode='loss')
    assert set(losses) == {
        f'{prefix}loss_{kind}' for prefix in ('', 'd0.', 'd1.', 'd2.') for kind in ('cls', 'mask', 'dice')
    }
    sum(losses.values()).backward()
    lacking = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert lacking == {name for name, _ in model.named_parameters() if name.startswith('tasks.')}


def test_a_batch_without_any_segment_trains():
    model = build().train()
    image = picture(40, 40)
    data = model.data_preprocessor(
        dict(inputs=[image], data_samples=[training_sample(image, ANIMALS, [])]), training=True
    )
    total = sum(model(**data, mode='loss').values())
    total.backward()
    assert torch.isfinite(total)


def test_mixed_batch_equals_images_alone():
    model = decisive(build())
    images = [picture(60, 70), picture(64, 40, 1), picture(64, 96, 2), picture(1, 1, 3), picture(33, 20, 4)]
    vocabularies = [ANIMALS, STREET, STREET, ANIMALS, ANIMALS]

    def samples():
        tasks = ('semantic', 'instance', 'panoptic')
        pairs = zip(images, vocabularies, strict=True)
        return [sample_of(image, (50, 55), vocabulary=vocabulary, tasks=tasks) for image, vocabulary in pairs]

    together = model.predict(preprocess(model, images), samples())
    for image, sample, other in zip(images, samples(), together, strict=True):
        model.predict(preprocess(model, [image]), [sample])
        assert torch.equal(sample.pred_sem_seg.sem_seg, other.pred_sem_seg.sem_seg)
        assert torch.equal(sample.pred_panoptic_seg.sem_seg, other.pred_panoptic_seg.sem_seg)
        torch.testing.assert_close(sample.pred_instances.scores, other.pred_instances.scores, atol=1e-5, rtol=0)
        assert sample.pred_sem_seg.sem_seg.shape == (1, 50, 55)
    assert any(len(sample.pred_panoptic_seg.segments_info) > 1 for sample in together)


def test_encoded_once_asked_twice():
    model = decisive(build())
    image = picture(60, 70)
    inputs = preprocess(model, [image])
    features = model.encode(inputs[0][None])
    for vocabulary in (ANIMALS, STREET):
        direct = sample_of(image, None, vocabulary=vocabulary, tasks=('semantic',))
        model.predict(inputs, [direct])
        cheap = sample_of(image, None, vocabulary=vocabulary, tasks=('semantic',))
        model.predict_features(features, [cheap])
        assert torch.equal(direct.pred_sem_seg.sem_seg, cheap.pred_sem_seg.sem_seg)


def test_only_what_is_asked_for_is_predicted():
    model = build().eval()
    images = [picture(32, 32), picture(32, 32, 1)]
    samples = [
        sample_of(images[0], None, vocabulary=ANIMALS, tasks=('semantic',)),
        sample_of(images[1], None, vocabulary=ANIMALS),
    ]
    model.predict(preprocess(model, images), samples)
    assert 'pred_sem_seg' in samples[0] and 'pred_panoptic_seg' not in samples[0]
    assert 'pred_panoptic_seg' in samples[1] and 'pred_sem_seg' not in samples[1]  # the default


@pytest.mark.parametrize(
    ('meta', 'message'),
    [
        (dict(vocabulary=ANIMALS, tasks=('vqa',)), 'unknown task .*vqa.*semantic, instance, panoptic'),
        (dict(tasks=('semantic',)), "has no 'vocabulary'"),
    ],
)
def test_bad_requests(meta, message):
    model = build().eval()
    image = picture(32, 32)
    with pytest.raises(ValueError, match=message):
        model.predict(preprocess(model, [image]), [sample_of(image, None, **meta)])


def test_tests_in_a_row_share_texts():
    model = build().eval()
    known = model.vocabulary(ANIMALS)
    with mock.patch.object(model.text_encoder, 'stream', side_effect=AssertionError('embedded again')):
        assert torch.equal(model.eval().vocabulary(ANIMALS), known)


def test_vocabulary_memory_does_not_outlive_the_weights():
    model = build().eval()
    before = model.vocabulary(ANIMALS)
    with torch.no_grad():
        for parameter in model.text_encoder.parameters():
            parameter.data.mul_(1.5)
    model.train()
    model.eval()
    assert not torch.allclose(model.vocabulary(ANIMALS), before)


def test_backbone_of_another_library_trains_a_step():
    config = Config.fromfile(CONFIGS / 'xdecoder/xdecoder_swin-t_8xb4-50e_coco-panoptic.py').model
    small = Config.fromfile(CONFIGS / '_base_/models/focal-nano.py').model
    for part in ('decoder', 'text_encoder'):
        config[part] = small[part]
    config.pixel_decoder = {**small.pixel_decoder, 'in_channels': (96, 192, 384, 768)}
    config.tasks.segmentation.loss.num_points = 128
    model = MODELS.build(config).train()
    image = picture(60, 70)
    data = model.data_preprocessor(
        dict(inputs=[image], data_samples=[training_sample(image, ANIMALS, [0, 2])]), training=True
    )
    sum(model(**data, mode='loss').values()).backward()
    gradients = [parameter.grad for parameter in model.backbone.parameters()]
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in gradients)


@torch.no_grad()
def test_graphs_of_encoder_and_decoder_have_no_breaks(inferencer):
    """As torch.compile sees them, on any backend; results are those without a compiler."""
    model, image = inferencer.model, torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    encode, decode = (
        torch.compile(part, backend='eager', fullgraph=True) for part in (model.encode, model.decoder.forward)
    )
    features, queries = model.encode(image), model.decoder.latent_queries(1)
    torch.testing.assert_close(encode(image).mask_features, features.mask_features)
    one, two = (run(features, queries).last for run in (decode, model.decoder))
    torch.testing.assert_close(one.mask_embed, two.mask_embed, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(one.class_embed, two.class_embed, atol=1e-4, rtol=1e-4)
