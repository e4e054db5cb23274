"""Clicks, boxes and rough masks: what is answered, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from parity.model import sample_of
from PIL import Image
from test_tasks.conftest import tiny_model

from xdet.inference.inputs.regions import RegionError
from xdet.structures import FORMATS, TextPrompts
from xdet.tasks import InteractiveTask

CLICKS = [[20, 30], [40, 10], [41, 10], [0, 39]]
LABELS = [1, 0, 1, 0]


@pytest.fixture(scope='module')
def image() -> np.ndarray:
    return np.random.RandomState(0).randint(0, 255, (40, 60, 3), np.uint8)


@pytest.fixture(scope='module')
def encoded(inferencer, image):
    return inferencer.set_image(image)


def test_every_answer_honours_every_click(inferencer, encoded) -> None:
    found = inferencer.click(encoded, CLICKS, LABELS)
    assert 1 <= len(found) <= 3 and found.masks.shape == (len(found), 40, 60) and set(found.names) == {'object 1'}
    for mask in found.masks:
        assert [bool(mask[y, x]) for x, y in CLICKS] == [bool(label) for label in LABELS]
    assert (found.mask == found.masks[0]).all() and ((found.scores > 0) & (found.scores <= 1)).all()
    strict = inferencer.click(encoded, CLICKS, LABELS, mask=0.9)
    assert all(bool(strict.mask[y, x]) == bool(label) for (x, y), label in zip(CLICKS, LABELS, strict=True))


def test_answers_differ(inferencer, encoded) -> None:
    flat = inferencer.click(encoded, boxes=[[5, 5, 50, 30]]).masks.reshape(-1, 40 * 60)
    for place, row in enumerate(flat):
        for other in flat[:place]:
            assert (row & other).sum() <= 0.9 * (row | other).sum()  # 0.8 on the coarser grid where they are compared


def test_boxes_and_masks_are_objects_of_their_own(inferencer, encoded, image) -> None:
    boxes = [[5, 5, 50, 30], [0, 0, 60, 40]]
    both = inferencer.click(encoded, boxes=boxes)
    assert sorted(set(both.labels)) == [0, 1] and both.best.shape == (2, 40, 60)
    for number, box in enumerate(boxes):
        alone = inferencer.click(encoded, boxes=[box])
        assert (alone.masks == both.masks[both.labels == number]).all()
    scribble = np.zeros((1, 40, 60), bool)
    scribble[0, 20, 10:50] = True
    assert inferencer.click(encoded, masks=scribble).prediction['segments'] != both.prediction['segments']
    assert len(inferencer.click(encoded, masks=np.ones((1, 40, 60), bool))) >= 1  # all of the image is a defined prompt
    with_click = inferencer.click(encoded, [[30, 20, 0]], boxes=[boxes[0]])
    assert not with_click.masks[:, 20, 30].any()


def test_images_of_a_call(inferencer, image) -> None:
    first, second = inferencer.click([image, image[:, ::-1]], points=[[[3, 4]], [[5, 6], [7, 8, 0]]])
    assert first.masks[:, 4, 3].all() and second.masks[:, 6, 5].all() and not second.masks[:, 8, 7].any()
    several = inferencer.click([image, image], points=[[[3, 4]], [[300, 4]]])
    assert (
        len(several) == 1 and 'point [300, 4] lies outside of the image, which is 60x40' in several.failed[0]['error']
    )


@pytest.mark.parametrize(
    ('prompts', 'error', 'message'),
    [
        (dict(points=[[60, 5]]), RegionError, r'point \[60, 5\] lies outside of the image, which is 60x40 pixels'),
        (dict(points=[[-0.5, 5]]), RegionError, r'point \[-0.5, 5\] lies outside'),
        (dict(points=[[5, 5], [5.9, 5.2, 0]]), RegionError, r'pixel \[5, 5\] is clicked as on the object and as not'),
        (dict(masks=np.zeros((40, 60), bool)), RegionError, 'a mask is empty: all of its pixels are black'),
        (dict(masks=np.ones((4, 6), bool)), RegionError, 'a mask is 6x4 pixels but the image is 60x40'),
        (dict(boxes=[[70, 5, 90, 9]]), RegionError, 'covers no pixel of the image'),
        (dict(points=[[5, 5]], labels=[0]), ValueError, 'points: none is on the object; give one that is'),
        (dict(points=[[5, 5]], labels=[1, 0]), ValueError, 'labels has 2 entries for 1 points'),
        (dict(labels=[1]), ValueError, 'labels has 1 entries for 0 points'),
        (dict(points=[[5, 5, 1]], labels=[0]), ValueError, r'accepted is one per point \[x, y\]'),
        (dict(points=[[5, 5, 2]]), ValueError, r'\[5, 5, 2\] is no point; accepted are lists of \[x, y\] in pixels'),
        (dict(points=[[5, float('nan')]]), ValueError, 'is no point'),
        (dict(points=[]), ValueError, 'no point'),
        (dict(points='3'), ValueError, r"points: '3' are no points; accepted is \"x y; x y 0\""),
        (dict(points=7), ValueError, r'points is a int; accepted are lists of \[x, y\]'),
        (dict(points=[[[[1, 2]]]]), ValueError, 'points are nested too deeply'),
        (dict(points=[[[1, 2]], [[1, 2]]]), ValueError, 'points has 2 entries, one per image, but there are 1 images'),
    ],
)
def test_bad_prompts_end_in_one_line(inferencer, encoded, prompts, error, message) -> None:
    with pytest.raises(error, match=message) as caught:
        inferencer.click(encoded, **prompts)
    assert '\n' not in str(caught.value)


def test_pictures_lines_and_provenance(inferencer, encoded, image) -> None:
    found = inferencer.click(encoded, [[20, 30], [40, 10, 0], [20.5, 30]])
    assert found.prediction['provenance']['prompts'] == dict(points=[[20, 30, 1], [40, 10, 0]])  # a pixel once
    factor = found.plot().shape[0] // 40
    place = found.plot()[factor * 30 + factor // 2 + 2 : factor * 31, factor * 20 : factor * 20 + 2].reshape(-1, 3)
    assert (place == [30, 150, 60]).all(1).any()  # the green of a click on the object
    assert str(found).startswith('object 1  score 0.') and '%' in str(found)
    assert [row['answer'] for row in found.prediction['segments']] == list(range(len(found)))


def test_file_of_a_mask_and_text(inferencer, image, tmp_path) -> None:
    path = tmp_path / 'rough.png'
    Image.fromarray(255 * (np.arange(40)[:, None] > np.zeros(60)).astype(np.uint8)).save(path)
    result = inferencer(image, task='interactive', points='3 4; 50 30 0', masks=str(path), show_progress=False)
    segments = result['predictions'][0]['segments']
    assert FORMATS['interactive'].summary(result['predictions'][0], 0.3)[0].startswith('object 1') and segments


def test_samples_that_show_nothing_are_refused(picture) -> None:
    model = tiny_model().eval()
    given = picture(32, 32)
    for prompts, message in (
        (dict(), 'shows no object; give a click on one, a box or a mask'),
        (dict(points=torch.tensor([[1, 1, 0]])), 'shows no object'),
        (
            dict(points=torch.tensor([[1, 1, 1]]), regions=torch.ones(2, 32, 32, dtype=torch.bool)),
            'there are 2 regions',
        ),
    ):
        sample = sample_of(given, None)
        sample.prompts = TextPrompts(tasks=('interactive',), **prompts)
        data = model.data_preprocessor(dict(inputs=[given], data_samples=[sample]), training=False)
        with pytest.raises(ValueError, match=message):
            model(**data, mode='predict')


@pytest.mark.parametrize('name', ['answers', 'temperature', 'reach', 'softness'])
def test_settings_are_positive(name: str) -> None:
    with pytest.raises(ValueError, match=f'InteractiveTask: {name} is 0; accepted are numbers above 0'):
        InteractiveTask(**{name: 0})
