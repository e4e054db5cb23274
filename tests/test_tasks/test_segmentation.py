"""Several kinds of segments at once: the same as one after the other, also for large images."""

from dataclasses import replace

import open_clip
import pytest
import torch
from parity.model import preprocess, sample_of
from test_tasks.conftest import tiny_model

from xdet.models import postprocess
from xdet.models.postprocess import resize
from xdet.structures import FORMATS, Thresholds, Vocabulary, XDetDataSample
from xdet.visualization import XDetLocalVisualizer

KINDS = ('semantic', 'instance', 'panoptic')
NAMES = Vocabulary.from_prompts(things='dog . cat', stuff='grass')


def segments(model, image, *tasks):
    sample = sample_of(image, (50, 55), vocabulary=NAMES, tasks=tasks)
    model.predict(preprocess(model, [image]), [sample])
    return dict(
        semantic=lambda: sample.pred_sem_seg.sem_seg,
        instance=lambda: sample.pred_instances.masks,
        panoptic=lambda: sample.pred_panoptic_seg.sem_seg,
    )


@pytest.mark.parametrize('small', [True, False])
def test_all_masks_are_made_at_once_only_where_they_are_small(model, picture, monkeypatch, small):
    image, made, make = picture(40, 40), [], postprocess.mask_logits
    alone = {task: segments(model, image, task)[task]() for task in KINDS}
    if not small:
        monkeypatch.setattr(postprocess, 'SCORE_BYTES', 4 * 50 * 55)  # one mask
        monkeypatch.setattr(resize, 'CHUNK_BYTES', 2 * 4 * 50 * 55)

    def counted(embed, *arguments):
        made.append(len(embed))
        return make(embed, *arguments)

    monkeypatch.setattr(postprocess, 'mask_logits', counted)
    together = segments(model, image, *KINDS)
    for task in KINDS:
        assert torch.equal(together[task](), alone[task])
    queries = model.decoder.num_queries
    assert made == [queries] if small else max(made) == 2 and len(made) >= queries // 2


@pytest.mark.parametrize(('score', 'named'), [(None, False), ({'dog': 0.0}, False), (0.0, True)])
def test_a_score_of_the_request_is_the_rule_for_pixels_without_a_name(model, picture, monkeypatch, score, named):
    monkeypatch.setattr(model.tasks['segmentation'], 'background_score', 1.0)
    image = picture(40, 40)
    sample = sample_of(image, (50, 55), vocabulary=NAMES, tasks=('semantic',))
    sample.prompts = replace(sample.prompts, thresholds=Thresholds(score=score))
    model.predict(preprocess(model, [image]), [sample])
    labels = sample.pred_sem_seg.sem_seg
    assert (labels >= 0).all() if named else (labels == XDetDataSample.BACKGROUND).all()


def test_pixels_have_a_say_in_names(model, picture):
    """Only where they are given one: else every number stays as it is."""
    image = picture(40, 40)
    found = {}
    for share in (None, 0.0, 1.0):
        head = None if share is None else dict(type='PixelNames', embed_dims=128, maps=dict(backbone_3=64), share=share)
        other = tiny_model(**{'segmentation.pixel_names': head}).eval()
        other.load_state_dict(model.state_dict(), strict=False)
        sample = sample_of(image, (50, 55), vocabulary=NAMES, tasks=('instance',))
        other.predict(preprocess(other, [image]), [sample])
        found[share] = sample.pred_instances
    assert torch.equal(found[0.0].scores, found[None].scores)
    assert torch.equal(found[0.0].masks, found[None].masks)
    assert not torch.equal(found[1.0].scores, found[None].scores)


def test_a_frozen_clip_has_a_say_in_names(model, picture, tmp_path):
    """With the image as it was before normalisation, and only where it is given a weight."""
    image, found = picture(40, 40), {}
    towers = dict(
        embed_dim=8,
        text_cfg=dict(width=16, heads=2, layers=1, context_length=77),
        vision_cfg=dict(image_size=32, layers=1, width=32, head_width=16, patch_size=16),
    )
    torch.save(open_clip.CLIP(**towers).state_dict(), tmp_path / 'clip.pt')
    for share in (None, 0.0, 1.0):
        clip = dict(type='ClipEnsemble', model=towers, weights=str(tmp_path / 'clip.pt'), share_unseen=share)
        other = tiny_model(**{'segmentation.clip_ensemble': None if share is None else dict(clip, share_seen=0)}).eval()
        other.load_state_dict(model.state_dict())
        sample = sample_of(image, (50, 55), vocabulary=NAMES, tasks=('instance',))
        inputs = preprocess(other, [image])
        other.predict(inputs, [sample])
        found[share] = sample.pred_instances
        colours = other.data_preprocessor.colours(inputs[0])
        assert -1e-5 < colours.min() and colours.max() < 1 + 1e-5
    assert torch.equal(found[0.0].scores, found[None].scores)
    assert torch.equal(found[0.0].masks, found[None].masks)
    assert not torch.equal(found[1.0].scores, found[None].scores)


def test_how_unsure_names_are(model, picture):
    """Maps and numbers per segment where they are asked for, and nothing else changes."""
    image, found = picture(40, 40), {}
    for asked in (False, True):
        sample = sample_of(image, (50, 55), vocabulary=NAMES, tasks=KINDS)
        sample.prompts = replace(sample.prompts, uncertainty=asked)
        model.predict(preprocess(model, [image]), [sample])
        found[asked] = sample
    plain, told = found[False], found[True]
    assert 'pred_uncertainty' not in plain and 'entropy' not in FORMATS['semantic'].results(plain)['segments'][0]
    assert torch.equal(plain.pred_sem_seg.sem_seg, told.pred_sem_seg.sem_seg)
    assert torch.equal(plain.pred_instances.scores, told.pred_instances.scores)
    assert torch.equal(plain.pred_panoptic_seg.sem_seg, told.pred_panoptic_seg.sem_seg)
    for task in KINDS:
        for segment in FORMATS[task].results(told)['segments']:
            assert all(0 <= segment[key] <= 1 for key in ('entropy', 'confidence', 'agreement'))
        assert {'entropy', 'agreement'} <= set(FORMATS[task].maps(told))
    drawn = [
        XDetLocalVisualizer().draw(image.permute(1, 2, 0).numpy().repeat(2, 0)[:50].repeat(2, 1)[:, :55], sample)
        for sample in (plain, told)
    ]
    assert drawn[1].shape[1] > drawn[0].shape[1]
