"""Questions about images: VQAv2, and lists of own questions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from xdet.datasets.files.coco_json import load_json
from xdet.datasets.files.pair_lists import IMAGE_COLUMNS, find_column, read_rows, rows_of_splits
from xdet.io.schema import ID, require, shown
from xdet.registry import DATASETS
from xdet.structures.answers import normalize_answer, soft_scores

from .base import ImageDataset, as_list, format_name


class QuestionsDataset(ImageDataset):
    """Base of the datasets of questions; one sample per image with all its questions, so that it is encoded once.

    Samples have ``questions`` tuple[str] and, each in the order of the questions and where all questions have them:

    * ``answers`` tuple[dict[str, float]]: right answers, normalised, and how right each is, from 0 to 1;
    * ``human_answers`` tuple[tuple[str, ...]]: what people answered, for :class:`VQAAccuracy` (in test mode);
    * ``question_ids``, ``question_kinds`` and ``question_types``.
    """

    def group(self, questions: Iterable[dict[str, Any]]) -> list[dict]:
        """Collect questions by image.

        Args:
            questions (Iterable[dict]): Each has ``img_path``, ``img_id`` and the entries of a sample in the singular:
                ``question``, and maybe ``answers``, ``human_answers``, ``question_id``, ``question_kind`` and
                ``question_type``.
        """
        images: dict[str, list[dict]] = {}
        for question in questions:
            images.setdefault(question['img_path'], []).append(question)
        return [self._sample(path, own) for path, own in images.items()]

    def _sample(self, path: str, questions: list[dict]) -> dict:
        sample = dict(img_path=path, img_id=questions[0]['img_id'])
        for plural, singular in _ENTRIES.items():
            if plural == 'human_answers' and not self.test_mode:
                continue
            if all(question.get(singular) is not None for question in questions):
                sample[plural] = tuple(question[singular] for question in questions)
        return sample


_ENTRIES = dict(
    questions='question',
    answers='answers',
    human_answers='human_answers',
    question_ids='question_id',
    question_kinds='question_kind',
    question_types='question_type',
)
"""Entries of a sample, and of a question that they are collected from."""


@DATASETS.register_module()
class VQADataset(QuestionsDataset):
    """VQA v1 and v2 in the files that visualqa.org publishes.

    The kinds of questions are the answer types ``yes/no``, ``number`` and ``other``.

    Args:
        ann_file (str): Questions, such as ``v2_OpenEnded_mscoco_val2014_questions.json``.
        answers_file (str, optional): Answers, such as ``v2_mscoco_val2014_annotations.json``; relative paths start
            from ``data_root``. The test splits have none.
        img_name (str): Pattern of image files, such as ``'val2014/COCO_val2014_{image_id:012d}.jpg'``.
        data_prefix (dict): Folder ``img``, which the pattern starts from.
        kwargs: Arguments of :class:`ImageDataset`.

    Raises:
        FileNotFoundError: A file or listed images are missing.
        ValueError: A file is unusable, or questions and answers do not belong together.
    """

    def __init__(self, *, img_name: str, answers_file: str | None = None, **kwargs: Any) -> None:
        self.img_name = img_name
        self.answers_file = answers_file
        super().__init__(**kwargs)

    def _image_name(self, image_id: int | str) -> str:
        return format_name(f'{self.ann_file}: img_name', self.img_name, dict(image_id=image_id))

    def load_data_list(self) -> list[dict]:
        """Read questions and answers."""
        questions = _entries(self.ann_file, 'questions', dict(question_id=ID, image_id=ID))
        answers = self._answers(questions)
        return self.group(
            dict(
                img_path=self.image_path(self._image_name(question['image_id'])),
                img_id=question['image_id'],
                question=_question_text(self.ann_file, question),
                question_id=question['question_id'],
                **answers.get(question['question_id'], {}),
            )
            for question in questions
        )

    def _answers(self, questions: list[dict]) -> dict[int, dict]:
        if self.answers_file is None:
            return {}
        path = self.in_root(self.answers_file)
        annotations = _entries(path, 'annotations', dict(question_id=ID, answers=list))
        asked, answered = ({entry['question_id'] for entry in entries} for entries in (questions, annotations))
        if asked != answered:
            unanswered, unasked = asked - answered, answered - asked
            first = (
                f'no answer to question {min(unanswered, key=str)}'
                if unanswered
                else f'an answer to no question {min(unasked, key=str)}'
            )
            raise ValueError(
                f'{path}: has {first} of {self.ann_file} ({len(unanswered)} unanswered, {len(unasked)} unasked); '
                'both must be of the same split'
            )
        image_of = {question['question_id']: question['image_id'] for question in questions}
        for annotation in annotations:
            where = f'{path}: question {annotation["question_id"]}'
            image = image_of[annotation['question_id']]
            if require(annotation, 'image_id', ID, where, image) != image:
                raise ValueError(
                    f'{where}: is of image {shown(annotation["image_id"])}, but {self.ann_file} says {shown(image)}; '
                    'questions and answers do not belong together'
                )
        return {annotation['question_id']: self._parse_answers(path, annotation) for annotation in annotations}

    @staticmethod
    def _parse_answers(path: str, annotation: dict) -> dict:
        where = f'{path}: question {annotation["question_id"]}'
        given = tuple(require(answer, 'answer', str, f'{where}: an answer') for answer in annotation['answers'])
        if not given:
            raise ValueError(f"{where}: 'answers' is empty; every question needs an answer")
        return dict(
            answers=soft_scores(given),
            human_answers=given,
            question_kind=require(annotation, 'answer_type', str, where, None),
            question_type=require(annotation, 'question_type', str, where, None),
        )


@DATASETS.register_module()
class QuestionListDataset(QuestionsDataset):
    """Own questions, from a list with one row per question.

    A row has the image, the ``question``, maybe ``kind``, ``question_id`` and ``split``, and what is right:

    * ``answer``, a string;
    * or ``answers``: a list of strings that are all right, or an object of answers and how right each is (0 to 1);
    * or ``human_answers``: a list with the answer of each of several people, weighed as in VQA.

    Args:
        ann_file (str): The list as JSON, JSONL, CSV, TSV or Parquet.
        data_prefix (dict): Folder ``img``, which relative image paths start from.
        image_column (str, optional): Column of the image path, if it has an unusual name.
        splits (Sequence[str], optional): Rows to use, by their column ``split``.
        with_answers (bool): Whether every question must have an answer; False for lists that only ask.
        kwargs: Arguments of :class:`ImageDataset`.

    Raises:
        FileNotFoundError: The list or listed images are missing.
        ValueError: The list is unusable.
    """

    def __init__(
        self,
        *,
        image_column: str | None = None,
        splits: Sequence[str] | None = None,
        with_answers: bool = True,
        **kwargs: Any,
    ) -> None:
        self.image_column = image_column
        self.splits = None if splits is None else as_list(splits)
        self.with_answers = with_answers
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the list."""
        rows = read_rows(self.ann_file)
        column = find_column(self.ann_file, rows, 'image', self.image_column, IMAGE_COLUMNS)
        questions = []
        seen: dict[int | str, str] = {}
        for number, row in enumerate(rows_of_splits(self.ann_file, rows, self.splits), start=1):
            name = f'{self.ann_file}, row {number}'
            if not isinstance(row.get(column), str) or not row[column]:
                raise ValueError(f'{name}: has no {column}')
            question_id = require(row, 'question_id', ID, name, None)
            if question_id is not None and seen.setdefault(question_id, name) != name:
                raise ValueError(f'{name}: the question id {shown(question_id)} is also that of {seen[question_id]}')
            questions.append(
                dict(
                    img_path=self.image_path(row[column]),
                    img_id=require(row, 'image_id', ID, name, row[column]),
                    question=_question_text(name, row),
                    question_id=question_id,
                    question_kind=require(row, 'kind', str, name, None),
                    **self._parse_answers(name, row),
                )
            )
        return self.group(questions)

    def _parse_answers(self, name: str, row: dict) -> dict:
        if human := row.get('human_answers'):
            # The evaluation compares people's answers as they are; those of VQA are in its spelling already.
            human = tuple(map(normalize_answer, _strings(name, 'human_answers', human)))
            return dict(answers=soft_scores(human), human_answers=human)
        right = row.get('answers') or row.get('answer')  # tables with both columns have nulls
        if type(right) is int:  # of a question how many, which JSON and Parquet have as a number
            right = str(right)
        if isinstance(right, Mapping):
            scores = _scores(name, right)
        elif right or isinstance(right, bool):
            texts = _strings(name, 'answers', [right] if isinstance(right, str) else right)
            scores = dict.fromkeys(map(normalize_answer, texts), 1.0)
        else:
            scores = {}
        if '' in scores:
            raise ValueError(
                f'{name}: of the answer {shown(right)} nothing is left in the spelling of the VQA evaluation, which '
                'has neither articles nor punctuation'
            )
        if not scores and self.with_answers:
            raise ValueError(f"{name}: has no answer; a row needs 'answer', 'answers' or 'human_answers'")
        return dict(answers=scores) if scores else {}


