"""All tasks on a small model: batches equal single images, prompts belong to their image, errors name what is wrong."""

import copy
import math
from unittest import mock

import pytest
import torch
from mmengine.structures import InstanceData
from parity.model import preprocess, sample_of

from xdet.structures import Vocabulary
from xdet.tasks.vqa import read_answers

CLOSE = dict(atol=1e-5, rtol=1e-5)
TREES = Vocabulary.from_prompts(classes='oak . birch . pine')
ANIMALS = Vocabulary.from_prompts(things='dog . cat', stuff='grass')


def run(model, images, metas, regions=None):
    """Predicted samples."""
    samples = [sample_of(image, (50, 55), **meta) for image, meta in zip(images, metas, strict=True)]
    for sample, masks in zip(samples, regions or [None] * len(samples), strict=True):
        if masks is not None:
            sample.region_prompts = InstanceData(masks=masks)
    model.predict(preprocess(model, images), samples)
    return samples


def half(side):
    mask = torch.zeros(1, 50, 55, dtype=torch.bool)
    mask[..., slice(None, 25) if side == 'left' else slice(25, None)] = True
    return mask


GENERATION = dict(max_tokens=6)
REQUESTS = {
    'refseg': [dict(phrases=('a dog', 'the left tree', 'red')), dict(phrases=('cat',)), dict(phrases=('x y', 'z'))],
    'caption': [
        dict(generation=GENERATION),
        dict(generation=dict(GENERATION, num_beams=3)),
        dict(generation=dict(GENERATION, top_p=0.9, seed=4)),
    ],
    'vqa': [
        dict(questions=('what?', 'is the dog red?')),
        dict(questions=('how many are there',)),
        dict(questions=('a',)),
    ],
    'classification': [dict(vocabulary=TREES), dict(vocabulary=ANIMALS), dict(vocabulary=TREES)],
    'retrieval': [dict(captions=('a', 'two dogs')), dict(), dict(captions=('three trees on grass',))],
}


def results(sample):
    """Everything predicted, as comparable values."""
    found = {}
    for key, value in sample.items():
        if key.startswith('pred_'):
            found[key] = dict(value.items()) if isinstance(value, InstanceData) else value
    return found


def assert_same(one, other):
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            assert_same(*pair)
    elif isinstance(one, torch.Tensor) and one.dtype == torch.bool:
        assert (one != other).float().mean() < 1e-3
    elif isinstance(one, torch.Tensor):
        torch.testing.assert_close(one, other, **CLOSE)
    elif isinstance(one, float):
        assert math.isclose(one, other, abs_tol=1e-5)
    else:
        assert one == other


@pytest.mark.parametrize('task', REQUESTS)
def test_batch_equals_loop(model, picture, task):
    """Two images of one size and one of another, each with prompts of its own."""
    images = [picture(60, 70), picture(50, 70, 1), picture(33, 20, 2)]
    metas = [dict(tasks=(task,), **meta) for meta in REQUESTS[task]]
    together = run(model, images, metas)
    for image, meta, sample in zip(images, metas, together, strict=True):
        (alone,) = run(model, [image], [meta])
        assert results(sample), task
        assert_same(results(sample), results(alone))


def test_batch_of_mixed_tasks_equals_loop(model, picture):
    images = [picture(64, 64, seed) for seed in range(4)]
    metas = [
        dict(tasks=('refseg', 'caption'), phrases=('a dog', 'a cat'), generation=GENERATION),
        dict(tasks=('panoptic', 'vqa', 'semantic'), vocabulary=ANIMALS, questions=('why?',)),
        dict(tasks=('refseg', 'refcaption'), phrases=('a', 'the tree'), generation=GENERATION),
        dict(tasks=('retrieval', 'classification'), vocabulary=TREES),
    ]
    together = run(model, images, metas)
    for image, meta, sample in zip(images, metas, together, strict=True):
        (alone,) = run(model, [image], [meta])
        assert results(sample).keys() == results(alone).keys()
        for key in results(alone).keys() - {'pred_panoptic_seg', 'pred_sem_seg'}:
            assert_same(results(sample)[key], results(alone)[key])
    assert len(together[2].pred_region_captions) == 2


