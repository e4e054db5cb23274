"""Captions, referring expressions and questions as a step of a pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from mmcv.transforms import BaseTransform
from numpy.random import RandomState

from xdet.registry import TRANSFORMS

from .captions import STYLES, Caption, reference_captions, region_caption, sample_caption
from .description import THINGS, Scene
from .facts import mirrored
from .phrases import Phrase, reference_phrases, sample_phrases
from .questions import QUESTION_KINDS, Question, reference_questions, sample_questions
from .sampling import HELD_OUT
from .words import with_synonyms

TEXTS = ('caption', 'phrases', 'questions', 'regions')
"""Kinds of texts that :class:`DescribeScene` can add."""

_TALKING, _POINTING = 2, 3
"""Appended to a scene's key, these seed the random numbers of its texts and regions for evaluation."""


@TRANSFORMS.register_module()
class DescribeScene(BaseTransform):
    """Say something true about the scene that :class:`RenderScene` has drawn.

    For training, every visit of a scene draws other texts from NumPy's global generator, which ``SeededDataset`` seeds:

        caption: ``caption`` str and ``nouns`` tuple[str], the names of the things it mentions.
        phrases: ``phrases``: list of dict(text, kind, segments), see :class:`PackXDetInputs`.
        questions: ``questions`` tuple[str] and ``answers`` tuple[dict[str, float]], no question twice.
        regions: ``regions``: list of dict(text, segments), objects and what there is to say about them.

    For testing, texts are functions of the scene, and there are several of each:

        caption: ``captions`` tuple[str], the canonical one first; all of them name every object and background.
        phrases: As for training, up to two of every kind and all backgrounds.
        questions: ``questions`` and ``question_kinds`` tuple[str] and ``answers`` tuple[dict[str, float]], one question
            of every kind.
        regions: As for training, up to two.

    In the split ``test_comp`` phrases are limited to those that name a thing that was never seen in training, where the
    scene allows; in ``test_words`` class words are replaced by synonyms, except in answers.

    A horizontal flip before this step is described as seen. A flip or crop after it would make texts false.

    Args:
        texts (Sequence[str]): Which of :data:`TEXTS` to add.
        test_mode (bool): Texts for evaluation.
        num_phrases (int): Most phrases per scene in training.
        num_questions (int): Most questions per scene in training.
        question_shares (Mapping[str, float], optional): How often every kind of question is tried in training, see
            :data:`~xdet.scenes.questions.QUESTION_KINDS`; kinds may repeat. Default: every kind at most once.
        num_regions (int): Most regions per scene in training.
        caption_styles (Mapping[str, float], optional): Share of every style in training, see
            :data:`~xdet.scenes.captions.STYLES`. Default: canonical captions only.
        num_captions (int): Most captions per scene in testing.
        synonym_share (float): Share of training captions in which class words are replaced by their synonyms, so that
            captions, and only they, teach words that no class list has.

    Raises:
        ValueError: Unknown kind of text or style, or a share out of range.
    """

    def __init__(
        self,
        texts: Sequence[str] = TEXTS,
        test_mode: bool = False,
        num_phrases: int = 4,
        num_questions: int = 1,
        question_shares: Mapping[str, float] | None = None,
        num_regions: int = 1,
        caption_styles: Mapping[str, float] | None = None,
        num_captions: int = 3,
        synonym_share: float = 0.0,
    ) -> None:
        styles = dict(canonical=1.0) if caption_styles is None else dict(caption_styles)
        kinds = None if question_shares is None else dict(question_shares)
        for name, given, accepted in (
            ('texts', texts, TEXTS),
            ('caption_styles', styles, STYLES),
            ('question_shares', kinds or (), QUESTION_KINDS),
        ):
            unknown = [value for value in given if value not in accepted]
            if unknown or isinstance(given, str):
                raise ValueError(f'{name} has {given!r}; accepted are {", ".join(accepted)}')
        for name, shares in (('caption_styles', styles), ('question_shares', kinds)):
            if shares is not None and (min(shares.values(), default=0) < 0 or not sum(shares.values()) > 0):
                raise ValueError(f'{name} is {shares}; shares must be 0 or more, and not all 0')
        if not 0 <= synonym_share <= 1:
            raise ValueError(f'synonym_share is {synonym_share}; it must be 0 to 1')
        numbers = dict(
            num_phrases=num_phrases, num_questions=num_questions, num_regions=num_regions, num_captions=num_captions
        )
        for name, value in numbers.items():
            if value < 1:
                raise ValueError(f'{name} is {value}; it must be 1 or more')
        self.texts = tuple(texts)
        self.test_mode = test_mode
        self.num_phrases = num_phrases
        self.num_questions = num_questions
        self.question_shares = kinds
        self.num_regions = num_regions
        self.caption_styles = styles
        self.num_captions = num_captions
        self.synonym_share = synonym_share

    def transform(self, results: dict) -> dict:
        """Add the texts; see the class documentation."""
        scene: Scene = results['scene_description']
        if results.get('flip'):
            if results['flip_direction'] != 'horizontal':
                raise ValueError(f'{results["img_path"]}: flip is {results["flip_direction"]}; texts know horizontal')
            scene = mirrored(scene)
        results['mirrored'] = bool(results.get('flip', False))
        split = results['scene'][0]
        describe = self._for_testing if self.test_mode else self._for_training
        results.update(describe(scene, split, with_synonyms if split == 'test_words' else str))
        return results

    def _for_training(self, scene: Scene, split: str, say: Callable[[str], str]) -> dict:
        rng = RandomState(np.random.randint(0, 2**32, 4, dtype=np.uint32))
        added: dict = {}
        if 'caption' in self.texts:
            shares = np.array([self.caption_styles.get(style, 0.0) for style in STYLES])
            style = STYLES[int(np.searchsorted(np.cumsum(shares / shares.sum()), rng.random_sample(), side='right'))]
            caption = sample_caption(scene, style, rng)
            speak = with_synonyms if rng.random_sample() < self.synonym_share else say
            added.update(caption=speak(caption.text), nouns=tuple(map(speak, caption.nouns)))
        if 'phrases' in self.texts:
            added.update(phrases=_described(sample_phrases(scene, rng, self.num_phrases), say))
        if 'questions' in self.texts:
            questions = sample_questions(scene, rng, self.num_questions, _nameable(split), self.question_shares)
            added.update(
                questions=tuple(say(question.text) for question in questions),
                answers=tuple({question.answer: 1.0} for question in questions),
            )
        if 'regions' in self.texts:
            added.update(regions=_regions(scene, rng, self.num_regions, say))
        return added

    def _for_testing(self, scene: Scene, split: str, say: Callable[[str], str]) -> dict:
        captions, phrases, questions = scene_texts(scene, split, self.num_captions)
        added: dict = {}
        if 'caption' in self.texts:
            added.update(captions=tuple(say(caption.text) for caption in captions))
        if 'phrases' in self.texts:
            added.update(phrases=_described(phrases, say))
        if 'questions' in self.texts:
            added.update(
                questions=tuple(say(question.text) for question in questions),
                question_kinds=tuple(question.kind for question in questions),
                answers=tuple({question.answer: 1.0} for question in questions),
            )
        if 'regions' in self.texts:
            added.update(regions=_regions(scene, RandomState((*scene.key, _POINTING)), 2, say))
        return added


