"""Flips that keep texts and classes true, and flips that do not."""

from __future__ import annotations

import mmcv
import mmdet.datasets.transforms
import numpy as np
import pytest
from test_datasets.test_transforms.test_texts import EXPRESSIONS, sample

from xdet.datasets.transforms import ChooseCaption, ChoosePhrases, PackXDetInputs, RandomFlipWithTexts
from xdet.datasets.transforms.texts import names_a_side, swap_sides
from xdet.structures import Vocabulary

SHOES = Vocabulary(('left shoe', 'right shoe', 'left glove', 'hat'), (True,) * 4)
PLAIN_FLIPS = (mmdet.datasets.transforms.RandomFlip, mmcv.transforms.RandomFlip)


@pytest.mark.parametrize(
    ('sides', 'texts', 'flipped', 'after'),
    [
        ('keep', ('a dog', 'the left one'), False, ('a dog', 'the left one')),
        ('keep', ('Topright dog', 'x'), False, ('Topright dog', 'x')),
        ('keep', ('an upright bright dog', 'x'), True, ('an upright bright dog', 'x')),
        ('swap', ('Left of it', 'RIGHT'), True, ('Right of it', 'LEFT')),
        ('ignore', ('on the left', 'x'), True, ('on the left', 'x')),
    ],
)
def test_flips_and_sides(sides: str, texts: tuple, flipped: bool, after: tuple) -> None:
    results = dict(sample(), caption=texts[0], phrases=[dict(text=texts[1], segments=(0,))])
    results = RandomFlipWithTexts(prob=1.0, sides=sides)(results)
    assert results['flip'] is flipped and (results['caption'], results['phrases'][0]['text']) == after
    assert (results['gt_seg_map'][5, 0] == 4) == flipped
    PackXDetInputs()(results)


@pytest.mark.parametrize(
    ('sides', 'questions', 'answer', 'flipped', 'after'),
    [
        ('keep', ('what is it?', 'what is left of it?'), 'a dog', False, 'what is left of it?'),
        ('keep', ('what is it?', 'on which side?'), 'right', False, 'on which side?'),
        ('keep', ('what is it?', 'what is on it?'), 'a dog', True, 'what is on it?'),
        ('swap', ('what is it?', 'left or right?'), 'right', True, 'right or left?'),
    ],
)
def test_flips_and_questions(sides: str, questions: tuple, answer: str, flipped: bool, after: str) -> None:
    answers = ({'a dog': 1.0}, {answer: 1.0})
    results = RandomFlipWithTexts(prob=1.0, sides=sides)(sample(questions=questions, answers=answers))
    made = PackXDetInputs()(results)['data_samples']
    assert results['flip'] is flipped and made.questions == (questions[0], after)
    assert made.answers == (answers[0], {'left' if sides == 'swap' else answer: 1.0})


def test_sides() -> None:
    assert swap_sides('leftmost Left right LEFT, 3 o clock') == 'rightmost Right left RIGHT, 3 o clock'
    assert [names_a_side(text) for text in ('man at 9 o clock', 'upright', 'rightest', 'a clock')] == [1, 0, 1, 0]


@pytest.mark.parametrize('flip', PLAIN_FLIPS)
@pytest.mark.parametrize('order', ['flip first', 'text first'])
def test_plain_flips_are_fine_where_they_make_nothing_wrong(flip, order: str) -> None:
    steps = [flip(prob=1.0, direction='horizontal'), ChooseCaption(with_nouns=False)]
    results = sample(captions=('a man',))
    for step in steps if order == 'flip first' else steps[::-1]:
        results = step(results)
    assert PackXDetInputs()(results)['data_samples'].flip


