"""Questions in the files of VQAv2 and in lists of one's own, from disk to the metric."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny.mutation import mutated

from xdet.datasets import QuestionListDataset, VQADataset
from xdet.evaluation import VQAAccuracy
from xdet.structures import XDetDataSample
from xdet.structures.answers import agreement

TEST = [dict(type='LoadXDetImage'), dict(type='PackXDetInputs', test_mode=True, tasks=('vqa',))]
TRAIN = [
    dict(type='LoadXDetImage'),
    dict(type='ChooseQuestions', max_questions=1),
    dict(type='PackXDetInputs', segments=False),
]


def people(*answers: str) -> list[dict]:
    return [dict(answer=answer, answer_confidence='yes', answer_id=i) for i, answer in enumerate(answers, start=1)]


class TinyVQA:
    """Two images and three questions in the layout of visualqa.org."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / 'val2014').mkdir()
        for number in (7, 42):
            pixels = np.full((6, 8, 3), number, dtype=np.uint8)
            Image.fromarray(pixels).save(root / 'val2014' / f'COCO_val2014_{number:012d}.jpg')
        self.questions = [
            dict(image_id=42, question='How many dogs?', question_id=42000),
            dict(image_id=7, question='Is it  raining?', question_id=7000),
            dict(image_id=42, question='What colour?', question_id=42001),
        ]
        self.annotations = [
            self.annotation(7, 7000, 'yes/no', 'is it', ['no'] * 10),
            self.annotation(42, 42001, 'other', 'what color', ['red'] * 2 + ['dark red'] * 7 + ['blue']),
            self.annotation(42, 42000, 'number', 'how many', ['2'] * 4 + ['3'] * 6),
        ]

    @staticmethod
    def annotation(image: int, question: int, kind: str, type_: str, answers: list[str]) -> dict:
        return dict(
            image_id=image,
            question_id=question,
            answer_type=kind,
            question_type=type_,
            multiple_choice_answer=answers[-1],
            answers=people(*answers),
        )

    def build(self, answers: bool = True, **kwargs: Any) -> VQADataset:
        common = dict(license={}, info={}, data_type='mscoco', data_subtype='val2014')
        (self.root / 'questions.json').write_text(json.dumps(dict(questions=self.questions, **common)))
        (self.root / 'annotations.json').write_text(json.dumps(dict(annotations=self.annotations, **common)))
        given: dict = dict(
            data_root=str(self.root),
            ann_file='questions.json',
            answers_file='annotations.json' if answers else None,
            img_name='val2014/COCO_val2014_{image_id:012d}.jpg',
            data_prefix=dict(img=''),
            serialize_data=False,
            pipeline=TEST,
            test_mode=True,
        )
        return VQADataset(**{**given, **kwargs})


@pytest.fixture
def tiny(tmp_path: Path) -> TinyVQA:
    return TinyVQA(tmp_path)


def answer(sample: XDetDataSample, *answers: str) -> dict:
    sample.pred_answers = [[dict(answer=answer, score=1.0)] for answer in answers]
    return sample.to_dict()


def test_questions_of_an_image_are_one_sample(tiny: TinyVQA) -> None:
    dataset = tiny.build()
    assert len(dataset) == 2
    sample = dataset[0]['data_samples']
    assert sample.img_id == 42 and sample.tasks == ('vqa',)
    assert sample.questions == ('How many dogs?', 'What colour?') and sample.question_ids == (42000, 42001)
    assert sample.question_kinds == ('number', 'other') and sample.question_types == ('how many', 'what color')
    assert sample.answers[0] == {'2': 1.0, '3': 1.0}
    assert sample.answers[1] == pytest.approx({'red': 2 / 3, 'dark red': 1.0, 'blue': 1 / 3})
    assert sample.human_answers[0] == ('2',) * 4 + ('3',) * 6
    assert dataset[1]['data_samples'].questions == ('Is it raining?',)


def test_training_takes_some_questions(tiny: TinyVQA) -> None:
    dataset = tiny.build(pipeline=TRAIN, test_mode=False)
    pairs = {(sample.questions, *sample.answers[0]) for sample in (dataset[0]['data_samples'] for _ in range(20))}
    assert pairs == {(('How many dogs?',), '2', '3'), (('What colour?',), 'red', 'dark red', 'blue')}
    assert 'human_answers' not in dataset[0]['data_samples'].metainfo
    with pytest.raises(ValueError, match='max_questions is 0'):
        tiny.build(pipeline=[dict(type='ChooseQuestions', max_questions=0)])


