"""What is asked of an image, apart from what is known about it."""

import pytest
import torch
from mmengine.structures import InstanceData

from xdet.inference.inputs.regions import resolve_boxes
from xdet.structures import TextPrompts, Vocabulary, XDetDataSample

NAMES, OTHERS = (Vocabulary.from_prompts(classes=text) for text in ('dog . cat', 'sky'))
KNOWN = dict(ori_shape=(4, 5), phrases=('true',), questions=('true?',), captions=('said',), tasks=('refseg',))


def known():
    sample = XDetDataSample(metainfo=dict(KNOWN, vocabulary=NAMES))
    sample.region_prompts = InstanceData(masks=torch.ones(1, 4, 5, dtype=torch.bool))
    return sample


def test_a_sample_of_which_nothing_was_asked_is_asked_about_its_ground_truth():
    asked = known().prompts
    assert (asked.tasks, asked.vocabulary) == (('refseg',), NAMES)
    assert (asked.phrases, asked.questions, asked.texts) == (('true',), ('true?',), ('said',))
    assert asked.regions.shape == (1, 4, 5)
    nothing = XDetDataSample().prompts
    assert nothing == TextPrompts() and nothing.tasks is None


def test_asking_leaves_the_ground_truth():
    sample = known()
    TextPrompts(('vqa',), OTHERS, questions=('why?',)).apply(sample, 'a.png')
    assert sample.prompts == TextPrompts(('vqa',), OTHERS, questions=('why?',))
    assert {key: sample.metainfo[key] for key in KNOWN} == KNOWN and 'region_prompts' in sample
    assert sample.vocabulary == OTHERS  # what labels of results mean
    del sample.prompts
    assert sample.prompts.questions == ('true?',)


@pytest.mark.parametrize('moved', ['clone', 'cpu', 'to'])
def test_prompts_travel_with_their_sample(moved):
    sample = known()
    TextPrompts(('refcaption',), regions=resolve_boxes([[0, 0, 2, 3]], 1)[0]).apply(sample, 'a.png')
    there = sample.to(torch.device('meta')) if moved == 'to' else getattr(sample, moved)()
    assert there.prompts.regions.shape == (1, 4, 5) and there.prompts.tasks == ('refcaption',)
    assert there.prompts.regions.device.type == ('meta' if moved == 'to' else 'cpu')
    assert there.to_dict()['prompts'] == there.prompts
