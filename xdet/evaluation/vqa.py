"""Accuracy of answers to questions."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.evaluator import BaseMetric

from xdet.io.writing import write_json
from xdet.registry import METRICS
from xdet.structures.answers import agreement

from .fields import field, name_of


def answer_score(answer: str, truth: Mapping[str, float]) -> float:
    """How right an answer is, in 0..1.

    Args:
        answer (str): What was answered; case and surrounding white space do not matter.
        truth (Mapping[str, float]): Accepted answers and how right each is; what exceeds 1 counts as 1.
    """
    accepted = {name.strip().lower(): value for name, value in truth.items()}
    return min(1.0, float(accepted.get(answer.strip().lower(), 0.0)))


class Answered(NamedTuple):
    """A question and what became of it; None is what the data do not say."""

    answer: str
    score: float | None
    kind: str | None
    type: str | None
    number: int | str | None


@METRICS.register_module()
class VQAAccuracy(BaseMetric):
    """Accuracy of the best of ``pred_answers``, in percent; every question counts once.

    Where samples have ``human_answers`` (one tuple of strings per question), it is that of the VQA evaluation: the mean
    of min(1, n / 3) over all ways to leave one of the people out, n of the others having said the same
    (:func:`~xdet.structures.answers.agreement`). Elsewhere it is :func:`answer_score` of ``answers``, one dict per
    question. Where samples name ``question_kinds``, such as VQA's answer types, there is also ``accuracy_<kind>``.

    Args:
        result_file (str, optional): JSON file for the answers in the format of the VQA servers, a list of
            ``question_id`` and ``answer``; samples need ``question_ids``, and then no right answers: their metric is
            the number of questions ``answered``.
        per_type (bool): Also report ``accuracy_type_<type>`` for the ``question_types`` (65 in VQA).
        prefix (str, optional): Put before the names of the values.
        kwargs: Arguments of :class:`mmengine.evaluator.BaseMetric`.
    """

    default_prefix = 'vqa'
    result_types = (Answered,)

    def __init__(
        self, result_file: str | None = None, per_type: bool = False, prefix: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(prefix=prefix, **kwargs)
        if result_file is not None and not result_file.endswith('.json'):
            raise ValueError(f'result_file is {result_file!r}; it must end in .json')
        self.result_file = result_file
        self.per_type = per_type

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Score the questions of a batch of images."""
        for sample in data_samples:
            given = [ranked[0]['answer'] if ranked else '' for ranked in field(sample, 'pred_answers')]
            rows = zip(
                given,
                self._scores(sample, given),
                _of_questions(sample, 'question_kinds', len(given)),
                _of_questions(sample, 'question_types', len(given)),
                _of_questions(sample, 'question_ids', len(given)),
                strict=True,
            )
            self.results.append([Answered(*row) for row in rows])

    def _scores(self, sample: dict, given: list[str]) -> Sequence[float | None]:
        key = 'human_answers' if 'human_answers' in sample else 'answers'
        if self.result_file is not None and key not in sample:
            return [None] * len(given)
        truths = field(sample, key)
        if len(given) != len(truths):
            raise ValueError(
                f'{name_of(sample)}: answers to {len(given)} questions but {len(truths)} are known; '
                'there must be one per question'
            )
        score: Any = agreement if key == 'human_answers' else answer_score
        return [score(answer, truth) for answer, truth in zip(given, truths, strict=True)]

    def compute_metrics(self, results: list[list[Answered]]) -> dict[str, float]:
        """Average over all questions of all images, and write them to the file."""
        questions = [Answered(*question) for image in results for question in image]
        if not questions:
            raise ValueError('no image has a question; VQAAccuracy needs at least one')
        if self.result_file is not None:
            _write(Path(self.result_file), questions)
        if all(question.score is None for question in questions):
            return dict(answered=float(len(questions)))
        scores: dict[str, list[float]] = defaultdict(list)
        for question in questions:
            if question.score is None:
                raise ValueError(f'question {question.number} has no right answer, but others have')
            names = ['accuracy', *([] if question.kind is None else [f'accuracy_{question.kind}'])]
            if self.per_type and question.type is not None:
                names.append(f'accuracy_type_{question.type}')
            for name in names:
                scores[name].append(question.score)
        return {name: 100 * math.fsum(scores[name]) / len(scores[name]) for name in sorted(scores)}


def _of_questions(sample: dict, key: str, count: int) -> Sequence[Any]:
    return sample.get(key) or [None] * count


def _write(path: Path, questions: Sequence[Answered]) -> None:
    """Write the server's format; the file is there as a whole or not at all."""
    if any(question.number is None for question in questions):
        raise ValueError(f'{path}: cannot be written, questions have no question_ids')
    content = [dict(question_id=question.number, answer=question.answer) for question in questions]
    write_json(path, content)
