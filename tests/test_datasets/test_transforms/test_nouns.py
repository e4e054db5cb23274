"""Nouns of captions, against hand-labelled ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from xdet.datasets.transforms.nouns import extract_nouns, nouns_beside

pytest.importorskip('textblob', reason='extracting nouns needs TextBlob (requirements/data.txt)')
LABELLED = Path(__file__).resolve().parents[2] / 'data'


# The rules were made with the first file in view, the second was labelled afterwards.
@pytest.mark.parametrize(
    ('name', 'precision', 'recall'), [('captions_nouns', 0.97, 0.98), ('captions_nouns_unseen', 0.92, 0.97)]
)
def test_agreement_with_people(name: str, precision: float, recall: float) -> None:
    both = found = true = 0
    for line in (LABELLED / f'{name}.tsv').read_text(encoding='utf-8').splitlines():
        caption, words = line.split('\t')
        nouns, truth = set(extract_nouns(caption)), set(words.split())
        both, found, true = both + len(nouns & truth), found + len(nouns), true + len(truth)
    assert both / found >= precision and both / true >= recall


def test_order_and_repetition() -> None:
    assert extract_nouns('A Dog chases a cat, and the cat chases a dog.') == ('dog', 'cat')
    assert extract_nouns('The front of a red bus.') == ('bus',)
    assert extract_nouns('') == extract_nouns('12 !? 3') == ()


def test_nouns_that_name_classes_are_left_out() -> None:
    nouns = ('women', 'knives', 'table', 'wall', 'kite', 'buses', 'grass', 'glass')
    names = ('person', 'knife', 'dining table', 'wall-brick', 'bus', 'grass-merged')
    assert nouns_beside(nouns, names) == ('kite', 'glass')
    assert nouns_beside(nouns, ()) == nouns
