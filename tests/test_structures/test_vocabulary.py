"""What users type becomes a vocabulary, or one clear line."""

import pytest

from xdet.structures import Vocabulary, split_prompts


@pytest.mark.parametrize(
    ('prompt', 'names'),
    [
        ('dog . cat', ['dog', 'cat']),
        ('dog.cat', ['dog.cat']),
        ('dog. cat.', ['dog', 'cat']),
        ('traffic light, stop sign;bus\ncar', ['traffic light', 'stop sign', 'bus', 'car']),
        ('v1.0 logo', ['v1.0 logo']),
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
    ],
)
def test_bad_prompts(kwargs, message):
    with pytest.raises(ValueError, match=message):
        Vocabulary.from_prompts(**kwargs)


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
