import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData, PixelData

from xdet.structures import TextPrompts, Vocabulary, XDetDataSample
from xdet.visualization import XDetLocalVisualizer, class_colors
from xdet.visualization.sample_texts import captioned_regions, paragraphs, phrase_regions

SIZE = (240, 320)
PHRASES = ('the red car', 'a person', 'a zebra')


def phrase_sample(**metainfo):
    sample = XDetDataSample(metainfo=dict(phrases=PHRASES, **metainfo))
    masks = torch.zeros(3, *SIZE, dtype=torch.bool)
    masks[0, :, :160] = True
    masks[1, :, 160:] = True
    scores, zeros = torch.tensor([0.9, 0.2, 0.0]), torch.zeros(3)
    sample.pred_phrases = InstanceData(masks=masks, scores=scores, similarities=zeros, bboxes=torch.zeros(3, 4))
    return sample


def text_of(sample, score_thr=0.3):
    return [line.text for line in paragraphs(sample, score_thr)]


@pytest.fixture
def visualizer():
    return XDetLocalVisualizer(min_size=0)


@pytest.fixture
def image():
    return np.full((*SIZE, 3), 128, np.uint8)


def test_phrases_have_colours_of_their_own(image, visualizer):
    drawn = visualizer.draw(image, phrase_sample(), pred_score_thr=0.0)
    expected = (class_colors(PHRASES).astype(int) + 128) / 2
    assert np.abs(drawn[20, 20] - expected[0]).max() <= 1 and np.abs(drawn[20, 300] - expected[1]).max() <= 1
    kept = visualizer.draw(image, phrase_sample(), pred_score_thr=0.3)
    assert (kept[20, 300] == 128).all()


def test_phrases_without_mask_are_named():
    instances, names = phrase_regions(phrase_sample())
    assert instances.labels.tolist() == [0, 1] and names == list(PHRASES)
    assert text_of(phrase_sample()) == ['not found: a person', 'not found: a zebra']


def test_regions_have_the_beginning_of_their_caption_and_the_strip_has_all(image, visualizer):
    sample = phrase_sample()
    caption = 'a car that is described at great length'
    sample.pred_region_captions = [[dict(text=caption, score=-1.0)], [dict(text='b', score=-1.0)], []]
    _, names = captioned_regions(sample)
    assert names[0].startswith('1 a car that') and len(names[0]) < len(caption) and names[1:] == ['2 b', '3 ']
    assert text_of(sample) == ['1 the red car', caption, '2 a person', 'b', '3 a zebra']
    drawn = visualizer.draw(image, sample)
    assert drawn.shape[1] == SIZE[1] and drawn.shape[0] > SIZE[0]  # one panel, not two
    del sample.pred_phrases
    sample = XDetDataSample()
    sample.region_prompts = InstanceData(masks=torch.ones(1, *SIZE, dtype=torch.bool))
    sample.pred_region_captions = [[dict(text='a', score=-1.0), dict(text='b', score=-2.0)]]
    assert text_of(sample) == ['1 a', '1 b']
    assert (visualizer.draw(image, sample)[:50] != 128).any()


@pytest.mark.parametrize(
    'fields, metainfo, expected',
    [
        (dict(pred_captions=[dict(text='a dog', score=-1.0), dict(text='x', score=-2.0)]), {}, ['a dog', 'x']),
        (dict(pred_answers=[[dict(answer='red', score=0.75)]]), dict(questions=('which?',)), ['which?', '0.75 red']),
        (dict(pred_answers=[[dict(answer='red', score=0.75)]]), {}, ['1', '0.75 red']),
        (
            dict(pred_classes=InstanceData(labels=torch.tensor([1, 0]), scores=torch.tensor([0.75, 0.25]))),
            dict(vocabulary=Vocabulary(('street', 'beach'), (True, True))),
            ['0.75 beach', '0.25 street'],
        ),
        (dict(pred_text_scores=torch.tensor([0.25, 0.5])), dict(captions=('a', 'b')), ['+0.500 b', '+0.250 a']),
    ],
)
def test_texts_of_samples(image, visualizer, fields, metainfo, expected):
    sample = XDetDataSample(metainfo=metainfo)
    for name, value in fields.items():
        setattr(sample, name, value)
    assert text_of(sample) == expected
    drawn = visualizer.draw(image, sample)
    assert (drawn[: SIZE[0]] == 128).all() and drawn.shape[0] > SIZE[0]
    assert (visualizer.draw(image, sample, draw_pred=False) == 128).all()


def test_captions_of_given_regions_are_not_headed_by_phrases():
    sample = XDetDataSample(metainfo=dict(phrases=('the red car',)))
    sample.region_prompts = InstanceData(masks=torch.zeros(1, *SIZE, dtype=torch.bool))
    sample.pred_region_captions = [[dict(text='a tree', score=-1.0)]]
    assert text_of(sample) == ['1 a tree']


def test_annotated_phrases(image, visualizer):
    sample = XDetDataSample()
    masks = torch.zeros(1, *SIZE, dtype=torch.bool)
    masks[0, :, :160] = True
    sample.gt_phrases = InstanceData(masks=masks, texts=['the red car'])
    drawn = visualizer.draw(image, sample)
    assert (drawn[20, 20] != 128).any() and (drawn[20, 300] == 128).all()


def test_prompts_far_from_the_training_are_marked(image, visualizer):
    sample = phrase_sample()
    sample.prompts = TextPrompts(phrases=PHRASES, far={'a zebra': ('zebra',), 'the red car': ('car',)})
    assert phrase_regions(sample)[1] == ['the red car (?)', 'a person', 'a zebra (?)']
    assert text_of(sample)[-1] == 'not trained with (?): a zebra, the red car'
    unmarked = visualizer.draw(image, phrase_sample())
    drawn = visualizer.draw(image, sample)
    assert (drawn[10:30, 10:30] == unmarked[10:30, 10:30]).all()  # the colour is that of the name without its mark
    assert len(drawn) > len(unmarked) and (drawn[: SIZE[0]] != unmarked[: SIZE[0]]).any()


def test_names_of_classes_are_marked(image, visualizer):
    names, far = ('dog', 'zebra'), {'zebra': ('zebra',)}
    pictures = []
    for prompts in (TextPrompts(), TextPrompts(far=far)):
        sample = XDetDataSample(metainfo=dict(vocabulary=Vocabulary(names, (True, True))))
        sample.prompts = prompts
        sem_seg = torch.zeros(1, *SIZE, dtype=torch.int64)
        sem_seg[..., 160:] = 1
        sample.pred_sem_seg = PixelData(sem_seg=sem_seg)
        pictures.append(visualizer.draw(image, sample))
    plain, marked = pictures
    assert (plain[: SIZE[0], :150] == marked[: SIZE[0], :150]).all()
    assert (plain[:30, 170:] == marked[:30, 170:]).all() and (plain[: SIZE[0]] != marked[: SIZE[0]]).any()
