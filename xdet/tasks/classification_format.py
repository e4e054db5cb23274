"""How classification is asked and reported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from xdet.registry import TASK_FORMATS
from xdet.structures import TaskFormat, TextLine, XDetDataSample

from .segmentation_format import NAMES


class Class(TypedDict):
    """A class and its probability."""

    label: int
    name: str
    score: float


class ClassResult(TypedDict):
    """Result of ``classification``, best first."""

    top_classes: list[Class]


@TASK_FORMATS.register_module(name='classification')
class ClassificationFormat(TaskFormat):
    """The most probable classes, best first."""

    field = 'pred_classes'
    prompts = (*NAMES, 'score')

    def results(self, sample: XDetDataSample) -> ClassResult:
        """The most probable classes, best first."""
        names = sample.vocabulary.names
        return dict(top_classes=[dict(label=label, name=names[label], score=score) for label, score in _rows(sample)])

    def summary(self, prediction: Mapping[str, Any], score_thr: float) -> list[str]:
        """The classes with their probabilities."""
        return [f'{row["score"]:.2f}  {row["name"]}' for row in prediction['top_classes']]

    def lines(self, sample: XDetDataSample, score_thr: float) -> list[TextLine]:
        """The classes with their probabilities."""
        vocabulary = sample.metainfo.get('vocabulary')
        return [
            TextLine.scored(vocabulary.names[label] if vocabulary else f'class {label}', score)
            for label, score in _rows(sample)
        ]


def _rows(sample: XDetDataSample) -> list[tuple[int, float]]:
    found = sample.pred_classes
    return list(zip(found.labels.tolist(), found.scores.tolist(), strict=True))