def _scores(name: str, answers: Mapping[str, Any]) -> dict[str, float]:
    """How right each answer is, by its normalised spelling, without the nulls that tables have."""
    given = {answer: score for answer, score in answers.items() if score is not None}
    for answer, score in given.items():
        if not isinstance(score, (int, float)) or not 0 <= score <= 1:
            raise ValueError(f'{name}: answer {shown(answer)} scores {shown(score)}; accepted are numbers from 0 to 1')
    scores: dict[str, float] = {}
    for answer, score in given.items():  # of spellings of one answer the best counts
        scores[normalize_answer(answer)] = max(float(score), scores.get(normalize_answer(answer), 0.0))
    return scores


def _entries(path: str, key: str, needed: Mapping[str, Any]) -> list[dict]:
    """The list ``key`` of one of the VQA files, all of whose entries have fields of the kinds ``needed``."""
    content = load_json(path)
    entries = content.get(key) if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise ValueError(f"{path}: not a file of VQA {key}, it has no list '{key}'")
    seen = set()
    for position, entry in enumerate(entries):
        where = f'{path}: entry {position} (counted from 0) of the {key}'
        values = {name: require(entry, name, kind, where) for name, kind in needed.items()}
        entry.update(values)  # 7.0 is the id 7
        if entry['question_id'] in seen:
            raise ValueError(f'{where}: the question id {entry["question_id"]} appears more than once')
        seen.add(entry['question_id'])
    return entries


def _question_text(name: str, row: dict) -> str:
    text = row.get('question')
    text = ' '.join(text.split()) if isinstance(text, str) else ''
    if not text:
        raise ValueError(f'{name}: a question is empty or missing ({shown(row.get("question"))})')
    return text


def _strings(name: str, what: str, values: Any) -> tuple[str, ...]:
    if not isinstance(values, (list, tuple)) or not all(isinstance(value, str) and value.strip() for value in values):
        raise ValueError(f'{name}: {what} is {shown(values)}; accepted are lists of strings that are not empty')
    return tuple(values)
