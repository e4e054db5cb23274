"""A method for every task: arguments, thresholds, typed results."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageShow
from tiny.libraries import library

from xdet.apis import XDecoderInferencer, decode_mask
from xdet.structures import Vocabulary

DEMO = Path(__file__).resolve().parents[2] / 'demo' / 'demo_scene.png'
NAMES = ['red cross', 'green heart', 'purple star']


@pytest.fixture(scope='module')
def model():
    return XDecoderInferencer('scenes', device='cpu')


@pytest.fixture(scope='module')
def scene(model):
    return model.set_image(DEMO)


@pytest.fixture(scope='module')
def found(model, scene):
    return model.segment(scene, NAMES, stuff=['sky', 'sand'])


def test_segments_are_arrays(found):
    assert {'red cross', 'green heart'} <= set(found.names) and 'purple star' not in found.names
    height, width = found.size
    assert found.masks.shape == (len(found), height, width) and found.masks.dtype == bool
    assert found.boxes.shape == (len(found), 4) and found.scores.shape == found.labels.shape == (len(found),)
    for mask, box, name, label in zip(found.masks, found.boxes, found.names, found.labels, strict=True):
        rows, columns = np.nonzero(mask)
        assert (box == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).all()
        assert found.prediction['classes'][label] == name
    assert list(found.presence) == [*NAMES, 'sky', 'sand']
    assert found.presence['red cross'] > 0.5 > found.presence['purple star'] and 'purple star' in found.absent


def test_turned_boxes_and_polygons(model, scene, found):
    assert found.oriented_boxes.shape == (len(found), 5) and all(len(parts) > 0 for parts in found.polygons)
    corners = [cv2.boxPoints((box[:2], box[2:4], box[4])) for box in found.oriented_boxes]
    for mask, box, polygons, own in zip(found.masks, found.boxes, found.polygons, corners, strict=True):
        rings = np.concatenate([polygon.outer for polygon in polygons])
        assert (rings.min(0) >= box[:2]).all() and (rings.max(0) <= box[2:]).all()
        assert own.min(0)[0] <= box[0] + 1 and own.max(0)[1] >= box[3] - 1 and mask.any()
    names = dict(things=NAMES, stuff=['sky', 'sand'], oriented_boxes=True, polygons=True)
    rows = json.loads(json.dumps(model.predict('panoptic', scene, **names)['predictions'][0]['segments']))
    assert [row['oriented_box'] for row in rows] == found.oriented_boxes.tolist()
    assert [len(row['polygons']) for row in rows] == [len(polygons) for polygons in found.polygons]
    nothing = model.refer(scene, 'a purple star', score=1.0)
    assert nothing.oriented_boxes.tolist() == [[0] * 5] and nothing.polygons == [()]
    with pytest.raises(ValueError, match="task 'caption' does not take polygons; semantic"):
        model.predict('caption', scene, polygons=True)


def test_methods_are_the_general_call(model, scene, found):
    plain = model.predict('panoptic', scene, things=NAMES, stuff=['sky', 'sand'])['predictions'][0]
    assert json.loads(found.to_json()) == json.loads(json.dumps(plain))
    assert json.loads(model.segment(DEMO, NAMES).to_json()) == model(DEMO, classes=NAMES)['predictions'][0]


@pytest.mark.parametrize('kind', ['panoptic', 'instance', 'semantic'])
def test_every_kind_draws_and_saves(model, scene, kind, tmp_path):
    result = model.segment(scene, NAMES, kind=kind)
    assert result.task == kind and len(result.names) == len(result)
    assert Image.open(result.save(tmp_path / 'new' / 'a.png')).size == result.plot().shape[1::-1]
    assert cv2.imread(str(result.save(tmp_path / 'a.jpg'))) is not None
    assert json.loads(result.save(tmp_path / 'a.json').read_text())['task'] == kind
    assert result._repr_png_().startswith(b'\x89PNG')
    assert 'Segments' in repr(result) and '\n' not in repr(result)


def test_other_results(model, scene, found):
    phrases = model.refer(scene, ['the red cross', 'the green heart'])
    assert phrases.names == ['the red cross', 'the green heart'] and list(phrases.presence) == phrases.names
    assert all(0 <= presence <= 1 for presence in phrases.presence.values())
    caption = model.caption(scene, num_texts=2, num_beams=3)
    assert caption.text == caption.texts[0] and len(caption.texts) == len(caption.scores) == 2
    answers = model.ask(scene, ['what shape is the blue object?', 'what colour is the heart?'])
    assert answers.answers == ['circle', 'green'] and len(answers.questions) == len(answers.scores) == len(answers)
    classes = model.classify(scene, NAMES)
    assert set(classes.names) <= set(NAMES) and (np.diff(classes.scores) <= 0).all()
    vectors = model.embed(scene).vectors
    assert vectors.shape[0] == 2 and np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    for result in (phrases, caption, answers, classes, model.embed(scene)):
        assert result.plot().ndim == 3 and json.loads(result.to_json())['task'] == result.task


@pytest.mark.parametrize('kind', ['result', 'masks', 'boxes', 'array', 'phrase', 'phrases'])
def test_regions_of_every_kind(model, scene, found, kind):
    regions = dict(
        result=found,
        masks=found.masks,
        boxes=found.boxes.tolist(),
        array=found.boxes,
        phrase='the red cross',
        phrases=['the red cross', 'the green heart'],
    )[kind]
    described = model.describe(scene, regions, max_tokens=4)
    count = dict(phrase=1, phrases=2).get(kind, len(found))
    assert len(described) == len(described.texts) == len(described.boxes) == count
    if kind in ('result', 'masks'):
        assert (described.masks == found.masks).all()


def test_several_images_are_a_list(model, tmp_path, caplog):
    (tmp_path / 'bad.png').write_bytes(b'x')
    results = model.segment([DEMO, tmp_path / 'bad.png', DEMO], NAMES)
    assert len(results) == 2 and [failure['index'] for failure in results.failed] == [1]
    assert results[0].names == results[1].names
    assert isinstance(model.segment(DEMO, NAMES), type(results[0]))


@pytest.mark.parametrize('viewer', [True, False])
def test_show(found, monkeypatch, viewer):
    shown = []

    class Viewer(ImageShow.Viewer):
        def show(self, image, **options):
            shown.append(image.size)
            return True

    monkeypatch.setattr(ImageShow, '_viewers', [Viewer()] if viewer else [])
    if viewer:
        found.show()
        assert shown
    else:
        with pytest.raises(OSError, match='no program to show images'):
            found.show()


def test_supervision(found, model, scene):
    supervision = library('supervision')
    detections = found.to_supervision()
    assert isinstance(detections, supervision.Detections) and len(detections) == len(found)
    assert list(detections.data['class_name']) == found.names and (detections.mask == found.masks).all()
    assert len(model.segment(scene, ['purple star'], presence=1.0).to_supervision()) == 0


def test_supervision_missing_is_one_line(found, monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'supervision', None)
    with pytest.raises(ImportError, match=r'pip install "xdet\[results\]"'):
        found.to_supervision()


@pytest.mark.parametrize(
    'call, told',
    [
        (
            lambda m, s: m.segment(s, 'a cat. a dog.'),
            r"'a cat. a dog.' may be 2 texts or one; write \['a cat', 'a dog'\]",
        ),
        (lambda m, s: m.segment(s, 'cat, dog'), 'may be 2 texts or one'),
        (lambda m, s: m.refer(s, 'a cat. a dog.'), 'may be 2 texts or one'),
        (lambda m, s: m.refer(s, 'a cat; a dog'), 'may be 2 texts or one'),
        (lambda m, s: m.ask(s, 'what is it? what colour is it?'), r"\['what is it\?', 'what colour is it\?'\]"),
        (lambda m, s: m.predict('refseg', s, phrases='a cat. a dog.'), 'may be 2 texts or one'),
        (lambda m, s: m.segment(s, ['cat'], score=dict(dog=0.4)), "score names 'dog', which is not asked for"),
        (lambda m, s: m.segment(s, ['cat'], score=dict(cat=4)), "score of 'cat' is 4"),
        (lambda m, s: m.segment(s, ['cat'], score='high'), "score is 'high'"),
        (lambda m, s: m.segment(s, ['cat'], mask=1), 'mask is 1; accepted are numbers between 0 and 1'),
        (lambda m, s: m.segment(s, ['cat'], background=['a', 'Cat']), "background names 'Cat', which is asked for"),
        (lambda m, s: m.segment(s, ['cat'], kind='semantic', overlap=0.5), "'semantic' does not take overlap"),
        (lambda m, s: m.segment(s, ['cat'], kind='boxes'), "kind is 'boxes'"),
        (lambda m, s: m.segment(s, 3), 'names is a int'),
        (lambda m, s: m.segment(s, []), 'empty'),
        (lambda m, s: m.describe(s, 3), 'regions is a int'),
        (lambda m, s: m.predict('caption', s, score=0.5), "'caption' does not take score"),
        (lambda m, s: m.segment(s, NAMES).save('x.txt'), 'ends in neither .json nor'),
    ],
)
def test_mistakes_are_one_line(model, scene, call, told):
    with pytest.raises(ValueError, match=told) as caught:
        call(model, scene)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('text', ['St. Bernard', 'the no. 7 bus'])
def test_a_list_or_a_full_stop_that_stands_alone_says_which(model, scene, text):
    assert list(model.refer(scene, [text]).presence) == [text]
    assert list(model.refer(scene, f'{text} .').presence) == [text]
    assert list(model.segment(scene, f'{text} . dog').presence) == [text, 'dog']


def test_pixels_below_the_score_have_no_label(model, scene):
    free = model.segment(scene, NAMES, stuff='sky', kind='semantic')
    bound = model.segment(scene, NAMES, stuff='sky', kind='semantic', score={'red cross': 0.9})
    areas = [{row['name']: row['area'] for row in result.prediction['segments']} for result in (free, bound)]
    assert areas[1]['red cross'] < areas[0]['red cross'] and areas[1]['sky'] == areas[0]['sky']


@pytest.mark.parametrize('kind', ['panoptic', 'instance'])
def test_scores_by_name(model, scene, kind):
    low = model.segment(scene, NAMES, kind=kind, score=0.0)
    assert {'red cross', 'green heart'} <= set(low.names)
    chosen = model.segment(scene, NAMES, kind=kind, score={'Red Cross': 1.0, 'green heart': 0.0})
    assert 'red cross' not in chosen.names and 'green heart' in chosen.names
    assert len(model.segment(scene, NAMES, kind=kind, score=1.0)) == 0
    if kind == 'instance':
        some = model.segment(scene, NAMES, kind=kind, score=0.5)
        assert len(some) == (low.scores >= 0.5).sum()


@pytest.mark.parametrize('kind', ['panoptic', 'instance'])
def test_higher_mask_thresholds_make_smaller_masks(model, scene, kind):
    areas = [
        {
            row['name']: row['area']
            for row in reversed(model.segment(scene, NAMES, kind=kind, mask=mask).prediction['segments'])
        }
        for mask in (0.05, 0.5, 0.95)
    ]
    for name in ('red cross', 'green heart'):
        assert areas[0][name] > areas[1][name] > areas[2][name]
    default = model.segment(scene, NAMES, kind=kind)
    assert (model.segment(scene, NAMES, kind=kind, mask=0.5).masks == default.masks).all()


def test_overlap(model, scene):
    """With masks so generous that they cover each other."""
    names = [*NAMES, 'sky', 'sand']
    counts = [len(model.segment(scene, names, score=0.0, mask=0.001, overlap=overlap)) for overlap in (0.0, 1.0)]
    assert counts[1] < counts[0]


@pytest.mark.parametrize('kind', ['panoptic', 'instance', 'semantic'])
def test_background_competes_and_is_not_reported(model, scene, kind):
    """Without the name that it is, the heart goes to another; with it in the background it goes nowhere."""
    alone = model.segment(scene, ['red cross', 'yellow heart'], kind=kind)
    beside = model.segment(scene, ['red cross', 'yellow heart'], kind=kind, background='green heart . sky')
    assert beside.presence['yellow heart'] < alone.presence['yellow heart']
    assert list(beside.presence) == ['red cross', 'yellow heart'] and set(beside.names) <= {'red cross', 'yellow heart'}
    all_names = model.segment(scene, ['red cross', 'yellow heart', 'green heart', 'sky'], kind=kind)
    for name in ('red cross',):
        masks = [result.masks[result.names.index(name)] for result in (beside, all_names)]
        assert (masks[0] == masks[1]).all()
    assert beside.prediction['provenance']['prompts']['background'] == ['green heart', 'sky']


def test_background_of_classification(model, scene):
    beside = model.classify(scene, ['red cross', 'green heart'], background=['blue circle'])
    every = model.classify(scene, ['red cross', 'green heart', 'blue circle'])
    shared = dict(zip(every.names, every.scores, strict=True))
    assert [shared[name] for name in beside.names] == pytest.approx(beside.scores.tolist())


@pytest.mark.parametrize('kind', ['panoptic', 'instance', 'semantic'])
def test_names_below_the_threshold_of_presence_are_absent(model, scene, kind):
    free = model.segment(scene, NAMES, kind=kind, score=0.0)
    limit = (free.presence['purple star'] + free.presence['red cross']) / 2
    bound = model.segment(scene, NAMES, kind=kind, score=0.0, presence=limit)
    assert bound.presence == free.presence and bound.prediction['absent'] == ['purple star']
    assert 'purple star' in bound.absent and 'not there: purple star' in str(bound)
    assert len(model.segment(scene, NAMES, kind=kind, presence=1.0)) == 0


def test_thresholds_of_phrases(model, scene):
    free = model.refer(scene, ['the red cross', 'the green heart'])
    assert free.absent == [] and free.masks.any(axis=(1, 2)).all()
    gone = model.refer(scene, ['the red cross', 'the green heart'], presence=1.0)
    assert not gone.masks.any() and gone.absent == gone.names and gone.presence == free.presence
    one = model.refer(scene, ['the red cross', 'the green heart'], score={'the red cross': 1.0})
    assert one.absent == ['the red cross'] and (one.masks[1] == free.masks[1]).all()
    assert (model.refer(scene, ['the red cross'], mask=0.95).masks.sum()) < free.masks[0].sum()


def test_answers_below_the_score_are_left_out(model, scene):
    assert model.ask(scene, 'what shape is the blue object?', score=1.0).answers == ['']


def test_vocabularies_are_names(model, scene):
    vocabulary = Vocabulary(('red cross', 'sky'), (True, False))
    assert list(model.segment(scene, vocabulary).presence) == ['red cross', 'sky']
    assert len(model.segment(scene).presence) == len(model.default_vocabulary)


def test_masks_are_those_of_the_plain_data(found):
    for mask, row in zip(found.masks, found.prediction['segments'], strict=True):
        assert (mask == decode_mask(row['segmentation'])).all()
