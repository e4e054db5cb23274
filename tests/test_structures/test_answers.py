"""Spelling of answers and agreement with people, against the rules of the VQA evaluation and mmpretrain's copy."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from xdet.structures.answers import (
    CONTRACTIONS,
    PUNCTUATION,
    agreement,
    normalize_answer,
    soft_scores,
    strip_punctuation,
)


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('The two  dogs.', '2 dogs'),
        ('None', '0'),
        ('1,000', '1000'),
        ('3.5 m', '3.5 m'),
        ('black/white', 'black white'),
        ('black / white', 'black  white'.replace('  ', ' ')),
        ('red-ish, 1,5', 'redish 15'),
        ('dont know', "don't know"),
        ("couldntve couldnt've couldn'tve", "couldntve couldn't've couldn't've"),
        ("somebody'd", 'somebodyd'),
        ("Ow's'at", "'ow's'at"),
        ('yes\n', 'yes'),
        ('a', ''),
        ('it is 5:30 p.m.', 'it is 5:30 pm'),
    ],
)
def test_spelling(text: str, expected: str) -> None:
    assert normalize_answer(text) == expected


@pytest.fixture(scope='module')
def reference() -> Callable[[str], str]:
    """mmpretrain's rendering of the published code."""
    module = pytest.importorskip('mmpretrain.evaluation.metrics.vqa')

    def normalise(text: str) -> str:
        text = text.replace('\n', ' ').replace('\t', ' ').strip()
        return module._process_digit_article(module._process_punctuation(text))

    return normalise


def test_spelling_equals_another_implementation(reference: Callable[[str], str]) -> None:
    random.seed(0)
    parts = [*PUNCTUATION, "'", ':', '.', ' ', ' ', ' ', '1', '2', 'a', 'the ', 'Ten ', 'zero', *CONTRACTIONS]
    texts = [''.join(random.choices(parts, k=random.randint(1, 8))) for _ in range(5000)]
    texts += [*CONTRACTIONS, *CONTRACTIONS.values()]
    assert [text for text in texts if normalize_answer(text) != reference(text)] == []


def test_soft_scores() -> None:
    scores = soft_scores(['Two', '2', 'three', *['4.'] * 4, '?', 'the'])
    assert scores == pytest.approx({'2': 2 / 3, '3': 1 / 3, '4': 1.0})


def leave_one_out(answer: str, people: list[str]) -> float:
    """The definition, literally."""
    scores = [min(1, (people[:i] + people[i + 1 :]).count(answer) / 3) for i in range(len(people))]
    return sum(scores) / len(scores)


@pytest.mark.parametrize('said', range(11))
def test_agreement_by_definition(said: int) -> None:
    people = ['yes'] * said + ['no'] * (10 - said)
    assert agreement('Yes.', people) == pytest.approx(leave_one_out('yes', people))
    assert agreement('Yes.', people) == pytest.approx([0, 0.3, 0.6, 0.9, *[1] * 7][said])


def test_agreement_cleans_people_only_where_they_differ() -> None:
    assert agreement('t-shirt', ['t-shirt'] * 10) == 0.0  # as published: the model's answer becomes "t shirt"
    assert agreement('t-shirt', ['t-shirt'] * 9 + ['shirt']) == 1.0
    assert agreement('two', ['two'] * 9 + ['2']) == pytest.approx(0.3)  # numbers of people stay words
    with pytest.raises(ValueError, match='nobody answered'):
        agreement('yes', [])


def test_real_answers(shared_data: Path, reference: Callable[[str], str]) -> None:
    path = shared_data / 'vqa_sample' / 'text_only' / 'annotations_train.json.gz'
    with gzip.open(path, 'rt') as file:
        annotations = json.load(file)['annotations'][:4000]
    assert len(annotations) == 4000
    for annotation in annotations:
        people = [answer['answer'] for answer in annotation['answers']]
        assert [normalize_answer(text) for text in people] == [reference(text) for text in people]
        truths = people if len(set(people)) == 1 else [strip_punctuation(text) for text in people]
        for answer in {people[0], annotation['multiple_choice_answer']}:
            assert agreement(answer, people) == pytest.approx(leave_one_out(reference(answer), truths))
