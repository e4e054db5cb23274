import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from tiny.inpainting import save_inpainting_pipeline

from xdet import editing
from xdet.apis import REMOVAL_PROMPT, edit_image, load_inpainting_pipeline
from xdet.datasets.files.image_io import ImageReadError
from xdet.editing import dilate, paste

GREEN = (0, 255, 0)


class FakePipeline:
    """Paints everything green and remembers what it was called with."""

    def __init__(self, size=None):
        self.calls, self.size = [], size

    def __call__(self, **kwargs):
        self.calls.append(kwargs)
        size = self.size or (kwargs['width'], kwargs['height'])
        return SimpleNamespace(images=[Image.new('RGB', size, GREEN)])


def picture(height, width, seed=0):
    return np.random.RandomState(seed).randint(0, 200, (height, width, 3), np.uint8)  # never as green as the paint


@pytest.fixture(scope='module')
def tiny_inpainting_pipeline(tmp_path_factory):
    for name in ('diffusers', 'transformers'):
        pytest.importorskip(name, reason=f'{name} is not installed (pip install -r requirements/edit.txt)')
    return save_inpainting_pipeline(tmp_path_factory.mktemp('pipeline'))


@pytest.fixture
def phrase_means(monkeypatch):
    """Chooses the mask that phrases have."""

    def choose(mask):
        monkeypatch.setattr(editing, 'segment_phrase', lambda inferencer, image, phrase: (mask, 0.9))

    return choose


def box_mask(height, width, y1, y2, x1, x2):
    mask = np.zeros((height, width), bool)
    mask[y1:y2, x1:x2] = True
    return mask


def edit(image, **options):
    pipeline = options.pop('pipeline', FakePipeline())
    return edit_image(SimpleNamespace(device='cpu'), image, 'the dog', pipeline=pipeline, **options), pipeline


def as_rgb(result):
    return np.asarray(result.image)


@pytest.mark.parametrize('fit', ['pad', 'crop'])
@pytest.mark.parametrize('dilation', [0, 1, 3])
def test_only_the_dilated_mask_changes(phrase_means, dilation, fit):
    image, mask = picture(128, 192), box_mask(128, 192, 20, 40, 30, 60)
    phrase_means(mask)
    result, pipeline = edit(image, shortest_side=None, dilation=dilation, fit=fit)
    grown = box_mask(128, 192, 20 - dilation, 40 + dilation, 30 - dilation, 60 + dilation)
    assert (result.mask == mask).all() and (result.edited == grown).all() and result.score == 0.9
    assert (as_rgb(result)[grown] == GREEN).all()
    assert (as_rgb(result)[~grown] == image[..., ::-1][~grown]).all()
    (call,) = pipeline.calls
    assert (call['prompt'], call['height'], call['width']) == (REMOVAL_PROMPT, 128, 192)
    assert (np.asarray(call['image']) == image[..., ::-1]).all()
    assert (np.asarray(call['mask_image']) == np.where(grown, 255, 0)).all()


@pytest.mark.parametrize('size', [(75, 130), (300, 200), (64, 64), (33, 500)])
@pytest.mark.parametrize('multiple', [8, 64])
@pytest.mark.parametrize('shortest_side', [None, 64, 128])
def test_any_size_in_is_the_size_out(phrase_means, size, multiple, shortest_side):
    height, width = size
    image, mask = picture(height, width), box_mask(height, width, 10, 30, width - 20, width)
    phrase_means(mask)
    result, pipeline = edit(image, shortest_side=shortest_side, multiple=multiple)
    (call,) = pipeline.calls
    assert call['height'] % multiple == call['width'] % multiple == 0
    assert call['image'].size == call['mask_image'].size == (call['width'], call['height'])
    if shortest_side is not None:
        assert min(call['height'], call['width']) == shortest_side
    assert result.image.size == (width, height) and result.edited[mask].all()
    assert (as_rgb(result)[~result.edited] == image[..., ::-1][~result.edited]).all()
    assert (np.abs(as_rgb(result)[mask].astype(int) - GREEN) <= 1).all()  # also in the padded column at the right


