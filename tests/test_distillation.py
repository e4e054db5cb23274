"""Training with a teacher."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_tasks.conftest import tiny_model
from test_tasks.test_training import losses_of, sample

from xdet.export.graphs import graphs
from xdet.inference.inferencer import XDecoderInferencer
from xdet.models import XDecoder
from xdet.models.losses import SegmentTargets
from xdet.tasks import SegmentationTask
from xdet.tasks.base import input_size


@pytest.fixture(scope='module')
def known(inferencer: XDecoderInferencer) -> XDecoder:
    """The tiny model with weights that tell names and images apart."""
    model = copy.deepcopy(inferencer.model)
    generator = torch.Generator().manual_seed(1)
    decoder, text = model.decoder, model.text_encoder
    with torch.no_grad():
        for table in (decoder.query_feat.weight, decoder.query_embed.weight, text.token_embedding.weight):
            table.normal_(generator=generator)
        for table in (decoder.class_embed, text.text_projection):
            table.normal_(std=0.3, generator=generator)
        text.logit_scale.fill_(math.log(60))
    return model


@pytest.fixture(scope='module')
def teacher(
    tmp_path_factory: pytest.TempPathFactory, inferencer: XDecoderInferencer, known: XDecoder
) -> tuple[Path, Path]:
    """Its config and weights."""
    folder = tmp_path_factory.mktemp('teacher')
    inferencer.cfg.dump(str(folder / 'teacher.py'))
    torch.save(known.state_dict(), folder / 'teacher.pth')
    return folder / 'teacher.py', folder / 'teacher.pth'


def pupil(teacher: Path | str, weights: Path | None = None, **settings: object) -> XDecoder:
    loss = dict(type='DistillationLoss', num_points=64)
    own = dict(type='DistillationTask', teacher=str(teacher), weights=weights and str(weights), loss=loss, **settings)
    return tiny_model(distillation=own)


def batch() -> tuple[list[torch.Tensor], list]:
    generator = torch.Generator().manual_seed(0)
    images = [torch.randint(0, 256, (3, 48, 64), generator=generator, dtype=torch.uint8) for _ in range(2)]
    return images, [sample(images[0], [0, 2]), sample(images[1], [1])]


def test_a_student_learns_and_its_teacher_does_not(teacher: tuple[Path, Path]) -> None:
    names = dict(type='RelationalDistillationLoss', weight=20.0)
    model = pupil(*teacher, name_loss=names).train()
    keys, count = set(model.state_dict()), len(list(model.parameters()))
    assert not any('distillation' in key for key in keys)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    course = []
    for _ in range(8):
        torch.manual_seed(0)
        losses = losses_of(model, *batch())
        taught = {name: loss for name, loss in losses.items() if 'taught' in name or 'names' in name}
        assert set(taught) == {
            *(f'{prefix}loss_taught_{part}' for prefix in ('', 'd1.', 'd2.') for part in ('cls', 'mask')),
            'loss_relation_names',
        }
        assert 'loss_cls' in losses, 'the losses of segmentation stay as they are'
        total = sum(taught.values())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        course.append(total.item())
    assert course[-1] < 0.8 * course[0], course
    frozen, _ = model.tasks['distillation']._loaded
    assert not frozen.training and all(p.grad is None and not p.requires_grad for p in frozen.parameters())
    saved = torch.load(teacher[1])
    assert all(torch.equal(value, saved[key]) for key, value in frozen.state_dict().items())
    assert set(model.state_dict()) == keys and len(list(model.parameters())) == count
    model.train()
    assert not frozen.training


def test_the_teacher_sees_the_same_images_and_names(teacher: tuple[Path, Path], known: XDecoder) -> None:
    """Asked about its own images, it says what it says without a student; another normalisation is undone."""
    task = pupil(*teacher).tasks['distillation']
    images, samples = batch()
    data = known.data_preprocessor(dict(inputs=images, data_samples=samples), training=True)
    context = known.context(known.latent_pass(known.encode(data['inputs'])), data['data_samples'])
    targets = SegmentTargets([one.gt_segments for one in samples], input_size(context.features))
    torch.manual_seed(0)  # of the points that masks are matched at
    taught = task._ask(context, targets)
    for row, own in enumerate(known.tasks['segmentation'].class_logits(context)):
        assert all((own - said).abs().amax(1).min() < 1e-3 for said in taught.logits[row])
    assert [len(masks) for masks in taught.masks] == [2, 1] and all(map(torch.all, taught.found))

    brighter = replace(context.features, image=context.features.image / 2)
    other = known.context(known.latent_pass(brighter), data['data_samples'])
    other = replace(other, colours=lambda image: known.data_preprocessor.colours(2 * image))
    torch.manual_seed(0)
    torch.testing.assert_close(task._ask(other, targets).logits, taught.logits, atol=1e-3, rtol=1e-3)


def test_the_random_numbers_of_a_step_do_not_depend_on_loading(teacher: tuple[Path, Path]) -> None:
    model = pupil(*teacher).train()
    found = []
    for _ in range(2):  # the first loads
        torch.manual_seed(3)
        found.append(losses_of(model, *batch())['loss_taught_mask'].item())
    assert found[0] == found[1]


def test_who_learns(teacher: tuple[Path, Path]) -> None:
    task = pupil(*teacher).tasks['distillation']
    images, (segmented, _) = batch()
    assert task.learns(segmented) and not task.learns(sample(images[0], caption='a dog'))
    segmented.set_metainfo(dict(tasks=('caption',)))
    assert not task.learns(segmented)
    segmented.set_metainfo(dict(tasks=('panoptic', 'caption')))
    assert task.learns(segmented)
    assert task.names == () and task._loaded is None, 'nothing is loaded before it is needed'


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('xdecoder_focal-nano', 'no weights for xdecoder_focal-nano'),
        ('nobody', "model 'nobody' is neither a config file nor a shipped model"),
    ],
)
def test_an_unusable_teacher_is_named(name: str, message: str) -> None:
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        losses_of(pupil(name), *batch())


def test_a_teacher_must_segment(teacher: tuple[Path, Path], tmp_path: Path, inferencer: XDecoderInferencer) -> None:
    cfg = inferencer.cfg.copy()
    cfg.model = dict(cfg.model, tasks=dict(classification=dict(type='ClassificationTask')))
    cfg.dump(str(tmp_path / 'teacher.py'))
    with pytest.raises(ValueError, match='has no segmentation task; its tasks are classification'):
        losses_of(pupil(tmp_path / 'teacher.py', teacher[1]), *batch())


def test_a_student_is_exported_without_its_teacher(teacher: tuple[Path, Path]) -> None:
    model = pupil(*teacher).eval()
    assert SegmentationTask in map(type, model.tasks.values())
    assert 'panoptic' in [graph.name for graph in graphs(model)]
