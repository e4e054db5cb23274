"""Texts about segments: true, with margins, and functions of seed and sample."""

from __future__ import annotations

import numpy as np
import pytest

from xdet.datasets.order.seeding import seeded_rng
from xdet.datasets.transforms import DescribeSegments
from xdet.datasets.transforms.describe_segments import article
from xdet.structures import Vocabulary

NAMES = ('cat', 'dog', 'person', 'sofa', 'grass')


def _sample(*segments: tuple[str, tuple[int, int, int, int]], crowds: tuple[int, ...] = ()) -> dict:
    """A picture of 100x100 pixels with boxes (left, top, right, bottom)."""
    indices = np.zeros((100, 100), np.uint8)
    infos = []
    for number, (name, (left, top, right, bottom)) in enumerate(segments):
        indices[top:bottom, left:right] = number + 1
        crowd = number in crowds
        infos.append(dict(id=number + 1, label=NAMES.index(name), is_thing=name != 'grass', iscrowd=crowd))
    vocabulary = Vocabulary(NAMES, (True, True, True, True, False))
    return dict(gt_seg_map=indices, segments_info=infos, vocabulary=vocabulary, ori_shape=(100, 100))


def _all(sample: dict) -> dict:
    return DescribeSegments(test_mode=True).transform(sample)


def test_captions_count_what_is_sure() -> None:
    dogs = ('dog', (0, 0, 20, 20)), ('dog', (70, 0, 95, 20))
    assert _all(_sample(*dogs))['captions'] == ('two dogs',)
    both = _all(_sample(('cat', (5, 5, 30, 40)), ('dog', (60, 5, 95, 60))))['captions']
    assert both == ('a dog and a cat', 'a dog on the right and a cat on the left')
    assert _all(_sample(('person', (0, 0, 20, 20)), ('person', (60, 0, 80, 20))))['captions'] == ('people',)
    assert _all(_sample(*dogs, ('dog', (40, 90, 43, 93))))['captions'] == ('several dogs',)  # the third is too small
    assert _all(_sample())['captions'] == ()


def test_phrases_refer_to_what_they_say() -> None:
    found = _all(_sample(('dog', (0, 0, 20, 20)), ('dog', (60, 0, 100, 60)), ('cat', (40, 70, 60, 90))))['phrases']
    segments = {phrase['text']: phrase['segments'] for phrase in found}
    assert segments['left dog'] == segments['smallest dog'] == (0,)
    assert segments['the rightmost dog'] == segments['biggest dog'] == (1,)
    assert segments['the dogs'] == (0, 1)
    assert segments['cat in the middle'] == segments['the cat'] == (2,)
    assert 'the dog' not in segments and 'left cat' not in segments


def test_questions_and_answers() -> None:
    found = _all(_sample(('cat', (0, 0, 30, 30)), ('dog', (60, 0, 100, 60)), ('person', (45, 80, 55, 99))))
    answers = dict(zip(found['questions'], (next(iter(answer)) for answer in found['answers']), strict=True))
    assert answers['is there a cat?'] == 'yes' and answers['is there a sofa?'] == 'no'
    assert answers['how many dogs are there?'] == '1' and 'how many people are there?' not in answers
    assert answers['is the cat left or right of the dog?'] == 'left'
    assert answers['what is on the left?'] == 'cat' and answers['what is the largest thing?'] == 'dog'
    assert not any(text.startswith('what animal') for text in answers)  # there are two
    alone = _all(_sample(('cat', (0, 0, 30, 30))))
    assert ('what animal is this?', {'cat': 1.0}) in zip(alone['questions'], alone['answers'], strict=True)


def test_crowds_and_margins_say_nothing() -> None:
    found = _all(_sample(('dog', (0, 0, 40, 40)), ('dog', (60, 60, 99, 99)), crowds=(1,)))
    assert not any('how many' in text for text in found['questions'])
    assert found['phrases'] == [dict(text='the dogs', segments=(0, 1))]
    small = _all(_sample(('cat', (0, 0, 5, 5)), ('grass', (0, 50, 100, 100)), ('grass', (0, 0, 2, 2))))['phrases']
    assert small == [dict(text='grass', segments=(1, 2)), dict(text='cat', segments=(0,))]
    middle = _all(_sample(('cat', (30, 0, 52, 30))))  # neither in the middle nor clearly on the left
    assert not any('left' in phrase['text'] or 'middle' in phrase['text'] for phrase in middle['phrases'])


def test_training_is_a_function_of_seed_and_sample() -> None:
    def draw(seed: int) -> tuple:
        with seeded_rng(seed):
            sample = _sample(('cat', (0, 0, 30, 30)), ('dog', (60, 0, 100, 60)))
            result = DescribeSegments(num_phrases=2, num_questions=3).transform(sample)
        return result['caption'], tuple(phrase['text'] for phrase in result['phrases']), result['questions']

    assert draw(1) == draw(1)
    assert len({draw(seed) for seed in range(10)}) > 5
    assert all(1 <= len(draw(seed)[1]) <= 2 and len(draw(seed)[2]) == 3 for seed in range(10))


def test_padding_is_no_part_of_the_picture() -> None:
    sample = _sample(('cat', (30, 0, 50, 40)))
    sample.update(ori_shape=(50, 25), scale_factor=(2.0, 2.0))  # the right half is padding
    texts = {phrase['text'] for phrase in _all(sample)['phrases']}
    assert 'cat on the right' in texts


def test_data_without_a_map_of_segments_are_named() -> None:
    with pytest.raises(ValueError, match='a.jpg: DescribeSegments found no map of segments'):
        DescribeSegments().transform(dict(img_path='a.jpg', segments_info=[]))


def test_words() -> None:
    assert article('airplane') == 'an airplane' and article('tv') == 'a tv'
    with pytest.raises(ValueError, match='poems'):
        DescribeSegments(texts=('poems',))
