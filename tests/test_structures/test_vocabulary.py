"""What users type becomes a vocabulary, or one clear line."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xdet.structures import Vocabulary, split_prompts, vocabulary


@pytest.mark.parametrize(
    ('prompt', 'names'),
    [
        ('dog . cat', ['dog', 'cat']),
        ('dog.cat', ['dog.cat']),
        ('dog. cat.', ['dog', 'cat']),
        ('traffic light, stop sign;bus\ncar', ['traffic light', 'stop sign', 'bus', 'car']),
        ('v1.0 logo', ['v1.0 logo']),
        ('St. Bernard . No. 7 . grass', ['St. Bernard', 'No. 7', 'grass']),
        ('St. Bernard, No. 7;Mt. Fuji', ['St. Bernard', 'No. 7', 'Mt. Fuji']),
        ('dog . cat.', ['dog', 'cat']),
        ('dog . cat .', ['dog', 'cat']),
        ('. . dog , , cat', ['dog', 'cat']),
        ('cat. dog', ['cat', 'dog']),
        ('  ', []),
        (None, []),
        (['st. bernard', ' pug '], ['st. bernard', 'pug']),
    ],
)
def test_splitting(prompt, names):
    assert split_prompts(prompt) == names


def test_things_come_first_and_are_marked():
    vocabulary = Vocabulary.from_prompts(things='dog . cat', stuff=['sky'])
    assert vocabulary.names == ('dog', 'cat', 'sky')
    assert vocabulary.is_thing == (True, True, False)
    assert vocabulary.things == ('dog', 'cat') and vocabulary.stuff == ('sky',)


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(), 'empty'),
        (dict(classes=''), 'empty'),
        (dict(classes=['dog', ' ']), 'empty or not a string'),
        (dict(classes=['dog', 3]), 'empty or not a string'),
        (dict(things='dog', stuff='dog'), 'more than once: dog'),
        (dict(classes='dog', things='cat'), 'not both'),
        (dict(classes='blue circle . Blue  Circle'), 'more than once: blue circle = Blue  Circle'),
        (dict(classes='sand . sand-stuff'), 'more than once: sand = sand-stuff'),
        (dict(classes=['dog', 'Background']), "'Background' is taken"),
        (dict(classes='classes.txt'), "'classes.txt' is the name of a file"),
        (dict(classes=['cat', './data.yaml']), "'./data.yaml' is the name of a file"),
        (dict(classes='["cat", "dog"]'), 'is JSON; give the class names as they are'),
        (dict(classes=' [ "cat" ]'), 'is JSON'),
        (dict(classes='{}'), 'is JSON'),
        (dict(classes='cat . \x1b[31mdog'), 'cannot be printed'),
        (dict(classes=['cat\ndog']), 'cannot be printed'),
        (dict(classes=5), 'class names are a int'),
        (dict(classes=dict(dog=1)), 'class names are a dict'),
        (dict(classes=b'dog'), 'class names are a bytes'),
        (dict(classes=['x' * 100_000] * 2), 'more than once'),
    ],
)
def test_bad_prompts(kwargs, message):
    with pytest.raises(ValueError, match=message) as caught:
        Vocabulary.from_prompts(**kwargs)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize('filler', [' ', '\n', '. ', ' .', ',', '\t;', 'a.'])
def test_splitting_takes_linear_time(filler):
    start = time.process_time()
    split_prompts('dog' + filler * 300_000 + 'cat')
    assert time.process_time() - start < 2


@given(st.text(alphabet=' .,;\nab', max_size=40))
def test_names_of_any_prompt_are_not_empty(text):
    try:
        names = split_prompts(text)
    except ValueError:
        assert not any(map(str.isalpha, text))
        return
    assert all(name and name == name.strip() and not set(name) & set(',;\n') for name in names)
    assert ''.join(filter(str.isalpha, ''.join(names))) == ''.join(filter(str.isalpha, text))


def test_a_guess_is_said(monkeypatch):
    said = []
    monkeypatch.setattr(vocabulary, 'warn', said.append)
    assert split_prompts('St. Bernard') == ['St', 'Bernard']
    split_prompts('cat. dog.')
    assert len(said) == 1 and "'St. Bernard' is read as 2 names: St, Bernard" in said[0]


def test_benchmarks_may_repeat_names():
    assert len(Vocabulary(('bag', 'bag'), (True, True))) == 2


def test_equal_vocabularies_share_a_cache_key():
    first, second = Vocabulary.from_prompts('a, b'), Vocabulary.from_prompts(['a', 'b'])
    assert first == second and hash(first) == hash(second)


def test_prompts_replace_names_for_the_text_encoder():
    plain = Vocabulary(('tv', 'bag'), (True, True))
    assert plain.texts == (('tv',), ('bag',))
    described = Vocabulary(('tv', 'bag'), (True, True), (('television', 'tv set'), ('handbag',)))
    assert described.names == plain.names and described.texts == (('television', 'tv set'), ('handbag',))
    assert described != plain and len({described, plain}) == 2
    with pytest.raises(ValueError, match='2 class names but prompts for 1'):
        Vocabulary(('tv', 'bag'), (True, True), (('television',),))
    with pytest.raises(ValueError, match="'' is empty"):
        Vocabulary(('tv', 'bag'), (True, True), (('television',), ()))


def test_texts_as_editors_and_tables_have_them() -> None:
    assert (
        split_prompts('\ufeffcat\r\ndog\r\n')
        == split_prompts('cat\tdog')
        == split_prompts('cat\rdog')
        == ['cat', 'dog']
    )
    with pytest.raises(ValueError, match='is JSON'):
        split_prompts('\ufeff["cat", "dog"]')


@pytest.mark.parametrize('text', ['...', '?', '-', '\u200b', ['cat', '"'], '!!! . cat'])
def test_texts_say_something(text) -> None:
    with pytest.raises(ValueError, match='class names: .* has neither letters nor digits; give words'):
        Vocabulary.from_prompts(classes=text)


@pytest.mark.parametrize('text', ['🐈', '7', '½', 'قطة', '👨\u200d👩\u200d👧', 'e\u0301', '猫'])
def test_texts_of_any_script_say_something(text) -> None:
    assert Vocabulary.from_prompts(classes=text).names == (text,)


@pytest.mark.parametrize('text', ['\u202etac', 'cat\u2066', '\ud800', 'a\0b'])
def test_characters_that_are_none(text) -> None:
    with pytest.raises(ValueError, match='characters that cannot be printed'):
        Vocabulary.from_prompts(classes=[text])
