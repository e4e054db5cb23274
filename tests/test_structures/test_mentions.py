"""Names are found in texts as words, in singular and plural."""

from __future__ import annotations

import pytest

from xdet.structures.mentions import mentioned, plural


@pytest.mark.parametrize(
    ('name', 'several'),
    [
        ('dog', 'dogs'),
        ('sheep', 'sheep'),
        ('bus', 'buses'),
        ('puppy', 'puppies'),
        ('toy', 'toys'),
        ('dining table', 'dining tables'),
        ('person', 'people'),
    ],
)
def test_plural(name: str, several: str) -> None:
    assert plural(name) == several


@pytest.mark.parametrize(
    ('text', 'names'),
    [
        ('two people and a cat on a dining table', ['cat', 'person', 'dining table']),
        ('A Cat, and CATS', ['cat']),
        ('a caterpillar in a carpet', []),
        ('', []),
    ],
)
def test_mentioned(text: str, names: list[str]) -> None:
    assert mentioned(text, ['cat', 'car', 'person', 'dining table']) == names


def test_signs_in_names_mean_nothing_else() -> None:
    assert mentioned('a b (c)', ['.', 'b (c']) == ['b (c']