def test_truth_scores_100_and_shuffled_truth_does_not(tiny: TinyVQA) -> None:
    samples = [item['data_samples'] for item in tiny.build()]
    best = [[max(scores, key=lambda name: scores[name]) for scores in sample.answers] for sample in samples]
    metric = VQAAccuracy(per_type=True)
    metric.process(None, [answer(sample, *own) for sample, own in zip(samples, best, strict=True)])
    result = metric.evaluate(size=2)
    assert len(result) == 7 and set(result.values()) == {100.0}
    assert {'vqa/accuracy_yes/no', 'vqa/accuracy_type_how many'} <= set(result)
    metric.process(None, [answer(samples[0], 'red', '2'), answer(samples[1], 'dark red')])
    assert metric.evaluate(size=2)['vqa/accuracy'] == 0.0


def test_table_by_hand(tiny: TinyVQA) -> None:
    samples = [item['data_samples'] for item in tiny.build()]
    metric = VQAAccuracy()
    metric.process(None, [answer(samples[0], 'Two', 'Red.'), answer(samples[1], 'yes')])
    assert metric.evaluate(size=2) == pytest.approx(
        {
            'vqa/accuracy': 100 * (1 + 0.6 + 0) / 3,
            'vqa/accuracy_number': 100.0,
            'vqa/accuracy_other': 60.0,
            'vqa/accuracy_yes/no': 0.0,
        }
    )


def test_answers_for_the_server(tiny: TinyVQA, tmp_path: Path) -> None:
    samples = [item['data_samples'] for item in tiny.build(answers=False)]
    assert 'answers' not in samples[0].metainfo
    metric = VQAAccuracy(result_file=str(tmp_path / 'results' / 'vqa.json'))
    metric.process(None, [answer(samples[0], '2', 'red'), answer(samples[1], 'no')])
    assert metric.evaluate(size=2) == {'vqa/answered': 3.0}
    assert json.loads((tmp_path / 'results' / 'vqa.json').read_text()) == [
        dict(question_id=42000, answer='2'),
        dict(question_id=42001, answer='red'),
        dict(question_id=7000, answer='no'),
    ]
    with pytest.raises(ValueError, match='has no answers: the dataset has no such texts'):
        VQAAccuracy().process(None, [answer(samples[0], '2', 'red')])
    with pytest.raises(ValueError, match=r"result_file is 'x\.csv'; it must end in \.json"):
        VQAAccuracy(result_file='x.csv')


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            lambda tiny: tiny.annotations.pop(0),
            r'annotations\.json: has no answer to question 7000 of .*questions\.json',
        ),
        (
            lambda tiny: tiny.annotations[1].update(answers=[]),
            r"annotations\.json: question \S+: 'answers' is empty; every question needs an answer",
        ),
        (
            lambda tiny: tiny.annotations[1].update(image_id=99),
            r'annotations\.json: question \S+: is of image 99, but .*questions\.json says',
        ),
        (lambda tiny: tiny.questions.pop(1), r'annotations\.json: has an answer to no question 7000 of .*questions'),
        (lambda tiny: tiny.questions[1].update(question=' '), r'questions\.json: a question is empty or missing'),
        (
            lambda tiny: tiny.questions[1].pop('image_id'),
            r'questions\.json: entry 1 .* of the questions: .image_id. is missing',
        ),
        (
            lambda tiny: tiny.annotations[1].pop('answers'),
            r'annotations\.json: entry 1 .* of the annotations: .answers. is missing',
        ),
        (lambda tiny: tiny.questions.clear() or tiny.annotations.clear(), 'no samples; the split is empty'),
    ],
)
def test_unusable_files_are_named(tiny: TinyVQA, change: Any, message: str) -> None:
    change(tiny)
    with pytest.raises(ValueError, match=message):
        tiny.build()


