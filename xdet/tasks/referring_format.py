"""How referring segmentation is asked and reported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from xdet.registry import TASK_FORMATS
from xdet.structures import MaskResult, TaskFormat, TextLine, XDetDataSample, mask_results, phrase_names


class PhraseSegment(MaskResult):
    """What was found for a phrase; ``area`` 0 when that is nothing.

    ``presence`` is the similarity from 0 to 1: whether what the phrase means is in the image at all.
    """

    phrase: str
    score: float
    similarity: float
    presence: float


class PhraseResult(TypedDict):
    """Result of ``refseg``."""

    segments: list[PhraseSegment]


@TASK_FORMATS.register_module(name='refseg')
class ReferringFormat(TaskFormat):
    """One segment per phrase, in order."""

    field = 'pred_phrases'
    prompts = ('phrases', 'score', 'mask', 'presence')
    one_of = ('phrases',)

    def results(self, sample: XDetDataSample) -> PhraseResult:
        """One segment per phrase, in order; ``area`` 0 when nothing was found."""
        found = sample.pred_phrases
        phrases = sample.prompts.phrases
        rows = zip(phrases, found.scores.tolist(), found.similarities.tolist(), found.masks.numpy(), strict=True)
        return dict(
            segments=[
                {
                    'phrase': phrase,
                    'score': score,
                    'similarity': similarity,
                    'presence': min(max((1 + similarity) / 2, 0.0), 1.0),
                    **mask_results(mask),
                }
                for phrase, score, similarity, mask in rows
            ]
        )

    def summary(self, prediction: Mapping[str, Any], score_thr: float) -> list[str]:
        """Score and share of the image of every phrase, also of those that were not found."""
        pixels = prediction['height'] * prediction['width']
        width = max(len(segment['phrase']) for segment in prediction['segments'])
        lines = []
        for segment in prediction['segments']:
            found = f'score {segment["score"]:.2f}  area {100 * segment["area"] / pixels:5.1f} %'
            if not segment['area'] or segment['score'] < score_thr:
                found = 'not found'
            lines.append(f'{segment["phrase"]:<{width}}  {found}')
        return lines

    def lines(self, sample: XDetDataSample, score_thr: float) -> list[TextLine]:
        """Phrases that nothing was found for, unless all phrases are listed with their descriptions anyway."""
        if 'pred_region_captions' in sample and sample.prompts.regions is None:
            return []
        found = sample.pred_phrases
        there = found.masks.flatten(1).any(dim=1) & (found.scores >= score_thr)
        return [
            TextLine(f'not found: {phrase}')
            for phrase, seen in zip(phrase_names(sample), there.tolist(), strict=True)
            if not seen
        ]
