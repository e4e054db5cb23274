"""Every task through the inferencer; a tiny model with random weights."""

import copy
import json
from functools import partial
from unittest import mock

import cv2
import numpy as np
import pytest
import torch

from xdet.apis import XDecoderInferencer, decode_mask
from xdet.datasets.files.image_io import ImageReadError
from xdet.inference.inputs.regions import RegionError

PROMPTS = dict(
    semantic=dict(things='dog . cat', stuff='sky'),
    instance=dict(things='dog . cat', stuff='sky'),
    panoptic=dict(things='dog . cat', stuff='sky'),
    refseg=dict(phrases='the red car, left . a person'),
    caption=dict(num_beams=2, num_texts=2),
    refcaption=dict(boxes=[[0, 0, 20, 30], [10, 10, 12, 12]]),
    vqa=dict(questions='what is it? . how many?'),
    classification=dict(classes='street . beach . kitchen . forest . desk . bed'),
    retrieval=dict(texts='a dog . a street'),
    interactive=dict(boxes=[[0, 0, 20, 30], [10, 10, 12, 12]]),
)
LANGUAGE = ('refseg', 'caption', 'refcaption', 'vqa', 'classification', 'retrieval')


def picture(seed=0, size=(40, 60)):
    return np.random.RandomState(seed).randint(0, 255, (*size, 3), np.uint8)


PICTURES = [picture(0), picture(1), picture(2, (64, 30)), picture(3)]


@pytest.fixture
def run(inferencer):
    return partial(inferencer, show_progress=False)


def close(left, right):
    """Whether two predictions agree, numbers and mask areas up to rounding."""
    if isinstance(left, dict):
        keys = left.keys() - {'index', 'image', 'segmentation', 'id'}
        return left.keys() == right.keys() and all(close(left[key], right[key]) for key in keys)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(close(a, b) for a, b in zip(left, right, strict=True))
    if isinstance(left, int) and not isinstance(left, bool):
        return abs(left - right) <= 2
    return left == pytest.approx(right, abs=1e-5) if isinstance(left, float) else left == right


def test_all_tasks_are_offered(inferencer):
    assert set(inferencer.task_names) == set(PROMPTS)


@pytest.mark.parametrize('task', LANGUAGE)
def test_prediction_is_plain_data_in_files_and_pictures(run, task, tmp_path):
    result = run(PICTURES[:2], task=task, out_dir=tmp_path, return_vis=True, batch_size=2, **PROMPTS[task])
    assert result['failed'] == [] and len(result['predictions']) == len(result['visualization']) == 2
    for prediction in result['predictions']:
        assert prediction['task'] == task and (prediction['height'], prediction['width']) == (40, 60)
        assert json.loads((tmp_path / prediction['files']['json']).read_text()) == prediction
        assert cv2.imread(str(tmp_path / prediction['files']['vis'])) is not None
        assert 'embedding' not in prediction


def test_contents(run):
    one = partial(run, picture())
    segments = one(task='refseg', **PROMPTS['refseg'])['predictions'][0]['segments']
    assert [segment['phrase'] for segment in segments] == ['the red car, left', 'a person']
    for segment in segments:
        assert decode_mask(segment['segmentation']).sum() == segment['area'] and -1 <= segment['similarity'] <= 1
    captions = one(task='caption', **PROMPTS['caption'])['predictions'][0]['captions']
    assert len(captions) == 2 and all(isinstance(caption['text'], str) for caption in captions)
    regions = one(task='refcaption', **PROMPTS['refcaption'])['predictions'][0]['regions']
    assert [region['bbox'] for region in regions] == [[0, 0, 20, 30], [10, 10, 2, 2]]
    assert all(len(region['captions']) == 1 for region in regions)
    answers = one(task='vqa', **PROMPTS['vqa'])['predictions'][0]['answers']
    assert [entry['question'] for entry in answers] == ['what is it?', 'how many?']
    assert all(len(entry['answers']) == 5 for entry in answers)
    classes = one(task='classification', **PROMPTS['classification'])['predictions'][0]['top_classes']
    scores = [row['score'] for row in classes]
    assert len(classes) == 5 and scores == sorted(scores, reverse=True)


