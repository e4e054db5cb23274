"""Scores of captions against values worked out by hand, and what they are called with and without Java."""

from __future__ import annotations

import math
import shutil

import pytest
import torch

from xdet.evaluation import CaptionQuality, RetrievalRecall
from xdet.evaluation.captions.scores import bleu, rouge_l
from xdet.evaluation.captions.tokens import simple_tokens, why_no_ptb


def test_bleu_by_hand() -> None:
    # 'a a b' against 'a b' and 'a b c d e': 2 of 3 words (one "a" counts), 1 of 2 pairs, no triple; the nearest
    # reference is shorter, so no penalty.
    scores = bleu([['a', 'a', 'b']], [[['a', 'b'], ['a', 'b', 'c', 'd', 'e']]])
    assert scores[:2] == pytest.approx([2 / 3, math.sqrt(2 / 3 * 1 / 2)]) and scores[2] < 1e-4
    # Half as long as the only reference: exp(1 - 2).
    assert bleu([['a', 'b']], [[['a', 'b', 'c', 'd']]])[0] == pytest.approx(math.exp(-1))
    # Of two references as near, the shorter counts: no penalty.
    assert bleu([['a', 'b', 'c']], [[['a', 'b', 'c', 'd'], ['a', 'b']]])[0] == pytest.approx(1)


def test_rouge_by_hand() -> None:
    # 'a x b' and 'a b c d': common 'a b', precision 2/3, recall 2/4.
    precision, recall = 2 / 3, 1 / 2
    expected = (1 + 1.44) * precision * recall / (recall + 1.44 * precision)
    assert rouge_l(['a', 'x', 'b'], [['a', 'b', 'c', 'd']]) == pytest.approx(expected)
    assert rouge_l([], [['a']]) == 0 and rouge_l(['a'], [['a']]) == 1


def test_words() -> None:
    assert simple_tokens("A man's dog doesn't like the T-shirt, (it) costs $1,000.50 -- can't!") == (
        "a man 's dog does n't like the t-shirt -lrb- it -rrb- costs $ 1,000.50 ca n't".split()
    )
    assert simple_tokens('... ') == []


def sample(text: str | None, *truths: str) -> dict:
    return dict(pred_captions=[] if text is None else [dict(text=text)], captions=truths, img_path='a.png')


SAMPLES = [sample('A dog runs.', 'a dog runs', 'the dog is running'), sample(None, 'two cats on grass')]


def test_python_scores_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, 'which', lambda name: None)
    metric = CaptionQuality()
    metric.process(None, SAMPLES)
    names = {f'caption/{name}_py' for name in ('BLEU-1', 'BLEU-2', 'BLEU-3', 'BLEU-4', 'ROUGE-L', 'CIDEr-D')}
    result = metric.evaluate(2)
    assert result.keys() == names and result['caption/ROUGE-L_py'] == pytest.approx(50)
    with pytest.raises(ValueError, match='tokenizer ptb cannot run, (there is no java|it needs pycocoevalcap)'):
        CaptionQuality(tokenizer='ptb')
    with pytest.raises(ValueError, match='SPICE cannot run'):
        CaptionQuality(spice=True)


@pytest.mark.skipif(why_no_ptb() is not None, reason=f'{why_no_ptb()}')
def test_java_scores_equal_those_of_python() -> None:
    values = []
    for metric in (CaptionQuality('ptb', meteor=False), CaptionQuality('python')):
        metric.process(None, SAMPLES)
        values.append({name.removesuffix('_py'): value for name, value in metric.evaluate(2).items()})
    assert values[0] == pytest.approx(values[1])


def test_errors() -> None:
    with pytest.raises(ValueError, match="tokenizer is 'x'; accepted are auto, ptb, python"):
        CaptionQuality(tokenizer='x')
    with pytest.raises(ValueError, match='a.png: has no reference caption'):
        CaptionQuality('python').process(None, [sample('a')])
    with pytest.raises(ValueError, match='CaptionQuality: no sample was evaluated'):
        CaptionQuality('python').evaluate(0)


def test_embeddings_that_are_no_numbers_are_errors() -> None:
    broken = dict(
        img_path='a.png', pred_embedding=torch.ones(2, 2), pred_text_embeddings=torch.tensor([[1.0, math.nan]])
    )
    with pytest.raises(ValueError, match=r'a.png: pred_text_embeddings \[0, 1\] is nan'):
        RetrievalRecall().process(None, [broken])