def test_captions_with_settings_of_their_own_share_one_pass_over_the_latent_queries(model, picture):
    images = [picture(64, 64, seed) for seed in range(3)]
    metas = [dict(tasks=('caption',), **meta) for meta in REQUESTS['caption']]
    with mock.patch.object(model.decoder, 'forward', wraps=model.decoder.forward) as forward:
        together = run(model, images, metas)
    assert forward.call_count == 1
    for image, meta, sample in zip(images, metas, together, strict=True):
        assert_same(sample.pred_captions, run(model, [image], [meta])[0].pred_captions)


def test_captions_of_images_of_different_sizes_are_written_side_by_side(model, picture):
    """One loop for all, in whichever tasks else they are asked; in half precision with nearly equal scores."""
    images = [picture(60, 70), picture(33, 20, 1), picture(64, 100, 2), picture(50, 70, 3)]
    metas = [dict(tasks=('caption',), generation=dict(GENERATION, num_beams=2)) for _ in images]
    metas[1].update(tasks=('caption', 'refcaption', 'refseg'), phrases=('a dog',))
    with mock.patch.object(model.text_encoder, 'stream', wraps=model.text_encoder.stream) as stream:
        together = run(model, images, metas)
    assert [call.args for call in stream.call_args_list] == [(2 * len(images), 6), (2, 6)]  # then the region's
    for image, meta, sample in zip(images, metas, together, strict=True):
        (alone,) = run(model, [image], [meta])
        assert_same(results(sample), results(alone))
    with mock.patch.object(model.tasks['captioning'], 'stream_precision', torch.bfloat16):
        for sample, exact in zip(run(model, images, metas), together, strict=True):
            ((found, *_), (text, *_)) = sample.pred_captions, exact.pred_captions
            assert 0 < abs(found['score'] - text['score']) < 0.05
    with pytest.raises(ValueError, match="stream_precision is 'half'; accepted are 'single' and 'bfloat16'"):
        type(model.tasks['captioning'])(stream_precision='half')


HALF = {
    'autocast': (lambda model: model, lambda: torch.autocast('cpu', dtype=torch.bfloat16)),
    'weights': (lambda model: copy.deepcopy(model).bfloat16(), torch.no_grad),
}


@pytest.mark.parametrize('kind', HALF)
def test_half_precision_runs_every_task_and_results_are_single(model, picture, kind):
    """Scores are compared and ranked, so they are not rounded to three digits."""
    prepare, scope = HALF[kind]
    half_model = prepare(model)
    images = [picture(64, 64), picture(64, 64, 1)]
    asked = tuple(name for name in model.task_names if name != 'interactive')  # which needs prompts of its own
    metas = [
        dict(tasks=asked, vocabulary=ANIMALS, generation=dict(GENERATION, num_beams=beams), **texts)
        for beams, texts in (
            (1, dict(phrases=('a dog',), questions=('what?', 'why?'), captions=('a', 'two dogs'))),
            (2, dict(phrases=('a', 'the cat'), questions=('who?',), captions=('three trees',))),
        )
    ]
    exact = run(model, images, metas)
    with scope():
        found = run(half_model, images, metas)
    for one, other in zip(exact, found, strict=True):
        assert results(one).keys() == results(other).keys() and len(results(one)) == 12
        for key, name in (
            ('pred_phrases', 'similarities'),
            ('pred_phrases', 'scores'),
            ('pred_classes', 'scores'),
            ('pred_instances', 'scores'),
        ):
            assert other.get(key)[name].dtype == torch.float32, name
        for key in ('pred_embedding', 'pred_text_scores'):
            assert other.get(key).dtype == torch.float32
            torch.testing.assert_close(other.get(key), one.get(key), atol=0.05, rtol=0)
        similarities = other.pred_phrases.similarities
        torch.testing.assert_close(similarities, one.pred_phrases.similarities, atol=0.05, rtol=0)
        assert not torch.equal(similarities, similarities.bfloat16().float())
        for left, right in zip(one.pred_answers, other.pred_answers, strict=True):
            assert left[0]['score'] == pytest.approx(right[0]['score'], abs=0.02)
        for texts in (other.pred_captions, *other.pred_region_captions):
            assert texts and all(math.isfinite(text['score']) for text in texts)


