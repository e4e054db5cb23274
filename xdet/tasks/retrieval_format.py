"""How images are compared with texts, and how the scores are reported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from xdet.registry import TASK_FORMATS
from xdet.structures import TaskFormat, TextLine, XDetDataSample


class TextScore(TypedDict):
    """A text and its score, a weighted mean of two cosines, from -1 to 1."""

    text: str
    score: float


class SimilarityResult(TypedDict):
    """Result of ``retrieval``, in the order of the texts."""

    texts: list[TextScore]


@TASK_FORMATS.register_module(name='retrieval')
class RetrievalFormat(TaskFormat):
    """Score of every text, in order."""

    field = 'pred_text_scores'
    prompts = ('texts',)
    one_of = ('texts',)
    ranks = True

    def results(self, sample: XDetDataSample) -> SimilarityResult:
        """Score of every text, in order; none if nothing was to be compared."""
        return dict(texts=[dict(text=text, score=score) for text, score in _rows(sample)])

    def summary(self, prediction: Mapping[str, Any], score_thr: float) -> list[str]:
        """The texts, most similar first."""
        rows = sorted(prediction['texts'], key=lambda row: -row['score'])
        return [f'{row["score"]:+.3f}  {row["text"]}' for row in rows]

    def lines(self, sample: XDetDataSample, score_thr: float) -> list[TextLine]:
        """The texts, most similar first."""
        rows = sorted(_rows(sample), key=lambda row: -row[1])
        return [TextLine(f'{score:+.3f} {text}', share=score) for text, score in rows]


def _rows(sample: XDetDataSample) -> list[tuple[str, float]]:
    if 'pred_text_scores' not in sample:
        return []
    return list(zip(sample.prompts.texts, sample.pred_text_scores.tolist(), strict=True))
