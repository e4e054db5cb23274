"""How captions of images and of regions are asked and reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, cast

from typing_extensions import NotRequired

from xdet.registry import TASK_FORMATS
from xdet.structures import MaskResult, TaskFormat, TextLine, XDetDataSample, described_masks, mask_results
from xdet.structures.mentions import unseen, unseen_mark


class Caption(TypedDict):
    """A text; ``score`` is the mean log-probability per token, ``unseen`` what it names and no query sees."""

    text: str
    score: float
    unseen: NotRequired[list[str]]


class CaptionResult(TypedDict):
    """Result of ``caption``, best first."""

    captions: list[Caption]


class Region(MaskResult):
    """A region with its captions, best first; those that were given as a phrase have it, and the score of its mask."""

    captions: list[Caption]
    phrase: NotRequired[str]
    score: NotRequired[float]


class RegionResult(TypedDict):
    """Result of ``refcaption``, in the order of the prompts."""

    regions: list[Region]


@TASK_FORMATS.register_module(name='caption')
class CaptionFormat(TaskFormat):
    """Captions, best first; ``score`` is the mean log-probability per token."""

    field = 'pred_captions'
    writes = True
    mentions = True

    def results(self, sample: XDetDataSample) -> CaptionResult:
        """Captions, best first."""
        return dict(captions=_doubted(sample))

    def summary(self, prediction: Mapping[str, Any], score_thr: float) -> list[str]:
        """The captions, the best without its score because there is nothing to compare it with."""
        return _captions(prediction['captions'])

    def lines(self, sample: XDetDataSample, score_thr: float) -> list[TextLine]:
        """The captions."""
        return [TextLine(_text(caption)) for caption in _doubted(sample)]


@TASK_FORMATS.register_module(name='refcaption')
class RegionCaptionFormat(TaskFormat):
    """Regions in the order of their prompts, with the captions of each."""

    field = 'pred_region_captions'
    prompts = ('phrases', 'boxes', 'masks')
    one_of = ('phrases', 'boxes', 'masks')
    writes = True

    def results(self, sample: XDetDataSample) -> RegionResult:
        """Regions in the order of their prompts, with the captions of each."""
        regions: list[dict[str, Any]] = [{} for _ in sample.pred_region_captions]
        if sample.prompts.regions is None:
            found = sample.pred_phrases
            for region, phrase, score in zip(regions, sample.prompts.phrases, found.scores.tolist(), strict=True):
                region.update(phrase=phrase, score=score)
        masks = described_masks(sample).numpy()
        for region, captions, mask in zip(regions, sample.pred_region_captions, masks, strict=True):
            region.update(captions=list(captions), **mask_results(mask))
        return dict(regions=cast(list[Region], regions))

    def summary(self, prediction: Mapping[str, Any], score_thr: float) -> list[str]:
        """Captions of every region, under its phrase or its box."""
        lines = []
        for number, region in enumerate(prediction['regions'], start=1):
            place = region.get('phrase') or 'at x {} y {}, {} x {} pixels'.format(*region['bbox'])
            lines += [f'{number}  {place}', *(f'   {text}' for text in _captions(region['captions']))]
        return lines

    def lines(self, sample: XDetDataSample, score_thr: float) -> list[TextLine]:
        """Captions of every region, with its number or under its phrase."""
        lines = []
        phrases = sample.prompts.phrases if sample.prompts.regions is None else ()
        for number, captions in enumerate(sample.pred_region_captions, start=1):
            if phrases:
                lines.append(TextLine(f'{number} {phrases[number - 1]}', bold=True))
            lines += [TextLine(caption['text'] if phrases else f'{number} {caption["text"]}') for caption in captions]
        return lines


def _doubted(sample: XDetDataSample) -> list[Caption]:
    """Captions of an image, and what each names although no query takes anything for it."""
    doubts = [(caption, unseen(sample, caption['text'])) for caption in sample.pred_captions]
    return [cast(Caption, dict(caption, unseen=names) if names else caption) for caption, names in doubts]


def _captions(captions: Sequence[Mapping[str, Any]]) -> list[str]:
    if len(captions) == 1:
        return [_text(captions[0])]
    return [f'{caption["score"]:+.2f}  {_text(caption)}' for caption in captions]


def _text(caption: Mapping[str, Any]) -> str:
    return (caption['text'] or '(empty caption)') + unseen_mark(caption)
