"""Visual question answering as classification over a list of answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xdet.io.reading import expand, read_json, read_names
from xdet.models.context import TaskContext
from xdet.models.decoder import IMAGE, OBJECT
from xdet.registry import MODELS, TASKS
from xdet.structures import DecoderOutput, QueryGroup, XDetDataSample
from xdet.structures.answers import normalize_answer

from .base import TaskAdapter, describe, texts_of

QUESTION = 'question'


@TASKS.register_module()
class VQATask(TaskAdapter):
    """Visual question answering (paper section 3.3, docs/model.md, 7).

    The position of question query i is the i-th token of the question, its content is learned; it sees the latent
    queries and earlier question queries and attends all pixels. The state at the end token is classified.

    Positions steer attention but are no part of what is attended, so what was asked reaches the classifier only through
    where the queries look. ``content='tokens'`` adds the tokens to the content as well, which makes it far easier to
    learn to compare a question with an image ("is there a star?").

    Args:
        answers (str | Sequence[str], optional): The answers, or a file with them: JSON (a list) or one per line. None:
            answers are called by number.
        num_answers (int, optional): Their number; None takes it from ``answers``.
        embed_dims (int): Width C of the decoder.
        context_length (int): Most tokens of a question.
        content (str): ``'learned'``, as in the released weights, or ``'tokens'``, see above.
        top_k (int): Answers reported per question.
        loss (dict, optional): Config of the criterion of logits and soft targets, such as
            :class:`~xdet.models.losses.AnswerLoss`; None for a model that is only used.
    """

    names = ('vqa',)
    targets = 'questions'

    def __init__(
        self,
        answers: str | Sequence[str] | None = None,
        num_answers: int | None = None,
        embed_dims: int = 512,
        context_length: int = 77,
        content: str = 'learned',
        top_k: int = 5,
        loss: dict | None = None,
    ) -> None:
        super().__init__()
        if content not in ('learned', 'tokens'):
            raise ValueError(f"VQATask: content is {content!r}; accepted are 'learned' and 'tokens'")
        self.adds_tokens = content == 'tokens'
        self.answers = read_answers(answers, num_answers)
        self.named = answers is not None
        self.index = _numbers(self.answers)
        self.top_k = min(top_k, len(self.answers))
        self.query_feat = nn.Embedding(context_length, embed_dims)
        self.classifier = nn.Sequential(
            nn.Linear(embed_dims, 2 * embed_dims),
            nn.LayerNorm(2 * embed_dims),
            nn.GELU(),
            nn.Linear(2 * embed_dims, len(self.answers)),
        )
        self.criterion = MODELS.build(loss) if loss is not None else None

    def trains(self, sample: XDetDataSample) -> bool:
        """Whether it has ``questions`` (perhaps none) and the adapter a criterion."""
        return self.criterion is not None and 'questions' in sample.metainfo

    def training_texts(self, context: TaskContext) -> list[str]:
        """Questions, and the empty text."""
        return [text for texts in _columns(context).values() for text in texts]

    def queries(self, context: TaskContext) -> list[QueryGroup]:
        """One group for the first question of every image, one for the second, ...; no question sees another.

        Where an image has no such question, it gets an empty one.
        """
        groups = []
        for name, texts in _columns(context).items():
            tokens = context.encode(texts).tokens
            content = self._content(tokens)
            groups.append(
                QueryGroup(name, content, tokens, frozenset({OBJECT, IMAGE, name}), causal=True, image_attention='all')
            )
        return groups

    def loss(self, context: TaskContext, outputs: DecoderOutput) -> dict[str, Tensor]:
        """``loss_vqa``: the final layer's classification against the soft targets ``answers``, over all questions.

        Answers that the model does not know are left out of the targets.

        Raises:
            ValueError: A sample has another number of answers than of questions, or the names of the answers were not
                given, so that no target can be one of them.
        """
        assert self.criterion is not None
        states, answers = [], []
        for column, (name, texts) in enumerate(_columns(context).items()):
            rows = [row for row, text in enumerate(texts) if text]
            ends = context.encode(texts).valid.sum(dim=1) - 1
            states.append(outputs.last.rows(outputs.last.state, name)[rows, ends[rows]])
            answers += [_answers(context.samples[row])[column] for row in rows]
        logits = self.classifier(torch.cat(states)).float()
        if not answers:
            return dict(loss_vqa=logits.sum())
        targets = torch.zeros(logits.shape)  # filled on the CPU: many single numbers
        for target, scores in zip(targets, answers, strict=True):
            for answer, score in scores.items():
                if answer in self.index:
                    target[self.index[answer]] = score
        if not self.named and not targets.any():
            raise ValueError('VQATask was built without the names of its answers, which training needs: answers=FILE')
        return dict(loss_vqa=self.criterion(logits, targets.to(logits)))

    def _content(self, tokens: Tensor) -> Tensor:
        """Initial content of the queries of questions with ``tokens`` ``[R, n, C]``."""
        content = self.query_feat.weight[: tokens.shape[1]].expand(tokens.shape[0], -1, -1)
        return content + tokens if self.adds_tokens else content

    @torch.no_grad()
    def predict(self, context: TaskContext) -> None:
        """Write ``pred_answers``: for each question the most probable answers, best first."""
        questions = [questions_of(sample) for sample in context.samples]
        most = max(map(len, questions))
        texts = [text for row in questions for text in [*row, *[''] * (most - len(row))]]
        encoded = context.encode(texts)
        stream = context.latent_pass.stream(encoded.tokens.shape[1], most)
        states = stream.step(self._content(encoded.tokens), encoded.tokens)
        ends = encoded.valid.sum(dim=1) - 1
        logits = self.classifier(states[torch.arange(len(texts), device=states.device), ends])
        scores, labels = logits.float().softmax(dim=-1).topk(self.top_k)
        for index, (sample, row) in enumerate(zip(context.samples, questions, strict=True)):
            (least,) = sample.prompts.thresholds.scores([''], 0.0)
            own = slice(index * most, index * most + len(row))
            sample.pred_answers = [
                [
                    dict(answer=self.answers[label], score=score)
                    for label, score in zip(*pair, strict=True)
                    if score >= least
                ]
                for pair in zip(labels[own].tolist(), scores[own].tolist(), strict=True)
            ]


def read_answers(answers: str | Sequence[str] | None, num_answers: int | None = None) -> tuple[str, ...]:
    """The list of answers.

    Args:
        answers (str | Sequence[str] | None): A list, or a file: JSON (a list) or one answer per line.
        num_answers (int | None): How many there must be.

    Raises:
        FileNotFoundError: No such file.
        ValueError: The file is no such list, an answer repeats, or the number is another one.
    """
    if answers is None:
        if num_answers is None:
            raise ValueError('VQATask needs answers (a list or a file) or num_answers')
        return tuple(f'answer {number}' for number in range(num_answers))
    source = f"answer file '{answers}'" if isinstance(answers, str) else 'the list of answers'
    names = _read_file(expand(answers)) if isinstance(answers, str) else list(answers)
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f'{source} is not a list of strings (JSON), nor text with one answer per line')
    if len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f'{source} has {repeated!r} more than once')
    if num_answers is not None and len(names) != num_answers:
        raise ValueError(f'{source} has {len(names)} answers, but the model is configured for {num_answers}')
    return tuple(names)


def _read_file(path: Path) -> Any:
    try:
        return read_json(path) if path.suffix == '.json' else read_names(path)
    except (FileNotFoundError, IsADirectoryError):
        raise FileNotFoundError(f"answer file '{path}' does not exist") from None
    except ValueError as error:
        raise ValueError(f'answer file {error}') from None


def _numbers(answers: Sequence[str]) -> dict[str, int]:
    """Number of every answer, by its name and by the normalised spelling that training data have."""
    normalized = {normalize_answer(answer): number for number, answer in reversed(list(enumerate(answers)))}
    return normalized | {answer: number for number, answer in enumerate(answers)}


def questions_of(sample: XDetDataSample) -> list[str]:
    """What the sample asks.

    Raises:
        ValueError: Nothing, or an empty question.
    """
    return texts_of(sample, 'questions', 'question answering')


def _columns(context: TaskContext) -> dict[str, list[str]]:
    """By group name, the i-th question of every image, or an empty text; at least one group."""
    questions = [sample.metainfo.get('questions', ()) for sample in context.samples]
    return {
        f'{QUESTION}{column}': [row[column] if column < len(row) else '' for row in questions]
        for column in range(max(1, *map(len, questions)))
    }


def _answers(sample: XDetDataSample) -> Sequence[Mapping[str, float]]:
    questions, answers = sample.metainfo['questions'], sample.metainfo.get('answers', ())
    if isinstance(answers, Mapping) or len(answers) != len(questions):
        raise ValueError(f'{describe(sample)} has {len(questions)} questions; it needs as many dicts of answers')
    return answers
