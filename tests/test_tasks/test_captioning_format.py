"""What a caption names and no query sees is said to be unseen."""

from __future__ import annotations

import pytest
import torch

from xdet.apis import XDecoderInferencer
from xdet.structures import FORMATS, Vocabulary, XDetDataSample
from xdet.structures.mentions import PRESENCE, UNSEEN

NAMES = Vocabulary(('dog', 'dining table', 'person'), (True,) * 3)
CAPTIONS = [dict(text='two people and a dog', score=-0.5), dict(text='dogs', score=-0.7), dict(text='', score=-1.0)]


def sample_of(presence: list[float] | None) -> XDetDataSample:
    sample = XDetDataSample(metainfo=dict(vocabulary=NAMES))
    sample.set_field(CAPTIONS, 'pred_captions')
    if presence is not None:
        sample.pred_presence = torch.tensor(presence)
    return sample


@pytest.mark.parametrize(
    ('presence', 'unseen'),
    [
        (None, [[], [], []]),
        ([1.0, 0.0, UNSEEN], [[], [], []]),
        ([UNSEEN - 0.01, 0.0, 0.9], [['dog'], ['dog'], []]),
        ([0.0, 0.0, 0.0], [['dog', 'person'], ['dog'], []]),
    ],
)
def test_unseen_names(presence: list[float] | None, unseen: list[list[str]]) -> None:
    form, sample = FORMATS['caption'], sample_of(presence)
    captions = form.results(sample)['captions']
    assert [caption.get('unseen', []) for caption in captions] == unseen
    assert [caption['text'] for caption in captions] == [caption['text'] for caption in CAPTIONS]
    said = form.summary(dict(captions=captions[:1]), 0.3)
    assert said == ['two people and a dog' + (f'  (not seen: {", ".join(unseen[0])})' if unseen[0] else '')]
    assert [line.text for line in form.lines(sample, 0.3)][:1] == said
    assert sample.pred_captions == CAPTIONS


def test_only_models_that_come_with_the_package_look_for_names(inferencer: XDecoderInferencer) -> None:
    """Others may know thousands, or none."""
    assert inferencer.check('caption').tasks == ('caption',)
    assert PRESENCE in inferencer.model.task_names and PRESENCE not in inferencer.task_names


def test_photos_doubts_its_captions() -> None:
    model = XDecoderInferencer('photos', device='cpu')
    assert model.check('caption').tasks == (PRESENCE, 'caption')
    assert model.check('vqa', questions='is there a dog?').tasks == (PRESENCE, 'vqa')
    assert model.check('panoptic').tasks == ('panoptic',)
    noise = torch.randint(0, 256, (64, 80, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)).numpy()
    prediction = model(noise, task='caption')['predictions'][0]
    assert prediction['captions'][0]['unseen'] and 'classes' not in prediction and 'presence' not in prediction
