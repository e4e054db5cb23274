import pytest

from xdet.structures import TEMPLATES, clean_name, training_prompt


def test_templates_and_their_order():
    assert len(TEMPLATES) == len(set(TEMPLATES)) == 81
    assert TEMPLATES[:2] == ('{}.', 'a photo of a {}.')
    assert all(template.count('{}') == 1 and template.endswith('.') for template in TEMPLATES)
    # Drawn by the official code with numpy's generator seeded with 1 for twelve names.
    drawn = [37, 12, 72, 9, 75, 5, 79, 64, 16, 1, 76, 71]
    assert TEMPLATES[drawn[0]] == 'a {} in a video game.'
    assert TEMPLATES[drawn[4]] == 'graffiti of the {}.'
    assert TEMPLATES[drawn[11]] == 'a black and white photo of a {}.'


@pytest.mark.parametrize(
    ('name', 'cleaned'),
    [
        ('sky-other-merged', 'sky'),
        ('door-stuff', 'door'),
        ('floor-wood', 'floor-wood'),
        ('food-other', 'food'),
        ('dog', 'dog'),
    ],
)
def test_clean_name(name, cleaned):
    assert clean_name(name) == cleaned


def test_training_prompt_drops_punctuation_of_the_name():
    assert training_prompt('a, b+c', '{}.') == 'a b c.'
