"""Captions and phrases."""

from __future__ import annotations

import numpy as np
import pytest

from xdet.datasets import seeded_rng
from xdet.datasets.transforms import ChooseCaption, ChoosePhrases, LargeScaleJitter, PackXDetInputs, RandomFlipWithTexts
from xdet.structures import TEMPLATES, Vocabulary

VOCABULARY = Vocabulary(('dog', 'sky-other-merged', 'car'), (True, False, True))


def box(x: float, y: float, width: float, height: float) -> list[list[float]]:
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


def sample(**more) -> dict:
    """8x6 picture: sky (segment 1) above, two dogs (2, 3) below and a crowd of cars (4)."""
    seg_map = np.ones((6, 8), dtype=np.uint8)
    seg_map[3:, :3], seg_map[3:, 3:6], seg_map[3:, 6:] = 2, 3, 4
    labels, crowds = (1, 0, 0, 2), (False, False, False, True)
    return dict(
        img=np.zeros((6, 8, 3), dtype=np.uint8),
        img_path='a.png',
        ori_shape=(6, 8),
        vocabulary=VOCABULARY,
        gt_seg_map=seg_map,
        segments_info=[dict(label=a, iscrowd=b) for a, b in zip(labels, crowds, strict=True)],
        **more,
    )


EXPRESSIONS = [
    dict(sentences=('Left DOG', 'first dog'), mask=box(0, 3, 3, 3)),
    dict(sentences=('right dog',), mask=box(3, 3, 3, 3)),
]


def test_one_caption_at_random_with_its_nouns() -> None:
    pytest.importorskip('textblob', reason='extracting nouns needs TextBlob (requirements/data.txt)')
    captions = ('A dog under a tree.', 'Two dogs and a ball.')
    seen = set()
    for number in range(20):
        with seeded_rng(number):
            first = ChooseCaption()(sample(captions=captions))
        with seeded_rng(number):
            again = ChooseCaption()(sample(captions=captions))
        assert (first['caption'], first['nouns']) == (again['caption'], again['nouns'])
        assert 'captions' not in first
        seen.add((first['caption'], first['nouns']))
    # "dog" is a class of the vocabulary.
    assert seen == {(captions[0], ('tree',)), (captions[1], ('ball',))}
    assert ChooseCaption(skip_class_words=False)(sample(captions=captions[:1]))['nouns'] == ('dog', 'tree')


def test_no_caption_is_an_empty_one() -> None:
    results = PackXDetInputs()(ChooseCaption()(sample(captions=())))
    assert results['data_samples'].caption == '' and results['data_samples'].nouns == ()


def test_phrases_and_their_masks() -> None:
    counts = set()
    for number in range(30):
        with seeded_rng(number):
            results = ChoosePhrases(max_phrases=4)(sample(expressions=EXPRESSIONS))
        packed = PackXDetInputs()(results)['data_samples']
        assert packed.phrase_mode == 'text'
        columns = {'left dog': slice(0, 3), 'first dog': slice(0, 3), 'right dog': slice(3, 6)}
        for text, mask in zip(packed.gt_phrases.texts, packed.gt_phrases.masks, strict=True):
            assert mask[3:, columns[text]].all() and mask.sum() == 9
        counts.add(tuple(packed.gt_phrases.texts))
    assert {len(texts) for texts in counts} == {1, 2}
    assert {text for texts in counts for text in texts} == {'left dog', 'first dog', 'right dog'}
    assert ('right dog', 'left dog') in counts and ('left dog', 'right dog') in counts


def test_rle_masks() -> None:
    # Column by column: 6 empty pixels, then 3 set ones.
    rle = dict(size=[6, 8], counts=[6, 3, 39])
    results = ChoosePhrases()(sample(expressions=[dict(sentences=('x',), mask=rle)]))
    mask = PackXDetInputs()(results)['data_samples'].gt_phrases.masks[0]
    assert mask.nonzero().tolist() == [[0, 1], [1, 1], [2, 1]]


def test_class_names_where_nobody_described_anything() -> None:
    with seeded_rng(0):
        results = ChoosePhrases()(sample(expressions=[]))
    packed = PackXDetInputs()(results)['data_samples']
    assert packed.phrase_mode == 'class'
    found = dict(zip(packed.gt_phrases.texts, packed.gt_phrases.masks.expand(), strict=True))
    (dog,) = (text for text in found if 'dog' in text)
    (sky,) = (text for text in found if 'sky' in text)
    assert len(found) == 2, 'the crowd of cars is no phrase'
    assert dog in {template.format('dog') for template in TEMPLATES} and 'other' not in sky
    assert found[dog].sum() == 18 and found[sky].sum() == 24, 'all instances of a class'
    with seeded_rng(1):
        assert len(ChoosePhrases(max_phrases=1)(sample(expressions=[]))['phrases']) == 1


def test_every_training_sample_has_the_same_fields() -> None:
    empty = dict(sample(captions=(), expressions=[]), segments_info=[], gt_seg_map=np.zeros((6, 8), dtype=np.uint8))
    for results in (empty, sample(captions=(), expressions=EXPRESSIONS), sample(captions=('a',), expressions=[])):
        for transform in (ChooseCaption(with_nouns=False), ChoosePhrases(), RandomFlipWithTexts(), PackXDetInputs()):
            results = transform(results)
        packed = results['data_samples']
        assert {'gt_segments', 'gt_phrases'} <= set(packed.keys())
        assert {'caption', 'nouns', 'phrase_mode'} <= set(packed.metainfo_keys())


def test_test_mode_takes_everything_in_order() -> None:
    for sentences, texts in (('first', ('left dog', 'right dog')), ('all', ('left dog', 'first dog', 'right dog'))):
        results = ChoosePhrases(test_mode=True, sentences=sentences)(sample(expressions=EXPRESSIONS))
        packed = PackXDetInputs(test_mode=True, tasks=('refseg',))(results)['data_samples']
        assert packed.phrases == texts and packed.gt_phrases.masks.sum((1, 2)).tolist() == [9] * len(texts)
        assert len(results['gt_masks']) == 2, 'read once for all sentences of an expression'


def test_masks_follow_geometric_transforms() -> None:
    with seeded_rng(3):
        results = ChoosePhrases()(sample(expressions=EXPRESSIONS[1:]))
    results = RandomFlipWithTexts(prob=1.0, sides='swap')(results)
    results = LargeScaleJitter(size=(12, 16), scale_range=(1.0, 1.0))(results)
    packed = PackXDetInputs()(results)['data_samples']
    assert packed.gt_phrases.texts == ['left dog'] and packed.gt_phrases.masks.shape == (1, 12, 16)
    # Columns 3 to 5 of 8 become 2 to 4, and everything is doubled.
    assert packed.gt_phrases.masks[0, 6:, 4:10].all() and packed.gt_phrases.masks.sum() == 36


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="accepted are 'first' and 'all'"):
        ChoosePhrases(sentences='some')
    with pytest.raises(ValueError, match='max_phrases is 0'):
        ChoosePhrases(max_phrases=0)
    with pytest.raises(ValueError, match='a.png: was flipped before the masks of its expressions were read'):
        ChoosePhrases()(sample(expressions=EXPRESSIONS, flip=True))
    with pytest.raises(ValueError, match='a.png: expressions need gt_masks'):
        ChoosePhrases()(sample(expressions=EXPRESSIONS, gt_masks=object()))
