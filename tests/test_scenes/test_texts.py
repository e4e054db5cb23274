"""Texts about generated scenes are true and unambiguous, as a reader of the plain text finds."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import pytest
from numpy.random import RandomState
from tiny.scene_reader import DESCRIPTION, RELATIVE, WHERE, answer, mentioned, referents

from xdet.scenes.captions import canonical_caption, sample_caption
from xdet.scenes.description import MATERIALS, THINGS, VOCABULARY, Scene, SceneObject
from xdet.scenes.facts import region_of
from xdet.scenes.phrases import KINDS, Expression, resolve, sample_phrase, sample_phrases
from xdet.scenes.questions import ANSWERS, QUESTION_KINDS, sample_question
from xdet.scenes.sampling import sample_scene
from xdet.scenes.texts import scene_texts
from xdet.scenes.words import NUMBERS, PREPOSITIONS, WORLD
from xdet.structures.known_words import words_of


@pytest.fixture(scope='module')
def scenes() -> list[Scene]:
    return [sample_scene('val', 0, index) for index in range(150)]


# -------------------------------------------------------------------------------------------- referring expressions


@pytest.mark.parametrize('kind', KINDS)
def test_phrases_fit_exactly_one_object(scenes: list[Scene], kind: str) -> None:
    rng = RandomState(0)
    phrases = [(scene, sample_phrase(scene, kind, rng)) for scene in scenes for _ in range(4)]
    found = [(scene, phrase) for scene, phrase in phrases if phrase is not None]
    assert len(found) > 0.85 * len(phrases)
    for scene, phrase in found:
        target = scene.objects[phrase.segment - len(scene.regions)]
        assert referents(scene, phrase.text) == [target], (scene.key, phrase)
        assert phrase.kind == kind


def test_kinds_are_needed(scenes: list[Scene]) -> None:
    rng = RandomState(1)
    for scene in scenes:
        for kind in ('relation', 'superlative', 'attribute'):
            phrase = sample_phrase(scene, kind, rng)
            if phrase is None:
                continue
            part = re.fullmatch(DESCRIPTION, phrase.text).groupdict()
            if kind == 'relation':
                assert part['relation'] or part['where']
                bare = phrase.text.split(part['relation'] or part['where'])[0].strip()
            elif kind == 'superlative':
                bare = phrase.text.replace(f'{part["superlative"]} ', '')
            else:
                assert part['size'] or part['material'] or part['colour']
                bare = f'the {part["shape"]}'
            # Without the part it fits several objects, or one of which a reader cannot be sure (size near the limit).
            others = [item for item in scene.objects if part['shape'] in ('object', item.shape)]
            assert len(referents(scene, bare)) > 1 or (part['size'] and len(others) > 1), (scene.key, phrase)


def test_doubtful_facts_are_not_used() -> None:
    light = sample_scene('val', 0, 0).light

    def scene(*places: tuple[float, float], sizes: tuple[float, ...]) -> Scene:
        items = zip(places, sizes, strict=True)
        objects = tuple(SceneObject('circle', 'red', 'plain', place, size, 0.0) for place, size in items)
        anchor = SceneObject('star', 'blue', 'plain', (0.5, 0.5), 0.3, 0.0)
        return Scene((0,), ('grass',), None, (anchor, *objects), light)

    left = Expression(shape='circle', relation='left of', anchor=Expression(shape='star'))
    assert resolve(scene((0.3, 0.5), (0.7, 0.5), sizes=(0.3, 0.3)), left) == 1
    assert resolve(scene((0.3, 0.5), (0.49, 0.8), sizes=(0.3, 0.3)), left) is None  # two, one of them hardly
    assert resolve(scene((0.45, 0.2), (0.7, 0.5), sizes=(0.3, 0.3)), left) is None  # hardly left
    small, largest = Expression(shape='circle', size='small'), Expression(shape='circle', superlative='largest')
    assert resolve(scene((0.3, 0.5), (0.7, 0.5), sizes=(0.25, 0.35)), small) == 1
    assert resolve(scene((0.3, 0.5), (0.7, 0.5), sizes=(0.25, 0.3)), small) is None
    assert resolve(scene((0.3, 0.5), (0.7, 0.5), sizes=(0.25, 0.35)), largest) == 2
    assert resolve(scene((0.3, 0.5), (0.7, 0.5), sizes=(0.32, 0.35)), largest) is None
    nested = Expression(shape='star', relation='right of', anchor=Expression(shape='circle'))
    assert resolve(scene((0.2, 0.5), (0.3, 0.5), sizes=(0.3, 0.3)), nested) is None  # which circle?


def test_every_kind_of_phrase_is_drawn_in_training(scenes: list[Scene]) -> None:
    rng = RandomState(0)
    kinds: Counter[str] = Counter()
    for scene in scenes:
        phrases = sample_phrases(scene, rng, 4)
        assert 1 <= len(phrases) <= 4 and len({phrase.text for phrase in phrases}) == len(phrases)
        kinds.update(phrase.kind for phrase in phrases)
        kinds.update('background' for phrase in phrases if phrase.segment < len(scene.regions))
    total = sum(kinds[kind] for kind in KINDS)
    assert all(kinds[kind] > 0.15 * total for kind in KINDS) and 0.05 * total < kinds['background'] < 0.2 * total


# --------------------------------------------------------------------------------------------------------- captions


def test_canonical_captions_say_everything_in_a_fixed_order(scenes: list[Scene]) -> None:
    for scene in scenes:
        text = canonical_caption(scene).text
        names = Counter(item.name for item in scene.objects)
        assert mentioned(text) == names
        assert list(mentioned(text)) == sorted(names, key=VOCABULARY.names.index)
        assert text.startswith(f'{" above ".join(scene.regions)} with ')
        shuffled = replace(scene, objects=scene.objects[::-1])
        assert canonical_caption(shuffled).text == text
        assert canonical_caption(scene).nouns == tuple(mentioned(text))


def test_other_captions_are_true(scenes: list[Scene]) -> None:
    rng = RandomState(0)
    for scene in scenes:
        names = Counter(item.name for item in scene.objects)
        for _ in range(4):
            complete = sample_caption(scene, 'complete', rng)
            assert mentioned(complete.text) == names and set(complete.nouns) == set(names)
            assert all(region in complete.text for region in scene.regions)
            if complete.text.startswith('from left'):
                order = re.findall('|'.join(THINGS), complete.text)
                assert order == [item.name for item in sorted(scene.objects, key=lambda item: item.centre[0])]
            partial = sample_caption(scene, 'partial', rng)
            _check_partial(scene, partial.text)
            assert set(partial.nouns) <= set(names)


def _check_partial(scene: Scene, text: str) -> None:
    relation = re.fullmatch(rf'an? (\w+ \w+) ({"|".join(RELATIVE)}) an? (\w+ \w+)', text)
    if relation:
        one, word, two = relation.groups()
        pairs = [(a, b) for a in scene.objects for b in scene.objects if (a.name, b.name) == (one, two) and a is not b]
        assert any(RELATIVE[word](a.centre, b.centre) for a, b in pairs), text
        return
    pattern = rf'an? (?:(small|large) )?(?:({"|".join(MATERIALS)}) )?({"|".join(THINGS)})\b'
    listed = re.findall(pattern, text)
    for size, material, name in listed:
        fits = [item for item in scene.objects if item.name == name and material in ('', item.material)]
        fits = [item for item in fits if not size or (item.size < 0.3 if size == 'small' else item.size > 0.34)]
        assert fits, (scene.key, text)
    if not listed:  # shapes only
        counts = Counter(item.shape for item in scene.objects)
        for shape, count in counts.items():
            word = {1: f'an? {shape}'}.get(count, f'{NUMBERS[count]} {shape}e?s')
            assert re.search(rf'\b{word}\b', text), (scene.key, text)
    where = next(iter(re.findall(WHERE, text)), None)
    if where and len(scene.regions) == 2 and not re.search(' above ', text):
        named = [item for item in scene.objects if any(name == item.name for *_, name in listed)]
        assert any(PREPOSITIONS.get(region_of(scene, item) or '') == where for item in named)


def test_canonical_captions_identify_a_scene_among_a_hundred() -> None:
    captions = [canonical_caption(sample_scene('test', 0, index)).text for index in range(500)]
    collisions = sum(100 - len(set(captions[start : start + 100])) for start in range(0, 500, 100))
    assert collisions <= 1


# -------------------------------------------------------------------------------------------------------- questions


@pytest.mark.parametrize('kind', QUESTION_KINDS)
def test_answers_are_true_and_balanced(scenes: list[Scene], kind: str) -> None:
    rng = RandomState(0)
    answers: Counter[str] = Counter()
    for scene in scenes:
        for _ in range(4):
            question = sample_question(scene, kind, rng)
            if question is None:
                continue
            assert question.kind == kind and question.answer in ANSWERS
            assert question.answer == answer(scene, question.text), (scene.key, question)
            answers[question.answer] += 1
    assert answers.total() > 150
    if kind in ('existence', 'size'):
        assert max(answers.values()) < 0.57 * answers.total()
    else:
        assert max(answers.values()) < 0.35 * answers.total()


# ---------------------------------------------------------------------------------------------------------- the words


def test_every_word_of_the_generator_is_known(scenes: list[Scene]) -> None:
    for scene in scenes[:60]:
        captions, phrases, questions = scene_texts(scene, 'val')
        said = [*captions, *phrases, *questions]
        words = (text for item in said for key, text in vars(item).items() if key != 'kind' and isinstance(text, str))
        assert WORLD >= set(words_of(words))
