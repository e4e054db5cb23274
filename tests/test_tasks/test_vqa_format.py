"""An answer that needs what no query sees says so."""

from __future__ import annotations

import pytest
import torch

from xdet.structures import FORMATS, TextPrompts, Vocabulary, XDetDataSample

NAMES = Vocabulary(('dog', 'cat'), (True, True))


@pytest.mark.parametrize(
    ('question', 'answer', 'unseen'),
    [
        ('is there a dog?', 'yes', ['dog']),
        ('is there a dog?', 'no', []),
        ('how many dogs are there?', '2', ['dog']),
        ('how many dogs are there?', '0', []),
        ('what animal is this?', 'dog', ['dog']),
        ('what animal is this?', 'cat', []),
        ('is the cat to the left of the dog?', 'yes', ['dog']),
        ('what colour is it?', 'red', []),
    ],
)
@pytest.mark.parametrize('looked', [True, False])
def test_unseen(question: str, answer: str, unseen: list[str], looked: bool) -> None:
    sample = XDetDataSample(metainfo=dict(vocabulary=NAMES))
    sample.prompts = TextPrompts(questions=(question,))
    sample.set_field([[dict(answer=answer, score=0.8), dict(answer='dog', score=0.2)]], 'pred_answers')
    if looked:
        sample.pred_presence = torch.tensor([0.1, 0.9])
    unseen = unseen if looked else []
    form = FORMATS['vqa']
    [entry] = form.results(sample)['answers']
    assert entry.get('unseen', []) == unseen and entry['answers'][0]['answer'] == answer
    said = question + (f'  (not seen: {", ".join(unseen)})' if unseen else '')
    assert form.summary(dict(answers=[entry]), 0.0) == [said, f'  0.80  {answer}', '  0.20  dog']
    assert form.lines(sample, 0.0)[0].text == said


def test_no_answer() -> None:
    sample = XDetDataSample(metainfo=dict(vocabulary=NAMES), pred_presence=torch.tensor([0.1, 0.9]))
    sample.prompts = TextPrompts(questions=('is there a dog?',))
    sample.set_field([[]], 'pred_answers')
    assert 'unseen' not in FORMATS['vqa'].results(sample)['answers'][0]