def test_padding_is_not_painted(phrase_means):
    phrase_means(box_mask(70, 70, 60, 70, 60, 70))
    _, pipeline = edit(picture(70, 70), shortest_side=None)
    canvas, hole = (np.asarray(pipeline.calls[0][key]) for key in ('image', 'mask_image'))
    assert canvas.shape == (128, 128, 3) and hole[:70, :70].any()
    assert not hole[70:].any() and not hole[:, 70:].any()
    assert (canvas[70:, :70] == canvas[69, :70]).all()


def test_crop_leaves_what_it_cuts_off(phrase_means):
    image, mask = picture(70, 100), box_mask(70, 100, 0, 70, 40, 100)
    phrase_means(mask)
    result, pipeline = edit(image, shortest_side=None, fit='crop', dilation=0)
    assert pipeline.calls[0]['image'].size == (64, 64)
    assert (result.edited == box_mask(70, 100, 0, 64, 40, 64)).all()
    assert (as_rgb(result)[~result.edited] == image[..., ::-1][~result.edited]).all()


def test_feathering_stays_inside(phrase_means):
    image, mask = picture(128, 128), box_mask(128, 128, 30, 90, 0, 70)
    phrase_means(mask)
    result, _ = edit(image, shortest_side=None, dilation=0, feather=5)
    original, edited = image[..., ::-1].astype(int), as_rgb(result).astype(int)
    assert (edited[~mask] == original[~mask]).all()
    assert (edited[40:80, :60] == GREEN).all()  # the border of the picture is no edge
    rows = np.abs(edited[60, 64:71] - original[60, 64:71]).sum(axis=-1) / np.abs(GREEN - original[60, 64:71]).sum(-1)
    assert np.allclose(rows[:6], np.arange(6, 0, -1) / 6, atol=0.02) and rows[6] == 0


def test_paste_of_a_whole_picture():
    original, painted = picture(8, 8), picture(8, 8, 1)
    assert (paste(original, painted, np.ones((8, 8), bool), feather=3) == painted).all()


def test_dilation_is_the_full_square_repeated():
    mask = np.zeros((9, 9), bool)
    mask[4, 4] = mask[0, 0] = True
    expected = box_mask(9, 9, 2, 7, 2, 7) | box_mask(9, 9, 0, 3, 0, 3)
    assert (dilate(mask, 2) == expected).all() and (dilate(mask, 0) == mask).all()


def test_settings_reach_the_pipeline(phrase_means):
    phrase_means(box_mask(64, 64, 0, 9, 0, 9))
    _, pipeline = edit(picture(64, 64), prompt='a cat', shortest_side=64, seed=3, num_inference_steps=2)
    (call,) = pipeline.calls
    assert call['prompt'] == 'a cat' and call['num_inference_steps'] == 2
    assert call['generator'].initial_seed() == 3


def test_without_a_pipeline_the_gap_is_filled_from_around(phrase_means):
    """A red block on a ramp of greys: what was under it is guessed from both sides, everything else stays."""
    ramp = np.repeat(np.linspace(60, 180, 128, dtype=np.uint8)[None, :, None], 96, 0).repeat(3, 2)
    image, mask = ramp.copy(), box_mask(96, 128, 40, 60, 50, 74)
    image[mask] = 0, 0, 255
    phrase_means(mask)
    result, _ = edit(image, pipeline=None, shortest_side=96, multiple=8, dilation=2)
    assert np.abs(as_rgb(result).astype(int) - ramp)[mask].max() < 12
    assert np.array_equal(as_rgb(result)[~result.edited], ramp[~result.edited]) and result.edited.sum() > mask.sum()
    wide, _ = edit(image, pipeline=None)
    assert np.array_equal(wide.edited, dilate(mask, 2))  # 12 pixels at the size of 512
    assert np.array_equal(editing.remove_region(image[..., ::-1], mask), as_rgb(wide))


@pytest.mark.parametrize(
    'options, name',
    [(dict(prompt='a cat'), 'prompt'), (dict(seed=1), 'seed'), (dict(num_inference_steps=2), 'num_inference_steps')],
)
def test_painting_needs_a_pipeline(phrase_means, options, name):
    phrase_means(box_mask(50, 50, 0, 9, 0, 9))
    with pytest.raises(ValueError, match=f'{name} is .*, which needs an inpainting pipeline'):
        edit(picture(50, 50), pipeline=None, **options)


def test_nothing_lies_around_the_whole_image(phrase_means):
    phrase_means(np.ones((50, 50), bool))
    with pytest.raises(ValueError, match='covers the whole image'):
        edit(picture(50, 50), pipeline=None)