def test_wrong_layouts_are_named(tiny: TinyVQA) -> None:
    with pytest.raises(FileNotFoundError, match=r'2 listed file\(s\) do not exist, the first is .*/000000000007\.jpg'):
        tiny.build(img_name='val2017/{image_id:012d}.jpg')
    with pytest.raises(FileNotFoundError, match=r'nowhere\.json: annotation file does not exist'):
        tiny.build(answers_file='nowhere.json')
    tiny.build()
    with pytest.raises(ValueError, match=r"annotations\.json: not a file of VQA questions, it has no list 'questions'"):
        tiny.build(ann_file='annotations.json')


ROWS = [
    dict(image='a.png', question='What?', answer='The cat', split='train', kind='noun', question_id=1),
    dict(image='a.png', question='Where?', answers=['Home', 'here'], split='train', kind='place', question_id=2),
    dict(image='b.png', question='Who?', answers={'Two': 1, 'one': 0.5}, split='train'),
    dict(image='b.png', question='Why?', human_answers=['fun', 'fun', 'money'], split='val'),
]


def build_list(root: Path, rows: list[dict], name: str = 'list.jsonl', **kwargs: Any) -> QuestionListDataset:
    for image in ('a', 'b'):
        Image.fromarray(np.zeros((6, 8, 3), dtype=np.uint8)).save(root / f'{image}.png')
    text = '\n'.join(map(json.dumps, rows)) if name.endswith('l') else json.dumps(rows)
    (root / name).write_text(text)
    given: dict = dict(data_root=str(root), ann_file=name, serialize_data=False, pipeline=TEST, test_mode=True)
    return QuestionListDataset(**{**given, **kwargs})


@pytest.mark.parametrize('name', ['list.jsonl', 'list.json'])
def test_own_questions(tmp_path: Path, name: str) -> None:
    samples = [item['data_samples'] for item in build_list(tmp_path, ROWS, name)]
    assert [sample.questions for sample in samples] == [('What?', 'Where?'), ('Who?', 'Why?')]
    assert samples[0].answers == ({'cat': 1.0}, {'home': 1.0, 'here': 1.0})
    assert samples[0].question_kinds == ('noun', 'place') and samples[0].question_ids == (1, 2)
    assert samples[1].answers == ({'2': 1.0, '1': 0.5}, pytest.approx({'fun': 2 / 3, 'money': 1 / 3}))
    assert 'human_answers' not in samples[1].metainfo and 'question_kinds' not in samples[1].metainfo
    (sample,) = [item['data_samples'] for item in build_list(tmp_path, ROWS, name, splits='val')]
    assert sample.human_answers == (('fun', 'fun', 'money'),)


def test_own_questions_in_a_table(tmp_path: Path) -> None:
    build_list(tmp_path, ROWS)
    (tmp_path / 'list.csv').write_text('file,question,answer\na.png,What?,a cat\na.png,"Where, then?",\n')
    cfg = dict(data_root=str(tmp_path), ann_file='list.csv', serialize_data=False, pipeline=TEST, test_mode=True)
    with pytest.raises(ValueError, match=r'list\.csv: no column image or .* for the image'):
        QuestionListDataset(**cfg)
    with pytest.raises(ValueError, match=r"list\.csv, row 2: has no answer; a row needs 'answer'"):
        QuestionListDataset(**cfg, image_column='file')
    dataset = QuestionListDataset(**cfg, image_column='file', with_answers=False)
    assert dataset[0]['data_samples'].questions == ('What?', 'Where, then?')


