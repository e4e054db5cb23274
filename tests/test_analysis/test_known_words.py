"""The threshold is chosen on one half of the lists and judged on the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from xdet.analysis.known_words import brought_along, choose, collect, measure, read_lists
from xdet.model_zoo import EMBEDDED
from xdet.structures import KnownWords, Vocabulary, XDetDataSample


class Encoder:
    """Names that begin with ``a`` mean one thing, all others another one, and every name something of its own."""

    embed_dims = 16

    def __call__(self, texts: Sequence[str]) -> SimpleNamespace:
        rows = []
        for text in texts:
            generator = torch.Generator().manual_seed(sum(map(ord, text)))
            row = 0.1 * torch.randn(self.embed_dims, generator=generator)
            row[0 if text.startswith('a') else 1] += 1
            rows.append(row)
        return SimpleNamespace(pooled=torch.stack(rows))


def names(letter: str, count: int) -> list[str]:
    return [letter + ''.join(chr(ord('a') + int(digit)) for digit in str(number)) for number in range(100, 100 + count)]


KNOWN = KnownWords(('animal',), frozenset(['the']))


def test_measure() -> None:
    related, unrelated, near = names('a', 20), names('x', 40), names('y', 10)
    stored, result = measure(KNOWN, Encoder(), ['Animal', *related, related[0]], unrelated, near)
    assert (stored.also, stored.others) == (tuple(related), (*unrelated, *near))
    assert (stored.names, stored.phrase_words) == (KNOWN.names, KNOWN.phrase_words)
    assert stored.threshold == result.threshold and 0 < result.threshold < 1
    assert (result.passed, result.marked) == pytest.approx((1.0, 1.0), abs=0.02) and result.near == 1.0
    assert result.wrong == ((), ()) and result.counts == (20, 40)


def test_wrong_names_are_listed() -> None:
    related, unrelated = [*names('a', 20), *names('b', 4)], [*names('x', 40), *names('ay', 4)]
    _, result = measure(KNOWN, Encoder(), related, unrelated)
    assert result.near is None and 0.5 < result.passed < 1 and 0.5 < result.marked < 1
    assert {name[0] for name in result.wrong[0]} == {'b'} and 'a' in {name[0] for name in result.wrong[1]}
    assert result.passed == pytest.approx(1 - len(result.wrong[0]) / result.counts[0], abs=0.1)
    assert result.marked == pytest.approx(1 - len(result.wrong[1]) / result.counts[1], abs=0.1)


def test_names_that_share_a_word_do_not_vote_on_each_other() -> None:
    """Otherwise lists would be judged by how often they repeat themselves."""
    alone = measure(KNOWN, Encoder(), names('a', 20), names('x', 40))[1]
    related = [f'b {name}' for name in names('q', 8)]  # by meaning all are unrelated; only each other could help them
    _, result = measure(KNOWN, Encoder(), [*names('a', 20), *related], names('x', 40))
    assert alone.passed == 1.0 and set(result.wrong[0]) <= set(related) and result.wrong[0]


@pytest.mark.parametrize(('related', 'unrelated', 'what'), [(7, 20, 'related'), (20, 7, 'unrelated')])
def test_short_lists(related: int, unrelated: int, what: str) -> None:
    with pytest.raises(ValueError, match=f'list of {what} names has 7 .* at least 8'):
        measure(KNOWN, Encoder(), ['animal', *names('a', related)], names('x', unrelated))


def test_choice_balances_both_aims() -> None:
    related, unrelated = torch.linspace(0.4, 1.0, 100), torch.linspace(0.0, 0.5, 100)
    threshold = choose(related, unrelated)
    passed, marked = (related >= threshold).float().mean().item(), (unrelated < threshold).float().mean().item()
    assert passed - 0.95 == pytest.approx(marked - 0.80, abs=0.02)


def test_lists() -> None:
    lines = ['# a list', 'dog: puppy, hound,', 'st. bernard', '', 'cat', 'puppy']
    assert read_lists(lines, 'x.txt') == ['puppy', 'hound', 'st. bernard', 'cat']
    with pytest.raises(ValueError, match=r'x.txt has no names; accepted are'):
        read_lists(['# nothing', ' , '], 'x.txt')


class Samples(list):
    """Samples of four classes, one each."""

    def __init__(self) -> None:
        self.read: list[int] = []
        super().__init__(XDetDataSample(metainfo=dict(caption=word)) for word in ('a', 'b', 'c', 'd'))

    def __getitem__(self, index: int) -> dict[str, Any]:  # type: ignore[override]
        self.read.append(index)
        return dict(data_samples=super().__getitem__(index))


@pytest.mark.parametrize(('most', 'read'), [(2, [0, 2]), (3, [0, 2]), (9, [0, 1, 2, 3])])
def test_words_are_collected_from_samples(most: int, read: list[int]) -> None:
    samples = Samples()
    known = collect([samples, samples], most)
    assert samples.read == 2 * read and known.text_words == {'abcd'[index] for index in read}


def test_weights_in_the_package_bring_the_words_of_their_world(tmp_path: Path) -> None:
    scenes = EMBEDDED['scenes']
    assert brought_along({}, scenes.weights) == scenes.known_words is not None
    assert brought_along({}, tmp_path / 'w.pth') is None
    known = KnownWords(Vocabulary(('dog',), (True,)).names)
    checkpoint = dict(state_dict={}, meta=dict(known_words=known.to_plain()))
    assert brought_along(checkpoint, scenes.weights) == known