def test_nothing_to_edit(phrase_means):
    phrase_means(np.zeros((64, 64), bool))
    pipeline = FakePipeline()
    with pytest.raises(ValueError, match="image_0: no pixel fits the phrase 'the dog'"):
        edit(picture(64, 64), pipeline=pipeline)
    assert not pipeline.calls


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(dilation=-1), 'dilation is -1'),
        (dict(feather=0.5), 'feather is 0.5'),
        (dict(multiple=0), 'multiple is 0'),
        (dict(shortest_side=32), 'shortest_side is 32; accepted are whole numbers from 64'),
        (dict(fit='stretch'), "fit is 'stretch'; accepted are 'pad' and 'crop'"),
        (dict(dilation=2**70), 'dilation is 1180591620717411303424; accepted'),
        (dict(shortest_side=2**40), 'shortest_side is'),
        (dict(multiple=10**9), 'multiple is'),
        (dict(multiple='8'), "multiple is '8'"),
        (dict(fit=['pad']), 'fit is'),
        (dict(seed='x'), "seed is 'x'"),
        (dict(seed=2**64), 'seed is'),
        (dict(prompt=5), 'prompt is 5'),
        (dict(pipeline=5), 'pipeline is a int'),
        (dict(fit='crop', shortest_side=None), 'nothing left'),
        (dict(pipeline=FakePipeline(size=(8, 8))), 'asked for 512x512 pixels but returned 8x8'),
        (dict(pipeline=lambda **kwargs: SimpleNamespace(images=[np.zeros((8, 8, 3))])), 'no Pillow images'),
    ],
)
def test_bad_arguments(phrase_means, options, message):
    phrase_means(box_mask(50, 50, 0, 9, 0, 9))
    with pytest.raises(ValueError, match=message):
        edit(picture(50, 50), **options)


def test_bad_images(phrase_means, tmp_path):
    with pytest.raises(ImageReadError, match='does not exist'):
        edit(tmp_path / 'missing.jpg')
    with pytest.raises(ValueError, match='takes one image, not 2'):
        edit([picture(9, 9), picture(9, 9)])


def test_mask_comes_from_the_model(inferencer):
    image = cv2.resize(picture(3, 4), (80, 60), interpolation=cv2.INTER_NEAREST)
    sample = inferencer(image, task='refseg', phrases=['a red block'], return_datasamples=True)['predictions'][0]
    mask = sample.pred_phrases.masks[0].numpy()
    assert mask.any()
    result = edit_image(inferencer, image, 'a red block', pipeline=FakePipeline(), shortest_side=64, multiple=8)
    assert (result.mask == mask).all() and result.score == float(sample.pred_phrases.scores[0])
    assert result.image.size == (80, 60)


@pytest.mark.parametrize('content', [None, {}, {'_class_name': 'NoSuchPipeline'}])
def test_folders_that_hold_no_pipeline(tmp_path, content):
    pytest.importorskip('diffusers')
    folder = tmp_path / 'pipeline'
    if content is not None:
        folder.mkdir()
        (folder / 'model_index.json').write_text(json.dumps(content))
    with pytest.raises(OSError, match='pipeline') as caught:
        load_inpainting_pipeline(folder)
    assert '\n' not in str(caught.value)


def test_diffusers_pipeline_from_a_folder(inferencer, tiny_inpainting_pipeline):
    """A tiny, untrained Stable Diffusion inpainting pipeline, saved and loaded."""
    image = cv2.resize(picture(3, 4), (80, 60), interpolation=cv2.INTER_NEAREST)
    settings = dict(shortest_side=64, multiple=16, seed=1, num_inference_steps=2, guidance_scale=1.5)
    results = [
        edit_image(inferencer, image, 'a red block', 'a cat', pipeline=pipeline, **settings)
        for pipeline in (tiny_inpainting_pipeline, load_inpainting_pipeline(tiny_inpainting_pipeline))
    ]
    for result in results:
        assert result.image.size == (80, 60)
        assert (as_rgb(result)[~result.edited] == image[..., ::-1][~result.edited]).all()
        assert (as_rgb(result)[result.edited] != image[..., ::-1][result.edited]).mean() > 0.9
    assert (as_rgb(results[0]) == as_rgb(results[1])).all()  # the seed decides
    assert torch.get_default_dtype() == torch.float32