@pytest.mark.parametrize('task', LANGUAGE)
def test_batches_equal_single_images(run, task):
    together = run(PICTURES, task=task, batch_size=4, **PROMPTS[task])['predictions']
    for number, image in enumerate(PICTURES):
        assert close(together[number], run(image, task=task, **PROMPTS[task])['predictions'][0])


PER_IMAGE = dict(
    panoptic=dict(things=[['dog'], ['cat', 'bird'], ['a'], ['b', 'c']]),
    refseg=dict(phrases=[['one'], ['two', 'three'], ['a b c d e f'], ['one']]),
    refcaption=dict(boxes=[[[0, 0, 9, 9]], [[0, 0, 5, 5], [1, 1, 30, 30]], [[0, 0, 9, 9]], [[3, 3, 8, 8]]]),
    vqa=dict(questions=[['who?'], ['what?', 'where is it now?'], ['a'], ['why?']]),
    classification=dict(classes=[['x', 'y'], ['x', 'y', 'z'], ['v'], ['w', 'x']]),
)


@pytest.mark.parametrize('task', PER_IMAGE)
def test_own_prompts_per_image(run, task):
    ((key, values),) = PER_IMAGE[task].items()
    together = run(PICTURES, task=task, batch_size=3, **PER_IMAGE[task])['predictions']
    for image, value, prediction in zip(PICTURES, values, together, strict=True):
        assert close(prediction, run(image, task=task, **{key: value})['predictions'][0])


def test_regions_of_phrases_equal_their_masks(run):
    by_phrase = run(picture(), task='refcaption', phrases='a dog . the sky')['predictions'][0]['regions']
    assert [region['phrase'] for region in by_phrase] == ['a dog', 'the sky']
    masks = np.stack([decode_mask(region['segmentation']) for region in by_phrase])
    by_mask = run(picture(), task='refcaption', masks=masks)['predictions'][0]['regions']
    assert close([region['captions'] for region in by_phrase], [region['captions'] for region in by_mask])


def test_order_of_tasks_in_the_config_does_not_matter(tiny_config):
    cfg = copy.deepcopy(tiny_config)
    cfg.model.tasks = {name: cfg.model.tasks[name] for name in sorted(cfg.model.tasks)}  # as a dumped config has them
    inferencer = XDecoderInferencer(cfg, random_weights=True, device='cpu')
    assert inferencer(picture(), task='refcaption', phrases='a dog')['predictions'][0]['regions']


def test_empty_and_full_regions(run):
    """Of no pixel there is nothing to say; a phrase that was not found has an empty region of its own."""
    masks = np.stack([np.ones((40, 60), bool), np.zeros((40, 60), bool)])
    (full,) = run(picture(), task='refcaption', masks=masks[:1])['predictions'][0]['regions']
    assert full['area'] == 2400 and np.isfinite(full['captions'][0]['score'])
    with pytest.raises(RegionError, match='image_0: a mask is empty'):
        run(picture(), task='refcaption', masks=masks)


def test_sampling_follows_its_seed(run):
    def texts(seed):
        captions = run(picture(), task='caption', top_p=0.95, seed=seed, num_texts=3)['predictions'][0]['captions']
        return [caption['text'] for caption in captions]

    assert texts(1) == texts(1) and texts(1) != texts(2)