def test_phrases_do_not_depend_on_order_or_number(model, picture, monkeypatch):
    phrases = tuple(f'phrase number {index} {"very " * (index % 4)}long' for index in range(11))
    monkeypatch.setattr(model.tasks['referring'], 'phrases_per_pass', 4)
    (all_of_them,) = run(model, [picture(60, 70)], [dict(tasks=('refseg',), phrases=phrases)])
    (reverse,) = run(model, [picture(60, 70)], [dict(tasks=('refseg',), phrases=phrases[::-1])])
    assert all_of_them.pred_phrases.masks.shape == (11, 50, 55)
    assert_same(dict(all_of_them.pred_phrases.items()), dict(reverse.pred_phrases[list(range(10, -1, -1))].items()))
    (single,) = run(model, [picture(60, 70)], [dict(tasks=('refseg',), phrases=phrases[5:6])])
    assert_same(dict(all_of_them.pred_phrases[5].items()), dict(single.pred_phrases.items()))


def test_joint_phrases_influence_each_other_and_a_single_one_is_the_independent_one(model, picture, monkeypatch):
    def similarities(mode, *phrases):
        monkeypatch.setattr(model.tasks['referring'], 'mode', mode)
        return run(model, [picture(60, 70)], [dict(tasks=('refseg',), phrases=phrases)])[0].pred_phrases.similarities

    torch.testing.assert_close(similarities('joint', 'a dog'), similarities('independent', 'a dog'), **CLOSE)
    assert abs(similarities('joint', 'a dog', 'the sky')[0] - similarities('joint', 'a dog')[0]) > 1e-4


def test_region_captions(model, picture):
    """Regions matter; a whole and an empty region are the picture; an image may have none."""
    image = picture(64, 64)  # without padding, which belongs to no region
    whole, nothing = torch.ones(1, 50, 55, dtype=torch.bool), torch.zeros(1, 50, 55, dtype=torch.bool)
    regions = [torch.cat([whole, nothing, half('left'), half('right')]), half('left'), nothing[:0]]
    metas = [dict(tasks=('refcaption', 'caption'), generation=GENERATION)] * 3
    samples = run(model, [image, image, image], metas, regions)
    (plain,) = samples[0].pred_captions
    found = [texts[0] for texts in samples[0].pred_region_captions]
    assert found[0]['text'] == plain['text'] and math.isclose(found[0]['score'], plain['score'], abs_tol=1e-5)
    assert found[1]['text'] == plain['text']
    assert len({round(text['score'], 4) for text in found[1:]}) == 3
    assert_same(samples[1].pred_region_captions[0][0], found[2])
    assert samples[2].pred_region_captions == []


def test_any_number_of_regions(model, picture, monkeypatch):
    masks = torch.zeros(7, 50, 55, dtype=torch.bool)
    for index, mask in enumerate(masks):
        mask[7 * index : 7 * index + 8] = True
    metas = [dict(tasks=('refcaption',), generation=dict(GENERATION, num_beams=beams)) for beams in (1, 2, 1)]
    regions = [masks, masks[:5], masks[2:3]]
    images = [picture(64, 64, seed) for seed in range(3)]
    at_once = run(model, images, metas, regions)
    monkeypatch.setattr(model.tasks['captioning'], 'regions_per_pass', 3)
    for one, other, own in zip(at_once, run(model, images, metas, regions), regions, strict=True):
        assert len(one.pred_region_captions) == len(own)
        assert_same(one.pred_region_captions, other.pred_region_captions)


def test_a_region_smaller_than_a_pixel_of_the_network_input_is_no_empty_region(model, picture):
    """Nearest-neighbour sampling would lose it, and nothing means everything."""
    masks = torch.zeros(3, 640, 640, dtype=torch.bool)
    masks[0, 325, 325] = masks[1, 320:330, 320:330] = True
    image = picture(64, 64)
    sample = sample_of(image, (640, 640), tasks=('refcaption',), generation=GENERATION)
    sample.region_prompts = InstanceData(masks=masks)
    model.predict(preprocess(model, [image]), [sample])
    pixel, block, whole = (texts[0] for texts in sample.pred_region_captions)
    assert_same(pixel, block)
    assert abs(pixel['score'] - whole['score']) > 1e-4


def test_captions_of_a_beam_are_ranked(model, picture):
    generation = dict(GENERATION, num_beams=4, num_texts=3)
    (sample,) = run(model, [picture(60, 70)], [dict(tasks=('caption',), generation=generation)])
    scores = [caption['score'] for caption in sample.pred_captions]
    assert len(scores) == 3 and scores == sorted(scores, reverse=True)


