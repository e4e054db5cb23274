import pytest

from xdet.inference.inputs.prompts import resolve_texts, resolve_vocabularies
from xdet.structures import Vocabulary

DEFAULT = Vocabulary(('red circle',), (True,))


def test_one_list_for_all_images_is_one_object():
    first, second = resolve_vocabularies(2, things='dog . cat', stuff=['grass'])
    assert first is second
    assert first == Vocabulary(('dog', 'cat', 'grass'), (True, True, False))


def test_names_of_its_own_for_every_image():
    first, second = resolve_vocabularies(2, things=[['dog'], ['cat', 'bird']], stuff='grass')
    assert first.names == ('dog', 'grass')
    assert second.names == ('cat', 'bird', 'grass')


def test_known_vocabularies():
    first, second = resolve_vocabularies(2, vocabulary=['coco_panoptic', DEFAULT])
    assert len(first) == 133 and second is DEFAULT
    assert resolve_vocabularies(3, vocabulary='coco_instance')[2].stuff == ()


def test_no_names():
    assert resolve_vocabularies(2, default=DEFAULT) == [DEFAULT, DEFAULT]
    with pytest.raises(ValueError, match=r"no class names.*things='dog \. cat'"):
        resolve_vocabularies(2)


def test_large_vocabulary():
    assert len(resolve_vocabularies(1, classes=[f'class {index}' for index in range(1203)])[0]) == 1203


@pytest.mark.parametrize(
    'prompts, message',
    [
        (dict(things=[]), 'empty'),
        (dict(things='', stuff=''), 'empty'),
        (dict(things=['dog', ' ']), 'empty'),
        (dict(things='dog . cat . dog'), 'more than once: dog'),
        (dict(things=['dog'], stuff=['dog']), 'more than once: dog'),
        (dict(things=['dog', 3]), 'class name 3'),
        (dict(things=3), 'things is a int'),
        (dict(classes='a', things='b'), 'not both'),
        (dict(vocabulary='coco_panoptic', things='b'), 'either vocabulary or things'),
        (dict(vocabulary='cocoo'), 'accepted are .*camvid'),
        (dict(vocabulary=3), 'vocabulary is a int'),
        (dict(vocabulary=[DEFAULT]), '1 entries, one per image, but there are 2 images'),
        (dict(things=[['dog']]), '1 entries, one per image, but there are 2 images'),
        (dict(things=[['dog'], 'cat']), 'mixes texts and lists'),
        (dict(things=[['dog'], []]), 'class names of image 1: .*empty'),
        (dict(things=[['dog'], ['cat', 'cat']]), 'class names of image 1: .*more than once'),
    ],
)
def test_bad_prompts_end_in_one_line(prompts, message):
    with pytest.raises(ValueError, match=message) as caught:
        resolve_vocabularies(2, **prompts)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('texts', 'message'),
    [
        ('names.txt', "'names.txt' is the name of a file; give the phrases themselves"),
        ('["a dog", "a cat"]', 'is JSON; give the phrases as they are'),
        (['a dog', 'a \x00'], 'phrases: .* cannot be printed'),
        ([['a dog'], ['names.json']], 'give the phrases of image 1 themselves'),
    ],
)
def test_what_is_given_in_place_of_texts(texts: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resolve_texts('phrases', texts, 2)


def test_texts_in_lines_and_rows() -> None:
    assert resolve_texts('phrases', '\ufeffa dog, left\r\na cat\tread me.txt', 1) == [
        ('a dog, left', 'a cat', 'read me.txt')
    ]
    assert resolve_texts('phrases', 'a cat.\ta dog.', 1) == [('a cat.', 'a dog.')]
