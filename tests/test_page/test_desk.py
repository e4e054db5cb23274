"""What the page does with models and images, without a browser."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny.hostile_images import Upload, uploads

from xdet.apis import XDecoderInferencer
from xdet.datasets.files.image_io import ImageReadError
from xdet.page import markup
from xdet.page.desk import MOST_IMAGES, SIDE, Desk, Found, Picture, lit, read_picture, region_at
from xdet.structures import FORMATS, TextLine, encode_mask

PROMPTS = dict(
    refseg=dict(phrases='a dog . the cat'),
    refcaption=dict(phrases='a dog'),
    interactive=dict(points=[[20, 10]]),
    vqa=dict(questions='what is it?'),
    retrieval=dict(texts='a dog . a cat'),
)


@pytest.fixture(scope='module')
def desk(inferencer: XDecoderInferencer) -> Desk:
    return Desk(dict(tiny=lambda: inferencer))


@pytest.fixture(scope='module')
def picture(tmp_path_factory: pytest.TempPathFactory) -> Picture:
    path = tmp_path_factory.mktemp('images') / 'noise.png'
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)).save(path)
    return read_picture(path)


@pytest.mark.parametrize('upload', uploads(), ids=str)
def test_hostile_files(upload: Upload, tmp_path: Path) -> None:
    path = tmp_path / 'upload'
    path.write_bytes(upload.data)
    if isinstance(upload.read, str):
        with pytest.raises(ImageReadError, match=re.escape(upload.read)) as caught:
            read_picture(path, upload.name)
        message = str(caught.value)
        assert '\n' not in message and str(tmp_path) not in message and len(message) < 400
        return
    picture = read_picture(path, upload.name)
    assert picture.original == upload.read and max(picture.size) <= SIDE and min(picture.size) >= 1
    assert markup.of_picture(picture).count('<') == 2  # of the paragraph


@pytest.mark.parametrize('name', ['one_pixel.png', 'wide.png', 'high.png', 'rotated.jpg'])
def test_strange_images_are_answered(name: str, desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(next(upload.data for upload in uploads() if upload.name == name))
    picture = read_picture(path)
    found = desk.run('tiny', 'panoptic', [picture], dict(classes='dog . cat'))
    assert found.size == picture.size and found.prediction['image'] == name


@pytest.mark.parametrize('task', sorted({*PROMPTS, 'semantic', 'instance', 'panoptic', 'caption', 'classification'}))
def test_every_task(task: str, desk: Desk, picture: Picture, inferencer: XDecoderInferencer) -> None:
    """As the general call answers."""
    classes = {} if 'classes' not in FORMATS[task].prompts else dict(classes='dog . cat')
    options = {**classes, **PROMPTS.get(task, {})}
    heard: list[str] = []
    found = desk.run('tiny', task, [picture], options, lambda share, words: heard.append(words))
    assert len(heard) >= 2
    expected = inferencer([picture.pixels], task, return_vis=True, show_progress=False, **options)
    (prediction,) = expected['predictions']
    if task == 'retrieval':
        assert [row['text'] for row in found.prediction['rankings']] == ['a dog', 'a cat']
        assert found.ranked[0][1] == '1. noise.png' and found.drawn is None
        assert found.prediction['rankings'][0]['images'][0]['image'] == 'noise.png'
        return
    ignored = ('image', 'provenance')
    assert {**found.prediction, **dict.fromkeys(ignored)} == {**prediction, **dict.fromkeys(ignored)}
    assert found.kept is not None and np.array_equal(found.kept, expected['visualization'][0])
    if task in ('semantic', 'instance', 'panoptic'):
        shown = [row for row in prediction['segments'] if row.get('score', 1) >= 0.3 and row['area']]
        assert [region.row for region in found.regions] == shown
    elif task != 'interactive':
        assert found.lines or found.regions


@pytest.fixture(scope='module')
def found(desk: Desk, picture: Picture) -> Found:
    found = desk.run('tiny', 'semantic', [picture], dict(classes='dog . cat . sky'))
    assert found.regions and found.drawn is not None and found.drawn.shape[0] > picture.size[0]  # drawn enlarged
    return found


def test_a_click_finds_its_region(found: Found) -> None:
    assert found.drawn is not None
    factor = found.drawn.shape[0] // found.size[0]
    for number, region in enumerate(found.regions):
        row, column = np.argwhere(region.mask)[0]
        assert region_at(found, column * factor + 1, row * factor + 1) == number
        picture = lit(found, number)
        changed = (picture != found.drawn).any(axis=2)[::factor, ::factor]
        assert changed[~region.mask].mean() > 0.9 if (~region.mask).any() else True
    assert region_at(found, -5, 3) is None and region_at(found, 1e6, 3) is None


def test_a_region_is_described_and_asked_about(
    found: Found, desk: Desk, picture: Picture, inferencer: XDecoderInferencer
) -> None:
    text = desk.describe(found, 0)
    assert text == inferencer.describe(picture.pixels, found.regions[0].mask[None]).texts[0]
    question, best, *_ = desk.ask(found, 0, 'what is it?')
    x1, y1, x2, y2 = found.regions[0].row['box']
    answer = inferencer.ask(picture.pixels[y1:y2, x1:x2], ['what is it?']).answers[0]
    assert question.text == 'what is it?' and best.text.endswith(answer)
    with pytest.raises(ValueError, match='Question: it is empty'):
        desk.ask(found, 0, '  ')


def test_a_region_is_removed(found: Found, desk: Desk, picture: Picture) -> None:
    row = dict(found.regions[0].row, segmentation=encode_mask(np.arange(64) // 8 == np.ones((48, 1))))
    box = replace(found, regions=[replace(found.regions[0], row=row)])
    changed = (desk.remove(box, 0) != picture.rgb).any(axis=2)
    assert changed[:, 8:16].mean() > 0.9 and not changed[:, 20:].any()


def test_images_stay_encoded_for_further_prompts(
    desk: Desk, picture: Picture, inferencer: XDecoderInferencer, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.run('tiny', 'caption', [picture], {})
    monkeypatch.setattr(inferencer, 'set_image', None)
    desk.run('tiny', 'refseg', [picture], PROMPTS['refseg'])


def test_masks_are_files_of_the_same_size(desk: Desk, picture: Picture, tmp_path: Path) -> None:
    mask = np.zeros((48, 64), np.uint8)
    mask[10:20, 10:30] = 255
    Image.fromarray(mask).save(tmp_path / 'mask.png')
    found = desk.run('tiny', 'refcaption', [picture], dict(masks=[tmp_path / 'mask.png']))
    assert found.regions[0].row['area'] == 200
    Image.fromarray(mask[:40]).save(tmp_path / 'small.png')
    with pytest.raises(ValueError, match='small.png has 40 x 64 pixels .*image has 48 x 64'):
        desk.run('tiny', 'refcaption', [picture], dict(masks=[tmp_path / 'small.png']))


def test_mistakes(desk: Desk, picture: Picture) -> None:
    for task, pictures, options, told in (
        ('panoptic', [picture], {}, 'no class names were given'),
        ('refseg', [picture], dict(phrases='a cat. a dog.'), 'may be 2 texts or one'),
        ('pose', [picture], {}, 'not configured for task'),
        ('retrieval', [], dict(texts='x'), 'no image is there'),
        ('retrieval', [picture] * (MOST_IMAGES + 1), dict(texts='x'), 'too many'),
    ):
        with pytest.raises(ValueError, match=told):
            desk.run('tiny', task, pictures, options)
    with pytest.raises(ValueError, match='model .* is unknown; accepted are tiny'):
        desk.run('other', 'panoptic', [picture], {})


def test_texts_are_never_markup() -> None:
    evil = '<script>alert(1)</script>'
    for piece in (
        markup.lines([TextLine(evil), TextLine(evil, 0.5), TextLine(evil, bold=True)]),
        markup.note(evil),
        markup.error(f'{evil}\n  second line'),
        markup.unknown([evil], evil),
    ):
        assert '<script' not in piece and '&lt;script&gt;' in piece
    assert '\n' not in markup.error('one\ntwo')
    assert '\\u202egpj.exe' in markup.note('\u202egpj.exe')
    assert markup.lines([]) == '' and markup.unknown([], 'x') == ''