@pytest.mark.parametrize(
    ('row', 'message'),
    [
        (dict(question='What?', answer='x'), 'row 1: has no image'),
        (dict(image='a.png', answer='x'), r'row 1: a question is empty or missing \(null\)'),
        (dict(image='a.png', question='What?', answers={'x': 2}), "row 1: answer 'x' scores 2; accepted are numbers"),
        (dict(image='a.png', question='What?', answers={'x': 'y'}), "row 1: answer 'x' scores 'y'; accepted are"),
        (
            dict(image='a.png', question='A or B?', answer='A'),
            "row 1: of the answer 'A' nothing is left",
        ),
        (dict(image='a.png', question='What?', answers=[3]), r'row 1: answers is \[3\]; accepted are lists of strings'),
        (dict(image='a.png', question='What?', human_answers='x'), "row 1: human_answers is 'x'; accepted are lists"),
        (dict(image='a.png', question='Is it?', answer=False), 'row 1: answers is False; accepted are lists'),
        (dict(ROWS[0], question='Who?', question_id=1), 'row 2: the question id 1 is also that of .*row 1'),
    ],
)
def test_unusable_rows_are_named(tmp_path: Path, row: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_list(tmp_path, [row, ROWS[0]])


def test_nulls_of_tables_are_no_answers(tmp_path: Path) -> None:
    """Parquet has every column in every row, and every key of a struct."""
    rows = [
        dict(image='a.png', question='What?', answer='cat', answers=None, human_answers=None),
        dict(image='b.png', question='Who?', answer=None, answers={'Tom': 0.5, 'Ann': None}, human_answers=None),
    ]
    samples = [item['data_samples'] for item in build_list(tmp_path, rows)]
    assert [sample.answers for sample in samples] == [({'cat': 1.0},), ({'tom': 0.5},)]


def test_numbers_and_spellings_of_one_answer(tmp_path: Path) -> None:
    rows = [
        dict(image='a.png', question='How many?', answer=0),
        dict(image='b.png', question='What?', answers={'cat': 1, 'A cat': 0.3, 'The cat.': 0.5}),
    ]
    samples = [item['data_samples'] for item in build_list(tmp_path, rows)]
    assert [sample.answers for sample in samples] == [({'0': 1.0},), ({'cat': 1.0},)]


def test_people_may_spell_as_they_like(tmp_path: Path) -> None:
    rows = [
        dict(image='a.png', question='Is it?', human_answers=['Yes.', 'Yes.', 'Yes.']),
        dict(image='b.png', question='How many?', human_answers=['The two', 'Two', '2', '3']),
    ]
    metric = VQAAccuracy()
    samples = [item['data_samples'] for item in build_list(tmp_path, rows)]
    metric.process(None, [answer(sample, name) for sample, name in zip(samples, ('yes', 'Two'), strict=True)])
    assert metric.evaluate(size=2)['vqa/accuracy'] == pytest.approx(100 * (2 / 3 + (3 * 2 / 3 + 1) / 4) / 2)


def test_real_questions(shared_data: Path) -> None:
    sample_dir = shared_data / 'vqa_sample'
    dataset = VQADataset(
        ann_file=str(sample_dir / 'questions.json'),
        answers_file=str(sample_dir / 'annotations.json'),
        img_name='{image_id:012d}.jpg',
        data_prefix=dict(img=str(shared_data / 'coco_sample' / 'train2017')),
        pipeline=TEST,
        test_mode=True,
        serialize_data=False,
    )
    samples = [dataset[index]['data_samples'] for index in range(len(dataset))]
    assert len(samples) == 67 and sum(len(sample.questions) for sample in samples) == 102
    # People disagree, so not even the best answers score 100.
    best = [
        [max(scores, key=lambda name: agreement(name, people)) for scores, people in zip(*texts, strict=True)]
        for texts in ((sample.answers, sample.human_answers) for sample in samples)
    ]
    ceiling = [
        agreement(name, people)
        for names, sample in zip(best, samples, strict=True)
        for name, people in zip(names, sample.human_answers, strict=True)
    ]
    metric = VQAAccuracy()
    metric.process(None, [answer(sample, *own) for sample, own in zip(samples, best, strict=True)])
    result = metric.evaluate(size=67)
    assert 93 < result['vqa/accuracy'] == pytest.approx(100 * sum(ceiling) / 102)
    everything = [name for own in best for name in own]
    metric.process(None, [answer(sample, *[everything.pop() for _ in sample.questions]) for sample in samples])
    assert metric.evaluate(size=67)['vqa/accuracy'] < 30


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), name=st.sampled_from(('questions', 'annotations')))
def test_mutated_files_load_or_are_named(tiny: TinyVQA, data: st.DataObject, name: str) -> None:
    valid = getattr(tiny, name)
    setattr(tiny, name, mutated(valid, data))
    try:
        tiny.build()
    except (ValueError, FileNotFoundError) as error:
        assert str(tiny.root) in str(error) and '\n' not in str(error)
    finally:
        setattr(tiny, name, valid)