def test_retrieval_ranks_the_images_of_the_call(run, tmp_path, capsys):
    result = run(PICTURES, task='retrieval', texts='a dog . a street', out_dir=tmp_path, print_result=True)
    assert [ranking['text'] for ranking in result['rankings']] == ['a dog', 'a street']
    for column, ranking in enumerate(result['rankings']):
        scores = {item['index']: item['texts'][column]['score'] for item in result['predictions']}
        assert [row['index'] for row in ranking['images']] == sorted(scores, key=lambda index: -scores[index])
        assert [row['rank'] for row in ranking['images']] == [1, 2, 3, 4]
    assert json.loads((tmp_path / 'rankings.json').read_text()) == result['rankings']
    assert cv2.imread(str(tmp_path / 'ranking_2.png')) is not None
    assert "best for 'a street':\n  1  " in capsys.readouterr().out


def test_embeddings_on_request(run):
    prediction = run(picture(), task='retrieval', return_embeddings=True)['predictions'][0]
    assert prediction['texts'] == []
    np.testing.assert_allclose(np.linalg.norm(prediction['embedding'], axis=1), 1, atol=1e-5)


def test_several_tasks_share_one_encoding(inferencer, run):
    direct = {task: run(picture(5), task=task, **PROMPTS[task])['predictions'] for task in PROMPTS}
    model = inferencer.model
    encoding = mock.patch.object(model, 'encode', wraps=model.encode)
    decoding = mock.patch.object(model.decoder, 'forward', wraps=model.decoder.forward)
    with encoding as encode, decoding as decode:
        inferencer.set_image(picture(5))
        assert not decode.called
        shared = {task: inferencer.predict(task, **PROMPTS[task])['predictions'] for task in PROMPTS}
        described = inferencer.predict('refcaption', phrases='a dog')['predictions'][0]
    latent = [call for call in decode.call_args_list if any(group.name == 'object' for group in call.args[1])]
    assert len(latent) == encode.call_count == 1 and described['regions'][0]['phrase'] == 'a dog'
    for task, predictions in shared.items():
        assert close(predictions, direct[task]), task


def test_tasks_see_pictures_in_their_own_size(tiny_config):
    cfg = copy.deepcopy(tiny_config)
    square = dict(type='mmdet.Resize', scale=(64, 32), keep_ratio=False, backend='pillow', interpolation='bilinear')
    steps = [cfg.inference_pipeline[0], square, cfg.inference_pipeline[2]]
    cfg.task_pipelines = dict(caption=steps)
    inferencer = XDecoderInferencer(cfg, random_weights=True, device='cpu')
    with mock.patch.object(inferencer.model, 'encode', wraps=inferencer.model.encode) as encode:
        inferencer(picture(), task='caption')
        inferencer.set_image(picture(), task='caption')
        inferencer.set_image(picture())
        inferencer(picture(), task='vqa', questions='what?')
    assert [tuple(call.args[0].shape[-2:]) for call in encode.call_args_list] == [
        (32, 64),
        (32, 64),
        (64, 96),
        (64, 96),
    ]
    cfg.task_pipelines = dict(captions=steps)
    with pytest.raises(ValueError, match=r"task_pipelines names \['captions'\]; accepted are semantic"):
        XDecoderInferencer(cfg, random_weights=True, device='cpu')


def test_tasks_the_model_lacks(tiny_config):
    cfg = copy.deepcopy(tiny_config)
    cfg.model.tasks = {name: cfg.model.tasks[name] for name in ('segmentation', 'captioning')}
    inferencer = XDecoderInferencer(cfg, random_weights=True, device='cpu')
    listed = 'semantic, instance, panoptic, caption, refcaption'
    with pytest.raises(ValueError, match=f"not configured for task 'vqa'; it has {listed}"):
        inferencer(picture(), task='vqa', questions='what?')
    with pytest.raises(ValueError, match="'vqa'"):
        inferencer.set_image(picture(), task='vqa')
    with pytest.raises(ValueError, match="'refcaption' with phrases needs 'refseg'.* give boxes or masks"):
        inferencer(picture(), task='refcaption', phrases='a dog')
    assert inferencer(picture(), task='refcaption', boxes=[0, 0, 5, 5])['predictions'][0]['regions']


