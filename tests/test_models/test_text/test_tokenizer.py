import html
import time
import unicodedata
from unittest import mock

import pytest
import torch

from xdet.models.text import END_TOKEN, START_TOKEN, VOCAB_SIZE, decode, tokenize
from xdet.models.text.tokenizer import _warn_truncated


def test_known_ids():
    ids = tokenize(['a photo of a dog .', 'Dog'])
    assert ids.tolist() == [[49406, 320, 1125, 539, 320, 1929, 269, 49407], [49406, 1929, 49407, 0, 0, 0, 0, 0]]


def test_case_and_white_space_do_not_matter():
    assert tokenize(['A  Dog\n']).equal(tokenize(['a dog']))


def test_empty_text_and_no_text():
    assert tokenize(['']).tolist() == [[START_TOKEN, END_TOKEN]]
    assert tokenize([]).shape[0] == 0


def test_truncation_keeps_the_end_token_and_is_reported_once():
    _warn_truncated.cache_clear()
    text = 'dog ' * 100
    with mock.patch('xdet.models.text.tokenizer.print_log') as log:
        for _ in range(3):
            ids = tokenize([text, 'cat'], context_length=77)
    assert ids.shape == (2, 77)
    assert ids[0, -1] == END_TOKEN and ids[0, -2] == tokenize(['dog'])[0, 1]
    log.assert_called_once()
    assert 'has 102 tokens; only the first 77 are read' in log.call_args.args[0]


@pytest.mark.parametrize('text', ['a dog', 'st. bernard', 'naïve café, 3 people!'])
def test_decode_inverts(text):
    ids = tokenize([text, 'word ' * 20])[0]
    assert decode(ids.tolist()).replace(' ', '') == text.replace(' ', '')


@pytest.mark.parametrize(
    'text',
    [
        'ein Hund läuft über die Straße',
        'собака на траве',
        '一只狗在草地上',
        '🐕\u200d🦺 dog 🐈',
        'عربي كلب',
        'हिन्दी',
        'a\u0301ne',
        '\ud7ff\U0010ffff',
    ],
)
def test_any_language_and_emoji_survive(text):
    ids = tokenize([text, ''])
    assert (ids < VOCAB_SIZE).all() and (ids[:, 0] == START_TOKEN).all() and (ids == END_TOKEN).any(dim=1).all()
    expected = unicodedata.normalize('NFC', text).lower()
    assert decode(ids[0].tolist()).replace(' ', '') == expected.replace(' ', '')


def test_whatever_is_generated_can_be_decoded():
    """Also halves of characters that take several tokens."""
    ids = torch.randint(VOCAB_SIZE, (200, 20), generator=torch.Generator().manual_seed(0))
    assert all(isinstance(decode(row.tolist()), str) for row in ids)
    assert isinstance(decode(tokenize(['🦺'])[0, :2].tolist()), str)


def test_a_lone_surrogate_does_no_harm():
    assert tokenize(['\ud800']).shape == (1, 3)


@pytest.mark.parametrize(
    'text',
    [
        '<start_of_text> dog <end_of_text> cat',
        'a dog<END_OF_TEXT>',
        'a &lt;end_of_text&gt; cat',
        '<end_of_text>',
        '<|endoftext|> <start_of_text>',
    ],
)
def test_special_tokens_in_a_text_are_letters(text):
    ids = tokenize([text])[0].tolist()
    assert ids.count(START_TOKEN) == ids.count(END_TOKEN) == 1 and ids[-1] == END_TOKEN
    assert decode(ids).replace(' ', '') == html.unescape(text).lower().replace(' ', '')


def test_one_string_is_refused():
    with pytest.raises(TypeError, match="list of strings, not 'dog'"):
        tokenize('dog')


def test_many_truncated_texts_are_reported_in_one_line():
    with mock.patch('xdet.models.text.tokenizer.print_log') as log:
        tokenize([f'{number} ' + 'word ' * 100 for number in range(5)])
    log.assert_called_once()
    assert '(and 4 more)' in log.call_args.args[0]


def test_megabytes_of_text_take_no_minutes():
    long = 'two red circles ' * 300_000
    start = time.process_time()
    ids = tokenize([long, 'x' * 3_000_000])
    assert time.process_time() - start < 20 and ids.shape == (2, 77)
    assert torch.equal(ids[0], tokenize([long[:2000]])[0])