def scene_texts(scene: Scene, split: str, num_captions: int = 3) -> tuple[list[Caption], list[Phrase], list[Question]]:
    """The texts of a scene for evaluation, in the usual words; a function of the scene and its split."""
    rng = RandomState((*scene.key, _TALKING))
    captions = reference_captions(scene, rng, num_captions)
    phrases = reference_phrases(scene, rng, per_kind=6 if split == 'test_comp' else 2)
    if split == 'test_comp':
        phrases = [phrase for phrase in phrases if any(name in phrase.text for name in HELD_OUT)] or phrases
    return captions, phrases, reference_questions(scene, rng, _nameable(split))


def _nameable(split: str) -> tuple[str, ...]:
    """Names of things that texts of a split may use although the picture shows none."""
    return tuple(name for name in THINGS if name not in HELD_OUT) if split in ('train_comp', 'val_comp') else THINGS


def _described(phrases: Sequence[Phrase], say: Callable[[str], str]) -> list[dict]:
    return [dict(text=say(phrase.text), kind=phrase.kind, segments=(phrase.segment,)) for phrase in phrases]


def _regions(scene: Scene, rng: RandomState, count: int, say: Callable[[str], str]) -> list[dict]:
    """``count`` or fewer random objects with their captions."""
    return [
        dict(text=say(region_caption(scene, scene.objects[index])), segments=(len(scene.regions) + int(index),))
        for index in rng.permutation(len(scene.objects))[:count]
    ]
