"""Metrics of referring segmentation, captioning, retrieval and VQA against tables worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from mmengine.structures import InstanceData

from xdet.evaluation import (
    CaptionMatch,
    CaptionNames,
    ReferringIoU,
    RetrievalRecall,
    VQAAccuracy,
    answer_score,
    cider_d,
    retrieval_ranks,
)
from xdet.structures import XDetDataSample


def evaluate(metric, samples: list[dict]) -> dict[str, float]:
    metric.process(None, samples)
    return metric.evaluate(size=len(samples))


def evaluate_on_two_ranks(build, samples: list[dict]) -> dict[str, float]:
    """What rank 0 computes after the results of two ranks, which took turns, were gathered one rank after the other."""
    shards = []
    for rank in range(2):
        metric = build()
        metric.process(None, samples[rank::2])
        shards.append(metric.results)
    return metric.compute_metrics([*shards[1], *shards[0]])


def same(one: dict[str, float], other: dict[str, float]) -> bool:
    return {name.split('/')[-1]: value for name, value in one.items()} == other


# ----------------------------------------------------------------------------------------------------------- referring


def phrase_sample(gt: list, pred: list, kinds: tuple[str, ...] | None = None) -> dict:
    sample = XDetDataSample(metainfo=dict(img_path='a.png', **({} if kinds is None else dict(phrase_kinds=kinds))))
    texts = [f'phrase {index}' for index in range(len(gt))]
    sample.gt_phrases = InstanceData(masks=torch.tensor(gt, dtype=torch.bool), texts=texts)
    sample.pred_phrases = InstanceData(masks=torch.tensor(pred, dtype=torch.bool))
    return sample.to_dict()


REFERRING = [
    # IoU 3/4 and 1/5, then nothing for nothing, and something for nothing.
    phrase_sample(
        [[[1, 1, 1, 1, 0, 0]], [[1, 1, 1, 0, 0, 0]]],
        [[[1, 1, 1, 0, 0, 0]], [[0, 0, 1, 1, 1, 0]]],
        ('plain', 'relation'),
    ),
    phrase_sample([[[0, 0]], [[0, 0]]], [[[0, 0]], [[1, 0]]], ('plain', 'relation')),
]


def test_referring_table() -> None:
    assert evaluate(ReferringIoU(thresholds=(0.5, 0.75)), REFERRING) == pytest.approx(
        {
            'referring/cIoU': 100 * 4 / (4 + 5 + 0 + 1),
            'referring/mIoU': 100 * (0.75 + 0.2 + 1 + 0) / 4,
            'referring/P@0.5': 50.0,
            'referring/P@0.75': 50.0,  # 0.75 itself counts
            'referring/cIoU_plain': 75.0,
            'referring/mIoU_plain': 87.5,
            'referring/cIoU_relation': 100 / 6,
            'referring/mIoU_relation': 10.0,
        }
    )


def test_referring_sums_are_exact_over_ranks() -> None:
    generator = torch.Generator().manual_seed(0)
    samples = [
        phrase_sample(*(torch.rand(2, 3, 9, 9, generator=generator) > 0.5).tolist(), kinds=('a', 'b', 'a'))
        for _ in range(7)
    ]
    alone = evaluate(ReferringIoU(), samples)
    assert same(alone, evaluate_on_two_ranks(ReferringIoU, samples))
    assert 20 < alone['referring/cIoU'] < 50


def test_referring_errors() -> None:
    with pytest.raises(ValueError, match=r'a\.png: predicted masks of phrases are \(1, 1, 2\) but .* \(1, 1, 3\)'):
        ReferringIoU().process(None, [phrase_sample([[[0, 0, 0]]], [[[0, 0]]])])
    with pytest.raises(ValueError, match='has no pred_phrases: the model was not asked for it'):
        ReferringIoU().process(None, [dict(img_path='a.png', gt_phrases=dict(masks=torch.zeros(0, 1, 1)))])
    with pytest.raises(ValueError, match='no image has a phrase'):
        ReferringIoU().compute_metrics([([], [])])


# ---------------------------------------------------------------------------------------------------------- captioning


def caption_sample(text: str | None, *truths: str) -> dict:
    return dict(pred_captions=[] if text is None else [dict(text=text, score=0.0)], captions=truths, img_path='a.png')


def test_cider_d_by_hand() -> None:
    # Two images; every n-gram occurs in one of them, so each weighs log 2, apart from "a", which weighs nothing.
    # 'a b c' against itself: n = 1, 2, 3 agree fully, there is no 4-gram: 10 * 3 / 4.
    # 'a b' against 'a d e': the 1-gram "a" has weight 0 and nothing else agrees.
    assert cider_d(['a b c', 'a b'], [['a b c'], ['a d e']]) == pytest.approx([7.5, 0.0])
    # 'b c' against 'a b c': the vectors of n = 1 are equal, as "a" has no weight; n = 2 has "b c" of {"a b", "b c"}.
    # One word is missing: exp(-1 / 72).
    expected = 10 * (1 + 1 / math.sqrt(2)) / 4 * math.exp(-1 / 72)
    assert cider_d(['B c.', 'x'], [['a b c'], ['a d e']]) == pytest.approx([expected, 0.0])
    # Repetition is clipped: of three b's one counts, min(3, 1) * 1 over the norms 3 and sqrt 2, and one word too many.
    expected = 10 * 1 / (3 * math.sqrt(2)) / 4 * math.exp(-1 / 72)
    assert cider_d(['b b b', 'x'], [['b c'], ['d e']])[0] == pytest.approx(expected)


def test_cider_d_averages_over_references() -> None:
    one, two = (cider_d(['a b', 'z'], [[text], ['y']])[0] for text in ('a b', 'c d'))
    assert cider_d(['a b', 'z'], [['a b', 'c d'], ['y']])[0] == pytest.approx((one + two) / 2)
    assert one == pytest.approx(5.0) and two == 0


CAPTIONS = [
    caption_sample('A red  circle.', 'a red circle', 'grass'),
    caption_sample('on grass', 'sand with a ring', 'on grass'),
    caption_sample('sand with a ring', 'sand with two rings'),
    caption_sample(None, 'water'),
]


def test_caption_table() -> None:
    result = evaluate(CaptionMatch(), CAPTIONS)
    assert result['caption/exact'] == 25.0 and result['caption/exact_any'] == 50.0
    own = cider_d(
        ['A red  circle.', 'on grass', 'sand with a ring', ''], [list(sample['captions']) for sample in CAPTIONS]
    )
    assert result['caption/CIDEr-D'] == pytest.approx(100 * sum(own) / 4) and own[3] == 0
    assert same(result, evaluate_on_two_ranks(CaptionMatch, CAPTIONS))


def test_missing_captions_are_named() -> None:
    with pytest.raises(ValueError, match='a.png: has no captions: the dataset has no such texts'):
        CaptionMatch().process(None, [dict(pred_captions=[], img_path='a.png')])


# ----------------------------------------------------------------------------------------------------------- retrieval


def test_ranks_by_hand() -> None:
    images = torch.eye(3)
    texts = torch.tensor([[1.0, 0, 0], [0.9, 0.8, 0], [0, 0.5, 0.6], [0, 0, 0.6]])
    owners = torch.tensor([0, 1, 1, 2])
    # Image 0: own text first. Image 1: own texts 0.8 and 0.5. Image 2: its own is level with a text of image 1.
    # Text 1 is nearer to image 0, text 2 nearer to image 2.
    image_ranks, text_ranks = retrieval_ranks(images, texts, owners)
    assert image_ranks.tolist() == [0, 0, 1]
    assert text_ranks.tolist() == [0, 1, 1, 0]


def test_equal_embeddings_find_nothing() -> None:
    image_ranks, text_ranks = retrieval_ranks(torch.ones(4, 2), torch.ones(4, 2), torch.arange(4))
    assert image_ranks.tolist() == text_ranks.tolist() == [3] * 4


def retrieval_sample(img_id: int, decoder: list, backbone: list, texts: list) -> dict:
    embedding = torch.tensor([decoder, backbone], dtype=torch.float32)
    return dict(img_id=img_id, pred_embedding=embedding, pred_text_embeddings=torch.tensor(texts, dtype=torch.float32))


RETRIEVAL = [
    retrieval_sample(2, [0, 1], [1, 0], [[0, 1]]),
    retrieval_sample(1, [1, 0], [0, 1], [[1, 0]]),
    retrieval_sample(3, [1, 0], [1, 0], [[1, 0]]),
    retrieval_sample(4, [1, 0], [0, 1], [[0, 1]]),
]


def test_retrieval_weights_and_groups() -> None:
    right = evaluate(RetrievalRecall(ks=(1, 2), decoder_weight=1.0, group_size=2), RETRIEVAL)
    # Images 1 and 2 find each other's right text by the decoder; 3 and 4 have the same decoder half.
    assert right == {
        'retrieval/image_to_text_R@1': 75.0,
        'retrieval/image_to_text_R@2': 100.0,
        'retrieval/text_to_image_R@1': 50.0,
        'retrieval/text_to_image_R@2': 100.0,
    }
    backbone = evaluate(RetrievalRecall(ks=(1,), decoder_weight=0.0, group_size=2), RETRIEVAL)
    assert backbone == {'retrieval/image_to_text_R@1': 50.0, 'retrieval/text_to_image_R@1': 50.0}


def test_retrieval_over_ranks() -> None:
    generator = torch.Generator().manual_seed(0)
    samples = []
    for img_id in range(23):
        image = torch.randn(2, 6, generator=generator)
        texts = image.mean(0) + 0.7 * torch.randn(1 + img_id % 3, 6, generator=generator)
        samples.append(dict(img_id=img_id, pred_embedding=image, pred_text_embeddings=texts))
    for group_size in (None, 10):
        alone = evaluate(RetrievalRecall(group_size=group_size), samples)
        assert same(alone, evaluate_on_two_ranks(lambda size=group_size: RetrievalRecall(group_size=size), samples))
        assert 20 < alone['retrieval/text_to_image_R@1'] < 100


def test_retrieval_errors() -> None:
    with pytest.raises(ValueError, match='decoder_weight is 2'):
        RetrievalRecall(decoder_weight=2)
    with pytest.raises(ValueError, match='4 images are fewer than group_size 5'):
        evaluate(RetrievalRecall(group_size=5), RETRIEVAL)
    with pytest.raises(ValueError, match='no embedded caption'):
        RetrievalRecall().process(None, [{**RETRIEVAL[0], 'pred_text_embeddings': torch.zeros(0, 2)}])


# ----------------------------------------------------------------------------------------------------------------- vqa


def vqa_sample(given: list[str], truths: list[dict], kinds: tuple[str, ...] | None = None) -> dict:
    answers = [[dict(answer=answer, score=0.9), dict(answer='yes', score=0.1)] for answer in given]
    kinds_or_none = {} if kinds is None else dict(question_kinds=kinds)
    return dict(pred_answers=answers, answers=tuple(truths), img_path='a.png', **kinds_or_none)


VQA = [
    vqa_sample(['Red', 'no'], [{'red': 1.0}, {'yes': 1.0}], ('colour', 'existence')),
    vqa_sample(['two'], [{'two': 0.3, '2': 1.0}], ('count',)),
    vqa_sample(['cat', 'dog'], [{'cat': 1.7}, {'dog': 0.6}], ('colour', 'count')),
    vqa_sample([], [], ()),
]


def test_vqa_table() -> None:
    result = evaluate(VQAAccuracy(), VQA)
    assert result == pytest.approx(
        {
            'vqa/accuracy': 100 * (1 + 0 + 0.3 + 1 + 0.6) / 5,
            'vqa/accuracy_colour': 100.0,
            'vqa/accuracy_count': 45.0,
            'vqa/accuracy_existence': 0.0,
        }
    )
    assert same(result, evaluate_on_two_ranks(VQAAccuracy, VQA))
    assert evaluate(VQAAccuracy(), [vqa_sample(['no'], [{'no': 1.0}])]) == {'vqa/accuracy': 100.0}


def test_answer_score() -> None:
    assert answer_score(' Brick Wall', {'brick wall': 1.0}) == 1.0
    assert answer_score('sky', {}) == 0.0


def test_vqa_errors() -> None:
    with pytest.raises(ValueError, match='a.png: answers to 1 questions but 2 are known'):
        VQAAccuracy().process(None, [vqa_sample(['no'], [{'no': 1.0}, {'yes': 1.0}])])
    with pytest.raises(ValueError, match='no image has a question'):
        evaluate(VQAAccuracy(), VQA[3:])


@pytest.mark.parametrize(
    ('caption', 'references', 'expected'),
    [
        ('Two dogs , a person', ('a dog and a person', 'a cat'), 100.0),
        ('a dog', ('a dog and a cat',), 0.0),
        ('a dog and a sheep', ('a dog',), 0.0),
        ('a sofa', ('people',), 100.0),
        ('a scowl', ('a cow',), 0.0),  # part of another word is none
        ('anything', (), math.nan),
    ],
)
def test_captions_name_the_right_things(caption: str, references: tuple[str, ...], expected: float) -> None:
    sample = XDetDataSample(metainfo=dict(img_path='a.png', captions=references))
    sample.set_field([dict(text=caption, score=0.0)], 'pred_captions')
    found = evaluate(CaptionNames(['cat', 'dog', 'cow', 'sheep']), [sample.to_dict()])
    assert found == pytest.approx({'caption/names': expected}, nan_ok=True)


def test_names_to_look_for_are_a_list() -> None:
    for names in ('dog', []):
        with pytest.raises(ValueError, match='CaptionNames: names is .*at least one name'):
            CaptionNames(names)
    with pytest.raises(ValueError, match='CaptionNames: no sample was evaluated'):
        CaptionNames(['dog']).evaluate(size=0)
