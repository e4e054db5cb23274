import pytest

from xdet.inference.inputs.requests import make_requests
from xdet.inference.outputs.results import TASK_FORMATS
from xdet.structures import TextPrompts, Vocabulary, XDetDataSample


def ask(task, count=2, **prompts):
    return make_requests(task, prompts, {}, count)


def test_own_phrases_per_image():
    first, second = ask('refseg', phrases=['the red car, left . a person', 'x'][:1])
    assert first == second == TextPrompts(tasks=('refseg',), phrases=('the red car, left . a person',))
    first, second = ask('refseg', phrases=[['one'], ['two', 'three .']])
    assert first.phrases == ('one',) and second.phrases == ('two', 'three .')
    assert ask('refseg', phrases='the red car, left . a person.')[1].phrases == (
        'the red car, left',
        'a person.',
    )


def test_phrases_are_found_before_they_are_described():
    assert ask('refcaption', phrases='a dog')[0].tasks == ('refseg', 'refcaption')
    assert ask('refcaption', boxes=[[0, 0, 2, 2]])[0].tasks == ('refcaption',)


def test_regions_enter_the_sample():
    (request,) = ask('refcaption', 1, boxes=[[0, 0, 2, 3]])
    sample = XDetDataSample(metainfo=dict(ori_shape=(4, 5)))
    request.apply(sample, 'x.png')
    assert sample.prompts.regions.shape == (1, 4, 5) and sample.prompts.regions.sum() == 6


def test_generation_settings():
    (request,) = make_requests('caption', {}, dict(num_beams=3), 1)
    assert request == TextPrompts(tasks=('caption',), generation=dict(num_beams=3))


def test_default_vocabulary_of_segmentation_and_classification():
    own = Vocabulary(('a',), (True,))
    for task in ('panoptic', 'classification'):
        assert make_requests(task, {}, {}, 1, own)[0].vocabulary is own


def test_retrieval_without_texts_when_embeddings_are_wanted():
    (request,) = make_requests('retrieval', {}, {}, 1, prompts_needed=False)
    assert request.texts == ()


@pytest.mark.parametrize(
    'task, prompts, message',
    [
        ('caption', dict(phrases='a'), "task 'caption' does not take phrases; accepted are no prompts"),
        ('refseg', dict(phrases='a', questions='b'), 'does not take questions; accepted are phrases'),
        ('panoptic', dict(phrases='a'), 'accepted are things, stuff, classes, vocabulary'),
        ('refseg', {}, "needs phrases, for example phrases='the red car . a person'"),
        ('vqa', {}, "needs questions, for example questions='what"),
        ('retrieval', {}, 'needs texts, for example'),
        ('refcaption', {}, 'needs phrases or boxes or masks, for example'),
        ('refcaption', dict(phrases='a', boxes=[[0, 0, 1, 1]]), 'one of phrases, boxes, masks, but got phrases and'),
        ('classification', {}, 'no class names'),
        ('interactive', {}, r'needs points or boxes or masks, for example points=\[\[60, 45\]\]'),
        ('interactive', dict(mask=0.4), 'needs points or boxes or masks'),
        ('interactive', dict(boxes=[[0, 0, 1, 1]], masks='a.png'), 'one of boxes, masks, but got boxes and masks'),
        ('interactive', dict(points=[[1, 1, 0]]), 'points of image 0: none is on the object'),
        ('interactive', dict(points=[[1, 1]], boxes=[[0, 0, 1, 1], [1, 1, 2, 2]]), 'but there are 2 boxes or masks'),
        ('refseg', dict(phrases=''), 'phrases: no text given'),
        ('refseg', dict(phrases=' . '), 'phrases: no text given'),
        ('refseg', dict(phrases=['a', ' ']), "phrases: ' ' is empty"),
        ('refseg', dict(phrases=['a', 3]), 'phrases: 3 is empty or not a string'),
        ('refseg', dict(phrases=3), 'phrases is a int'),
        ('refseg', dict(phrases=[['a'], []]), 'phrases of image 1: no text given'),
        ('vqa', dict(questions=[['a'], ['b'], ['c']]), '3 entries, one per image, but there are 2 images'),
        ('retrieval', dict(texts=[['a'], ['b']]), 'texts differ between images'),
    ],
)
def test_wrong_prompts_end_in_one_line(task, prompts, message):
    with pytest.raises(ValueError, match=message) as caught:
        ask(task, **prompts)
    assert '\n' not in str(caught.value)


def test_settings_of_texts_for_other_tasks():
    with pytest.raises(ValueError, match="'vqa' does not take num_beams; only caption, refcaption write texts"):
        make_requests('vqa', dict(questions='a'), dict(num_beams=2), 1)


def test_every_task_says_what_it_takes():
    for form in TASK_FORMATS.values():
        assert set(form.one_of) | set(form.any_of) <= set(form.prompts)
