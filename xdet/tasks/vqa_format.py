"""How questions are asked and their answers reported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from typing_extensions import NotRequired

from xdet.registry import TASK_FORMATS
from xdet.structures import TaskFormat, TextLine, XDetDataSample
from xdet.structures.mentions import unseen, unseen_mark

_NONE = ('', 'no', 'none', '0')


class Answer(TypedDict):
    """An answer and its probability."""

    answer: str
    score: float


class Answers(TypedDict):
    """A question with its most probable answers, best first; ``unseen`` is what the best needs and no query sees."""

    question: str
    answers: list[Answer]
    unseen: NotRequired[list[str]]


class AnswerResult(TypedDict):
    """Result of ``vqa``, in the order of the questions."""

    answers: list[Answers]


@TASK_FORMATS.register_module(name='vqa')
class VQAFormat(TaskFormat):
    """Questions in order, each with its most probable answers, best first."""

    field = 'pred_answers'
    prompts = ('questions', 'score')
    one_of = ('questions',)
    mentions = True

    def results(self, sample: XDetDataSample) -> AnswerResult:
        """Questions in order, each with its most probable answers, best first."""
        rows = zip(sample.prompts.questions, sample.pred_answers, strict=True)
        return dict(answers=[_doubted(sample, question, list(answers)) for question, answers in rows])

    def summary(self, prediction: Mapping[str, Any], score_thr: float) -> list[str]:
        """Every question with its answers."""
        lines = []
        for entry in prediction['answers']:
            lines.append(entry['question'] + unseen_mark(entry))
            lines += [f'  {row["score"]:.2f}  {row["answer"]}' for row in entry['answers']]
        return lines

    def lines(self, sample: XDetDataSample, score_thr: float) -> list[TextLine]:
        """Every question, or its number, with its answers."""
        lines = []
        numbers = [str(number) for number in range(1, len(sample.pred_answers) + 1)]
        for question, answers in zip(sample.prompts.questions or numbers, sample.pred_answers, strict=True):
            lines.append(TextLine(question + unseen_mark(_doubted(sample, question, answers)), bold=True))
            lines += [TextLine.scored(answer['answer'], answer['score']) for answer in answers]
        return lines


def _doubted(sample: XDetDataSample, question: str, answers: list[Answer]) -> Answers:
    """An answered question; where the best answer is not that there is none, the question says what should be there."""
    found = Answers(question=question, answers=answers)
    best = answers[0]['answer'] if answers else ''
    if names := unseen(sample, best if best in _NONE else f'{question} {best}'):
        found['unseen'] = names
    return found
