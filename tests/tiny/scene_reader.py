"""A reader of texts about generated scenes: understands the plain text, from the description, without any margins."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

from xdet.scenes.description import COLOURS, MATERIALS, SHAPES, STUFF, Scene, SceneObject
from xdet.scenes.facts import SUPERLATIVES
from xdet.scenes.render import render_scene
from xdet.scenes.words import NUMBERS, PREPOSITIONS

WHERE = '|'.join(PREPOSITIONS.values())
DESCRIPTION = (
    rf'the (?:(?P<superlative>{"|".join(SUPERLATIVES)}) )?(?:(?P<size>small|large) )?'
    rf'(?:(?P<material>{"|".join(MATERIALS)}) )?(?:(?P<colour>{"|".join(COLOURS)}) )?'
    rf'(?P<shape>object|{"|".join(SHAPES)})(?: (?P<where>{WHERE}))?'
    r'(?: (?P<relation>left of|right of|above|below) (?P<anchor>the .*))?'
)
KEYS = dict(
    largest=lambda item: item.size,
    smallest=lambda item: -item.size,
    leftmost=lambda item: -item.centre[0],
    rightmost=lambda item: item.centre[0],
    highest=lambda item: -item.centre[1],
    lowest=lambda item: item.centre[1],
)
RELATIVE = {
    'left of': lambda a, b: a[0] < b[0],
    'right of': lambda a, b: a[0] > b[0],
    'above': lambda a, b: a[1] < b[1],
    'below': lambda a, b: a[1] > b[1],
}


def referents(scene: Scene, text: str) -> list[SceneObject]:
    """All objects that a description fits."""
    part = re.fullmatch(DESCRIPTION, text).groupdict()
    items = [item for item in scene.objects if part['shape'] in ('object', item.shape)]
    items = [item for item in items if part['colour'] in (None, item.colour)]
    items = [item for item in items if part['material'] in (None, item.material)]
    if part['size']:
        items = [item for item in items if (item.size < 0.3 if part['size'] == 'small' else item.size > 0.34)]
    if part['where']:
        ground = render_scene(replace(scene, objects=()), 100).segment_map
        items = [
            item
            for item in items
            if PREPOSITIONS[scene.regions[ground[tuple(int(100 * c) for c in item.centre[::-1])] - 1]] == part['where']
        ]
    if part['relation']:
        (anchor,) = referents(scene, part['anchor'])
        fits = RELATIVE[part['relation']]
        items = [item for item in items if item is not anchor and fits(item.centre, anchor.centre)]
    if part['superlative']:
        assert len(items) > 1, text
        items = [max(items, key=KEYS[part['superlative']])]
    return items


def mentioned(text: str) -> Counter[str]:
    """Things that a caption lists, with their numbers."""
    found: Counter[str] = Counter()
    numbers = {'a': 1, 'an': 1, **{word: number for number, word in enumerate(NUMBERS)}}
    pattern = rf'\b({"|".join(numbers)}) ({"|".join(COLOURS)}) ({"|".join(SHAPES)})(?:e?s)?\b'
    for number, colour, shape in re.findall(pattern, text):
        found[f'{colour} {shape}'] += numbers[number]
    return found


def answer(scene: Scene, question: str) -> str:
    """The reader's own answer."""
    question = question.removesuffix('?')
    if match := re.fullmatch(r'how many (.*) are there', question):
        return str(sum(_is(item, match[1]) for item in scene.objects))
    if match := re.fullmatch(r'is there (?:an? )?(.*)', question):
        noun = match[1]
        present = noun in scene.regions if noun in STUFF else any(_is(item, noun) for item in scene.objects)
        return 'yes' if present else 'no'
    if match := re.fullmatch(r'what (colour|shape) is (the .*)', question):
        return getattr(one(scene, match[2]), match[1])
    if match := re.fullmatch(r'what pattern does (the .*) have', question):
        return one(scene, match[1]).material
    if match := re.fullmatch(
        r'is (the .*) (left or right of|above or below|larger or smaller than) (the .*)', question
    ):
        first, second = one(scene, match[1]), one(scene, match[3])
        if 'larger' in match[2]:
            return 'larger' if first.size > second.size else 'smaller'
        words = ('left of', 'right of') if 'left' in match[2] else ('above', 'below')
        return next(word.split()[0] for word in words if RELATIVE[word](first.centre, second.centre))
    if match := re.fullmatch(rf'is (the .*) ({"|".join(RELATIVE)}) (the .*)', question):
        return 'yes' if RELATIVE[match[2]](one(scene, match[1]).centre, one(scene, match[3]).centre) else 'no'
    if match := re.fullmatch(r'what is behind (the .*)', question):
        (region,) = [
            name for name in STUFF if one(scene, match[1]) in referents(scene, f'the object {PREPOSITIONS[name]}')
        ]
        return region
    return scene.regions[-1 if 'bottom' in question else 0]


def one(scene: Scene, text: str) -> SceneObject:
    (item,) = referents(scene, text)
    return item


def _is(item: SceneObject, noun: str) -> bool:
    words = [re.sub('(?<=cross)es$|s$', '', word) if word != 'cross' else word for word in noun.split()]
    return all(word in ('object', item.shape, item.colour, item.material) for word in words)
