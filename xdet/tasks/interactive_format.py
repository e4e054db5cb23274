"""How interactive segmentation is asked and reported."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any, TypedDict

from xdet.registry import TASK_FORMATS
from xdet.structures import MaskResult, TaskFormat, XDetDataSample, mask_results


class ShownSegment(MaskResult):
    """An answer: ``object`` counts the objects that were shown from 0, ``answer`` the answers of each, best first."""

    object: int
    answer: int
    score: float


class InteractiveResult(TypedDict):
    """Result of ``interactive``."""

    segments: list[ShownSegment]


@TASK_FORMATS.register_module(name='interactive')
class InteractiveFormat(TaskFormat):
    """Up to three answers for every object that was shown, best first."""

    field = 'pred_objects'
    prompts = ('points', 'boxes', 'masks', 'mask')
    any_of = ('points', 'boxes', 'masks')

    def results(self, sample: XDetDataSample) -> InteractiveResult:
        """The answers of the first object, best first, then those of the next."""
        found = sample.pred_objects
        objects = found.objects.tolist()
        rows = zip(objects, found.scores.tolist(), found.masks.numpy(), strict=True)
        segments: list[ShownSegment] = []
        for place, (number, score, mask) in enumerate(rows):
            segments.append(
                {'object': number, 'answer': place - objects.index(number), 'score': score, **mask_results(mask)}
            )
        return dict(segments=segments)

    def summary(self, prediction: Mapping[str, Any], score_thr: float) -> list[str]:
        """Score and share of the image of the best answer of every object, and the shares of the others."""
        pixels = prediction['height'] * prediction['width']
        lines = []
        for number, answers in groupby(prediction['segments'], key=lambda segment: segment['object']):
            best, *others = answers
            line = f'object {number + 1}  score {best["score"]:.2f}  area {_share(best, pixels)}'
            told = ', '.join(f'{other["score"]:.2f} {_share(other, pixels)}' for other in others)
            lines.append(f'{line}  or {told}' if told else line)
        return lines


def _share(segment: Mapping[str, Any], pixels: int) -> str:
    return f'{100 * segment["area"] / pixels:.1f} %'
