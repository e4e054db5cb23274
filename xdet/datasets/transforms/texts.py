"""Transforms that turn what a file says about an image into training targets and test prompts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.datasets.transforms import LoadAnnotations

from xdet.registry import TRANSFORMS
from xdet.structures import TEMPLATES, clean_name, training_prompt

from .flipping import RandomFlipWithTexts, names_a_side, swap_sides  # noqa: F401  where they used to be
from .nouns import extract_nouns, nouns_beside


@TRANSFORMS.register_module()
class ChooseCaption(BaseTransform):
    """One of the ``captions`` of a sample, another one every time, and its nouns.

    Draws from NumPy's global generator, which ``SeededDataset`` seeds for every sample.

    Required keys: ``captions``, which is removed.
    Added keys: ``caption`` str, empty if there is none, and ``nouns`` tuple[str].

    Args:
        with_nouns (bool): Extract nouns (:func:`~xdet.datasets.transforms.nouns.extract_nouns`); False adds an
            empty tuple.
        skip_class_words (bool): Leave out nouns that say what a class of the sample's vocabulary says: those segments
            are matched to queries already, and the nouns are for the others.
    """

    def __init__(self, with_nouns: bool = True, skip_class_words: bool = True) -> None:
        self.with_nouns = with_nouns
        self.skip_class_words = skip_class_words

    def transform(self, results: dict) -> dict:
        """Choose; see the class documentation."""
        captions = results.pop('captions', ())
        caption = captions[np.random.randint(len(captions))] if captions else ''
        nouns = extract_nouns(caption) if self.with_nouns and caption else ()
        if self.skip_class_words and 'vocabulary' in results:
            nouns = nouns_beside(nouns, results['vocabulary'].names)
        results.update(caption=caption, nouns=nouns)
        return results


@TRANSFORMS.register_module()
class ChoosePhrases(BaseTransform):
    """Phrases and what they refer to, out of the referring ``expressions`` of a sample.

    For training: at most a random number from 1 to ``max_phrases`` of the expressions in random order, one random
    sentence of each. A sample without expressions gets class names in random prompt templates instead, each referring
    to all segments of its class, if it has segments and ``class_names`` is set. ``phrase_mode`` says which.

    For testing: all expressions in order.

    Sentences are lower-cased, as in the official code. Masks are read here, so put it where annotations are loaded:
    before geometric transforms in training (flips: :class:`RandomFlipWithTexts`), after resizing in testing.

    Required keys: ``expressions``, which is removed; ``gt_seg_map`` and ``segments_info`` for class names.
    Added keys: ``phrases``: list of dict(text, instances or segments), see :class:`PackXDetInputs`; ``gt_masks``:
    masks of the expressions; ``phrase_mode``: ``'text'`` or ``'class'`` (training).

    Args:
        max_phrases (int): Most phrases per sample in training.
        class_names (bool): Use class names where there are no expressions.
        test_mode (bool): Phrases for evaluation.
        sentences (str): In testing, ``'first'`` takes the first sentence of each expression, as the official
            evaluation does, ``'all'`` makes each sentence a phrase of its own, as the literature on RefCOCO does.

    Raises:
        ValueError: An argument is out of range, or the sample already has ``gt_masks`` of something else.
    """

    def __init__(
        self, max_phrases: int = 4, class_names: bool = True, test_mode: bool = False, sentences: str = 'all'
    ) -> None:
        if max_phrases < 1:
            raise ValueError(f'max_phrases is {max_phrases}; it must be 1 or more')
        if sentences not in ('first', 'all'):
            raise ValueError(f"sentences is {sentences!r}; accepted are 'first' and 'all'")
        self.max_phrases = max_phrases
        self.class_names = class_names
        self.test_mode = test_mode
        self.sentences = sentences
        self._load_masks = LoadAnnotations(with_bbox=False, with_label=False, with_mask=True)

    def transform(self, results: dict) -> dict:
        """Choose and read; see the class documentation."""
        expressions = results.pop('expressions', [])
        if not expressions and self.class_names and not self.test_mode:
            results.update(phrases=self._class_names(results), phrase_mode='class')
            return results
        if 'gt_masks' in results:
            raise ValueError(f'{results.get("img_path")}: expressions need gt_masks, which hold other masks already')
        if results.get('flip') and expressions:
            raise ValueError(
                f'{results.get("img_path")}: was flipped before the masks of its expressions were read; put the flip '
                'after ChoosePhrases'
            )
        if self.test_mode:
            most = 1 if self.sentences == 'first' else None
            chosen = [(expression['sentences'][:most], expression['mask']) for expression in expressions]
        else:
            count = np.random.randint(1, self.max_phrases + 1)
            order = np.random.permutation(len(expressions))[:count]
            chosen = [([_any(expressions[index]['sentences'])], expressions[index]['mask']) for index in order]
            results['phrase_mode'] = 'text'
        # One mask for all sentences of an expression.
        loaded = dict(ori_shape=results['ori_shape'], instances=[dict(mask=mask, ignore_flag=0) for _, mask in chosen])
        results['gt_masks'] = self._load_masks.transform(loaded)['gt_masks']
        results['phrases'] = [
            dict(text=text.lower(), instances=(row,)) for row, (texts, _) in enumerate(chosen) for text in texts
        ]
        return results

    def _class_names(self, results: dict) -> list[dict]:
        """Prompts of some of the classes of a sample and all their segments."""
        segments: dict[int, list[int]] = {}
        for position, segment in enumerate(results.get('segments_info', ())):
            if segment['label'] >= 0 and not segment['iscrowd']:
                segments.setdefault(segment['label'], []).append(position)
        labels = np.random.permutation(list(segments))[: self.max_phrases].astype(int).tolist()
        names = [clean_name(results['vocabulary'].names[label]) for label in labels]
        return [
            dict(text=training_prompt(name, _any(TEMPLATES)), segments=tuple(segments[label]))
            for name, label in zip(names, labels, strict=True)
        ]


def _any(choices: Sequence[str]) -> str:
    return choices[np.random.randint(len(choices))]
