"""Accuracy of answers to questions."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.evaluator import BaseMetric

from xdet.registry import METRICS

from .fields import field, name_of


def answer_score(answer: str, truth: Mapping[str, float]) -> float:
    """How right an answer is, in 0..1.

    Args:
        answer (str): What was answered; case and surrounding white space do not matter.
        truth (Mapping[str, float]): Accepted answers and how right each is. VQA v2's soft score of an answer that a of
            ten people gave is min(1, a / 3); what exceeds 1 counts as 1.
    """
    accepted = {name.strip().lower(): value for name, value in truth.items()}
    return min(1.0, float(accepted.get(answer.strip().lower(), 0.0)))


@METRICS.register_module()
class VQAAccuracy(BaseMetric):
    """Mean :func:`answer_score` of the best of ``pred_answers``, in percent; every question counts once.

    Samples have ``answers``, one dict per question; where they name ``question_kinds``, there is also
    ``accuracy_<kind>``.

    Args:
        prefix (str, optional): Put before the names of the values.
        kwargs: Arguments of :class:`mmengine.evaluator.BaseMetric`.
    """

    default_prefix = 'vqa'

    def __init__(self, prefix: str | None = None, **kwargs: Any) -> None:
        super().__init__(prefix=prefix, **kwargs)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Score the questions of a batch of images."""
        for sample in data_samples:
            given, truths = field(sample, 'pred_answers'), field(sample, 'answers')
            if len(given) != len(truths):
                raise ValueError(
                    f'{name_of(sample)}: answers to {len(given)} questions but {len(truths)} are known; '
                    'there must be one per question'
                )
            scores = [
                answer_score(ranked[0]['answer'] if ranked else '', truth)
                for ranked, truth in zip(given, truths, strict=True)
            ]
            kinds = sample.get('question_kinds') or [None] * len(scores)
            self.results.append(list(zip(kinds, scores, strict=True)))

    def compute_metrics(self, results: list[list[tuple[str | None, float]]]) -> dict[str, float]:
        """Average over all questions of all images."""
        scores: dict[str | None, list[float]] = defaultdict(list)
        for image in results:
            for kind, score in image:
                scores[kind].append(score)
        everything = [score for values in scores.values() for score in values]
        if not everything:
            raise ValueError('no image has a question; VQAAccuracy needs at least one')
        summary = dict(accuracy=100 * math.fsum(everything) / len(everything))
        for kind in sorted(kind for kind in scores if kind is not None):
            summary[f'accuracy_{kind}'] = 100 * math.fsum(scores[kind]) / len(scores[kind])
        return summary