@pytest.mark.parametrize(
    'arguments, message',
    [
        (dict(num_beams=0), 'num_beams is 0; accepted are whole numbers from 1'),
        (dict(num_beams=2, top_p=0.5), 'either num_beams or top_p'),
        (dict(top_p=1.5), 'top_p is 1.5'),
        (dict(num_texts=2), 'needs sampling'),
        (dict(max_tokens=100), 'up to 76 tokens'),
    ],
)
def test_impossible_settings_of_captions(run, arguments, message):
    with pytest.raises(ValueError, match=message):
        run(picture(), task='caption', **arguments)


def test_regions_that_do_not_fit(run):
    arguments = dict(task='refcaption', boxes=[[50, 0, 60, 10]])
    result = run(PICTURES[:3], batch_size=3, **arguments)  # the third picture is 30 pixels wide
    assert [item['index'] for item in result['predictions']] == [0, 1]
    assert 'image_2: box [50, 0, 60, 10] covers no pixel' in result['failed'][0]['error']
    with pytest.raises(RegionError, match='covers no pixel'):
        run(PICTURES[2], **arguments)


STRANGE = '一只狗 . 🐶🐶 . eine grüne Wiese . собака . \u0627\u0644\u0643\u0644\u0628 . half \ud83d pair'


@pytest.mark.parametrize('task, key', [('refseg', 'phrases'), ('vqa', 'questions'), ('retrieval', 'texts')])
def test_text_of_any_language(run, tmp_path, capsys, task, key):
    prompts = {key: STRANGE.split(' . ')[:-1]}
    prediction = run(picture(), task=task, out_dir=tmp_path, print_result=True, **prompts)['predictions'][0]
    assert json.loads((tmp_path / prediction['files']['json']).read_text(encoding='utf-8')) == prediction
    assert '🐶🐶' in capsys.readouterr().out


def test_half_a_surrogate_pair_is_refused(run, tmp_path):
    with pytest.raises(ValueError, match='phrases: .* has characters that cannot be printed'):
        run(picture(), task='refseg', phrases=STRANGE, out_dir=tmp_path)


def test_phrase_of_200_words_is_cut_with_a_notice(run):
    phrase = 'quite unusual ' + 'word ' * 200
    with mock.patch('xdet.models.text.tokenizer.print_log') as log:
        prediction = run(picture(), task='refseg', phrases=[phrase])['predictions'][0]
    assert len(prediction['segments']) == 1
    assert 'has 204 tokens; only the first 77 are read' in log.call_args.args[0]


def test_folder_without_images(run, tmp_path):
    result = run(tmp_path, task='caption')
    assert result['predictions'] == [] and 'folder has no image files' in result['failed'][0]['error']
    result = run(tmp_path, task='retrieval', texts='a dog')
    assert result['rankings'] == []


@pytest.mark.parametrize(
    'content, answers, message',
    [
        (None, None, 'does not exist'),
        ('{"yes": 1}', None, 'is not a list of strings'),
        ('["yes", "no"]', 3129, 'has 2 answers, but the model is configured for 3129'),
    ],
)
def test_wrong_file_of_answers(tiny_config, tmp_path, content, answers, message):
    path = tmp_path / 'answers.json'
    if content is not None:
        path.write_text(content)
    cfg = copy.deepcopy(tiny_config)
    cfg.model.tasks.vqa.update(answers=str(path), num_answers=answers)
    with pytest.raises(ValueError, match=message) as caught:
        XDecoderInferencer(cfg, random_weights=True, device='cpu')
    assert str(path) in str(caught.value) and '\n' not in str(caught.value)


def test_out_of_memory_is_told_in_one_line(inferencer, run, monkeypatch):
    def broken(data):
        raise torch.cuda.OutOfMemoryError('CUDA out of memory')

    monkeypatch.setattr(inferencer.model, 'test_step', broken)
    with pytest.raises(ImageReadError, match='use a smaller image or fewer prompts'):
        run(picture(), task='refseg', phrases='a dog')