def test_answers_and_classes_are_ranked_probabilities(model, picture):
    metas = [dict(tasks=('vqa', 'classification'), questions=('a?', 'b?'), vocabulary=ANIMALS)]
    (sample,) = run(model, [picture(60, 70)], metas)
    assert len(sample.pred_answers) == 2
    for answers in sample.pred_answers:
        scores = [answer['score'] for answer in answers]
        assert len(scores) == 5 and scores == sorted(scores, reverse=True) and sum(scores) <= 1
    assert sample.pred_answers[0] != sample.pred_answers[1]
    assert sample.pred_classes.scores.sum() == pytest.approx(1, abs=1e-5)  # three names, no background among them
    assert sorted(sample.pred_classes.labels.tolist()) == [0, 1, 2]


def test_an_image_fits_the_text_that_its_embedding_is_nearest_to(model, picture):
    (sample,) = run(model, [picture(60, 70)], [dict(tasks=('retrieval',), captions=('a', 'b', 'a'))])
    assert sample.pred_embedding.shape == (2, 128)
    torch.testing.assert_close(sample.pred_embedding.norm(dim=1), torch.ones(2))
    texts = sample.pred_text_embeddings
    torch.testing.assert_close(texts[0], texts[2])
    assert not torch.allclose(texts[0], texts[1], atol=1e-2)


@pytest.mark.parametrize(
    ('meta', 'message'),
    [
        (dict(tasks=('refseg',)), "has no list of 'phrases'"),
        (dict(tasks=('refseg',), phrases='a dog'), "has no list of 'phrases'"),
        (dict(tasks=('refseg',), phrases=('a', ' ')), "' ' in 'phrases' is empty"),
        (dict(tasks=('vqa',), questions=()), "has no list of 'questions'"),
        (dict(tasks=('vqa',), questions=('',)), "'' in 'questions' is empty"),
        (dict(tasks=('refcaption',)), 'no regions to describe; give masks, boxes or phrases'),
        (dict(tasks=('caption',), generation=dict(max_tokens=77)), 'writes up to 76 tokens'),
        (dict(tasks=('caption',), generation=dict(beams=3)), "unknown generation settings \\['beams'\\]"),
        (dict(tasks=('classification',)), "has no 'vocabulary'"),
    ],
)
def test_bad_requests(model, picture, meta, message):
    with pytest.raises(ValueError, match=message):
        run(model, [picture(40, 40)], [meta])


def test_regions_of_another_size_are_refused(model, picture):
    with pytest.raises(ValueError, match=r'regions are \(5, 5\) pixels but the image \(50, 55\)'):
        run(model, [picture(40, 40)], [dict(tasks=('refcaption',))], [torch.ones(1, 5, 5, dtype=torch.bool)])


def test_long_and_strange_texts_do_no_harm(model, picture):
    phrases = ('word ' * 200, '日本語の犬', '🐶🎈', 'Ünïcödé')
    metas = [dict(tasks=('refseg', 'vqa'), phrases=phrases, questions=phrases)]
    (sample,) = run(model, [picture(40, 40)], metas)
    assert len(sample.pred_phrases) == len(sample.pred_answers) == 4
    assert torch.isfinite(sample.pred_phrases.similarities).all()


def test_answer_files(tmp_path):
    lines, listed = tmp_path / 'answers.txt', tmp_path / 'answers.json'
    lines.write_text('yes\nno\n\n', encoding='utf-8')
    listed.write_text('["yes", "no"]')
    assert read_answers(str(lines)) == read_answers(str(listed)) == ('yes', 'no')
    assert read_answers(None, 2) == ('answer 0', 'answer 1')
    listed.write_text('{"yes": 1}')
    bad = [
        ((str(lines), 3), 'has 2 answers, but the model is configured for 3'),
        ((str(listed), None), 'not a list of strings'),
        ((['a', 'a'], None), "'a' more than once"),
        ((None, None), 'needs answers'),
    ]
    for arguments, message in bad:
        with pytest.raises(ValueError, match=message):
            read_answers(*arguments)
    with pytest.raises(FileNotFoundError, match='does not exist'):
        read_answers(str(tmp_path / 'nothing.txt'))