@pytest.mark.parametrize(
    ('texts', 'direction', 'word'),
    [
        (dict(captions=('a man on the left',)), 'horizontal', 'a man on the left'),
        (dict(captions=('a man on the left',)), 'diagonal', 'a man on the left'),
        (dict(captions=('a bird above a tree',)), 'vertical', 'a bird above a tree'),
        (dict(questions=('left?',), answers=({'yes': 1.0},)), 'horizontal', r'left\?'),
        (dict(questions=('where?',), answers=({'right': 1.0},)), 'horizontal', 'right'),
        (dict(phrases=[dict(text='left dog', segments=(1,))]), 'horizontal', 'left dog'),
        (dict(vocabulary=SHOES), 'horizontal', '(left|right) shoe'),
    ],
)
@pytest.mark.parametrize('order', ['flip first', 'text first'])
def test_other_flips_are_refused(texts: dict, direction: str, word: str, order: str) -> None:
    """Whatever the order is, the advice is one that helps."""
    steps = [mmdet.datasets.transforms.RandomFlip(prob=1.0, direction=direction)]
    if 'captions' in texts:
        steps.insert(0 if order == 'text first' else 1, ChooseCaption(with_nouns=False))
    results = {**sample(), **texts}
    for step in steps:
        results = step(results)
    with pytest.raises(
        ValueError, match=f'a.png: was flipped .{direction}., which makes .{word}. wrong; flip with Ran'
    ):
        PackXDetInputs()(results)


@pytest.mark.parametrize('order', ['flip first', 'text first'])
@pytest.mark.parametrize(('sides', 'caption'), [('keep', 'it is left'), ('swap', 'it is right')])
def test_captions_may_be_chosen_before_or_after_the_flip(order: str, sides: str, caption: str) -> None:
    steps = [RandomFlipWithTexts(prob=1.0, sides=sides), ChooseCaption(with_nouns=False)]
    results = sample(captions=('it is left',))
    for step in steps if order == 'flip first' else steps[::-1]:
        results = step(results)
    made = PackXDetInputs()(results)['data_samples']
    assert (made.caption, made.flip) == (caption, sides == 'swap')


def shoes(labels: tuple[int, ...], form: str) -> dict:
    """A picture with an object of each of these classes, from left to right."""
    results = dict(img=np.zeros((4, 8, 3), np.uint8), img_path='a.png', img_shape=(4, 8), vocabulary=SHOES)
    if form == 'boxes':
        return dict(results, gt_bboxes_labels=np.array(labels), gt_ignore_flags=np.zeros(len(labels), bool))
    seg_map = np.zeros((4, 8), np.uint8)
    for row in range(len(labels)):
        seg_map[:, row] = row + 1
    infos = [dict(label=label, is_thing=True, iscrowd=False) for label in labels]
    return dict(results, gt_seg_map=seg_map, seg_fields=['gt_seg_map'], segments_info=infos)


@pytest.mark.parametrize('form', ['segments', 'boxes'])
@pytest.mark.parametrize(
    ('sides', 'labels', 'flipped', 'after'),
    [
        ('keep', (0, 3), False, (0, 3)),
        ('keep', (3,), True, (3,)),  # classes that the picture does not show are no reason
        ('swap', (0, 1, 3), True, (1, 0, 3)),
        ('swap', (2, 3), False, (2, 3)),  # there is no right glove
        ('ignore', (0, 3), True, (0, 3)),
    ],
)
def test_flips_and_classes(sides: str, labels: tuple, flipped: bool, after: tuple, form: str) -> None:
    results = RandomFlipWithTexts(prob=1.0, sides=sides)(shoes(labels, form))
    assert results['flip'] is flipped
    if form == 'boxes':
        assert results['gt_bboxes_labels'].tolist() == list(after)
    else:
        assert tuple(row['label'] for row in results['segments_info']) == after
        assert PackXDetInputs()(results)['data_samples'].gt_segments.labels.tolist() == list(after)


def test_phrases_and_their_masks_are_flipped_together() -> None:
    flip = RandomFlipWithTexts(prob=1.0, sides='swap')
    packed = PackXDetInputs()(flip(ChoosePhrases()(sample(expressions=EXPRESSIONS[1:]))))['data_samples']
    assert packed.gt_phrases.texts == ['left dog'] and packed.gt_phrases.masks[0, 3:, 2:5].all()


def test_unknown_rule_is_named() -> None:
    with pytest.raises(ValueError, match="accepted are 'keep', 'swap' and 'ignore'"):
        RandomFlipWithTexts(sides='drop')
