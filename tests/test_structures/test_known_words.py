"""The training vocabulary of a model as a value."""

from __future__ import annotations

import json

import pytest
import torch
from mmengine.structures import InstanceData

from xdet.structures import KnownWords, Vocabulary, XDetDataSample
from xdet.structures.known_words import far_line

KNOWN = KnownWords(
    names=('dog', 'Dining Table'),
    phrase_words=frozenset(['the', 'left', 'dog', 'striped']),
    text_words=frozenset(['two', 'zebras']),
    also=('puppy', 'school bus'),
)


def sample(
    *names: str, phrases: tuple[str, ...] = (), regions: tuple[str, ...] = (), **known: object
) -> XDetDataSample:
    made = XDetDataSample(metainfo=dict(vocabulary=Vocabulary(names, (True,) * len(names)), **known))
    made.gt_segments = InstanceData(labels=torch.zeros(0, dtype=torch.int64))
    if phrases:
        made.gt_phrases = InstanceData(masks=torch.zeros(len(phrases), 1, 1), texts=list(phrases))
    if regions:
        made.gt_regions = InstanceData(masks=torch.zeros(len(regions), 1, 1), texts=list(regions))
    return made


def test_words_of_samples() -> None:
    known = KnownWords.of_samples(
        [
            sample('dog', 'cat', phrases=('The dog, left',)),
            sample('cat', regions=('a hat',), caption='Cats 2x', questions=('Why?',), answers=({'no idea': 1.0},)),
        ]
    )
    assert known.names == ('cat', 'dog') and known.phrase_words == {'the', 'dog', 'left'}
    assert known.text_words == {'a', 'hat', 'cats', 'x', 'why', 'no', 'idea'}


def test_class_names_need_segments() -> None:
    captioned = XDetDataSample(metainfo=dict(vocabulary=Vocabulary(('dog',), (True,)), caption='a cat'))
    known = KnownWords.of_samples([captioned])
    assert known.names == () and known.text_words == {'a', 'cat'}
    assert KnownWords.of_samples([XDetDataSample()]) == KnownWords()


def test_every_text_of_a_class_is_trained() -> None:
    made = sample('dog')
    made.set_metainfo(dict(vocabulary=Vocabulary(('dog',), (True,), (('hound', 'puppy'),))))
    assert KnownWords.of_samples([made]).names == ('hound', 'puppy')


@pytest.mark.parametrize(
    ('text', 'kind', 'far'),
    [
        ('dog', 'names', ()),
        ('Dogs', 'names', ()),
        ('striped dog', 'names', ()),
        ('dining  TABLE', 'names', ()),
        ('dining tables', 'names', ()),
        ('puppies', 'names', ()),
        ('school bus', 'names', ()),
        ('school buses', 'names', ()),
        ('school bell', 'names', ('school', 'bell')),  # words of a name that counts as known are not known themselves
        ('school', 'names', ('school',)),
        ('two zebras', 'names', ('two', 'zebras')),
        ('two zebras', 'phrases', ('two', 'zebras')),
        ('two zebras', 'texts', ()),
        ('a zebra, a zebra', 'texts', ('a',)),
        ('42 !', 'names', ()),
        ('été', 'names', ('été',)),
        ('', 'phrases', ()),
    ],
)
def test_words_that_training_never_had(text: str, kind: str, far: tuple[str, ...]) -> None:
    assert KNOWN.unfamiliar(text, kind) == far


def test_plain_data_and_back() -> None:
    full = KnownWords(('dog',), frozenset('ba'), frozenset('c'), ('puppy',), ('hat',), 0.25)
    assert KnownWords.from_plain(json.loads(json.dumps(full.to_plain()))) == full
    assert full.to_plain()['phrase_words'] == ['a', 'b']
    assert KnownWords.from_plain(dict(names=['dog'], invented_later=1)) == KnownWords(('dog',))


@pytest.mark.parametrize(
    ('value', 'message'),
    [
        ('dog', 'no object with keys'),
        (dict(names='dog'), "'names' is no list of texts"),
        (dict(also=['a', 5]), "'also' is no list of texts"),
        (dict(threshold='0.3'), "'threshold' is no number from 0 to 1"),
        (dict(threshold=True), "'threshold'"),
        (dict(threshold=float('nan')), "'threshold'"),
        (dict(threshold=7), "'threshold'"),
    ],
)
def test_data_that_cannot_be_meant(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KnownWords.from_plain(value)


def test_training_goes_on() -> None:
    old = KnownWords(('dog',), frozenset(['the']), also=('puppy',), others=('balloon', 'hat'), threshold=0.2)
    new = KnownWords(('balloon', 'dog'), frozenset(['a']), frozenset(['sky']))
    both = old | new
    assert both.names == ('dog', 'balloon') and both.phrase_words == {'the', 'a'} and both.text_words == {'sky'}
    assert both.others == ('hat',) and both.threshold == 0.2 and both.also == ('puppy',)
    assert (new | old).threshold == 0.2
    assert both.covers(old) and both.covers(new) and not old.covers(new)
    assert both.unmeasured().threshold is None and both.unmeasured().others == ()


def test_line_for_people() -> None:
    assert far_line(['a zebra', 'hat']) == 'not trained with (?): a zebra, hat'
    assert len(far_line(map(str, range(100)))) < 80
