"""Training files of COCO without test images, and lists of answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny.tools import run_tool

from xdet.datasets.files.coco_json import load_captions, load_expressions
from xdet.datasets.files.pair_lists import read_pairs
from xdet.tasks.vqa import read_answers

TOOL = 'dataset_converters/coco_joint'
TRAIN = range(1, 9)
SENTENCES = [dict(raw='it', sent='it')]
POLYGON = [[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]]
# Image 3 is in RefCOCO's testA, 4 in RefCOCOg's val, 5 in its test; Karpathy: 6 test, 7 val; 20 is of COCO val2017.
KARPATHY = {1: 'train', 6: 'test', 7: 'val', 20: 'restval', 8: 'restval'}
REFCOCO = {1: 'train', 2: 'train', 3: 'testA', 4: 'train', 9: 'val', 10: 'testB'}
REFCOCOG = {2: 'train', 3: 'train', 4: 'val', 5: 'test'}


def images(numbers: Any) -> list[dict]:
    return [dict(id=number, file_name=f'{number}.jpg', height=4, width=4) for number in numbers]


def references(splits: dict[int, str]) -> dict:
    annotations = [
        dict(id=number, image_id=number, split=split, sentences=SENTENCES, segmentation=POLYGON)
        for number, split in splits.items()
    ]
    return dict(images=images(splits), annotations=annotations, categories=[])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / 'annotations'
    folder.mkdir()
    segments = [dict(image_id=number, file_name=f'{number}.png', segments_info=[]) for number in TRAIN]
    captions = [dict(id=10 * number + i, image_id=number, caption=f'a {i}') for number in TRAIN for i in (0, 1)]
    karpathy = [
        dict(filepath='val2014', filename=f'{n}.jpg', cocoid=n, split=split, sentences=SENTENCES)
        for n, split in KARPATHY.items()
    ]
    contents = {
        'panoptic_train2017': dict(images=images(TRAIN), annotations=segments, categories=[dict(id=1, name='x')]),
        'panoptic_val2017': dict(images=images([20]), annotations=[], categories=[]),
        'captions_train2017': dict(images=images(TRAIN), annotations=captions),
        'refcoco_unc': references(REFCOCO),
        'refcoco+_unc': references(REFCOCO),
        'refcocog_umd': references(REFCOCOG),
        'dataset_coco': dict(images=karpathy, dataset='coco'),
    }
    for name, content in contents.items():
        (folder / f'{name}.json').write_text(json.dumps(content))
    return tmp_path


def listed(root: Path, name: str) -> set[int]:
    content = json.loads((root / 'annotations' / name).read_text())
    return {image.get('cocoid', image.get('id')) for image in content['images']}


def test_official_files(root: Path, capsys: pytest.CaptureFixture) -> None:
    run_tool(TOOL, root, '--preset', 'filtrefgumdval_filtvlp')
    ending = 'filtrefgumdval_filtvlp.json'
    assert listed(root, f'panoptic_train2017_{ending}') == {1, 2, 3, 5, 7, 8}
    path = str(root / 'annotations' / f'captions_train2017_{ending}')
    assert load_captions(path) == dict.fromkeys((1, 2, 3, 5, 7, 8), ('a 0', 'a 1'))
    expressions = load_expressions(str(root / 'annotations' / f'grounding_train2017_{ending}'))
    assert {number: len(own) for number, own in expressions.items()} == {1: 2, 2: 3, 3: 1}
    printed = capsys.readouterr().out
    assert 'refcocog_umd.json:val: 1 images to hold out' in printed
    assert f'panoptic_train2017_{ending}: 6 images, 6 annotations; 2 images held out' in printed
    assert f'grounding_train2017_{ending}: 3 images, 6 annotations; ' in printed and '4 files' in printed


def test_leak_free_files_have_no_test_image(root: Path) -> None:
    run_tool(TOOL, root, '--preset', 'leak-free')
    held_out = {3, 4, 5, 6, 7, 9, 10, 20}
    kept = {name: listed(root, f'{name}_leak-free.json') for name in ('panoptic_train2017', 'captions_train2017')}
    assert kept == dict.fromkeys(kept, {1, 2, 8})
    pairs, _ = read_pairs(str(root / 'annotations' / 'dataset_coco_leak-free.json'))
    assert [pair.img_id for pair in pairs] == [1, 8]
    content = json.loads((root / 'annotations' / 'grounding_train2017_leak-free.json').read_text())
    assert {image['id'] for image in content['images']} == {1, 2}
    assert {a['split'] for a in content['annotations']} == {'train'}
    assert not held_out.intersection(a['image_id'] for a in content['annotations'])


def test_own_selection_resumes_and_checks(root: Path, capsys: pytest.CaptureFixture) -> None:
    options = [root, '--name', 'own', '--hold-out', 'panoptic_val2017.json', 'refcoco_unc.json:testB']
    run_tool(TOOL, *options, '--dry-run')
    assert not list((root / 'annotations').glob('*own*')) and '4 of 4 items would' in capsys.readouterr().out
    run_tool(TOOL, *options)
    first = capsys.readouterr().out.splitlines()[-1]
    assert listed(root, 'panoptic_train2017_own.json') == set(TRAIN)
    run_tool(TOOL, *options)
    printed = capsys.readouterr().out
    assert 'its files are checked' in printed and printed.splitlines()[-1] == first
    (root / 'annotations' / 'captions_train2017_own.json').write_text('{}')
    with pytest.raises(SystemExit, match=r'captions_train2017_own\.json: differs from'):
        run_tool(TOOL, *options)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            ['--name', 'x', '--hold-out', 'refcoco_unc.json:test'],
            r'has no split test; its splits are train, testA, val',
        ),
        (['--name', 'x', '--hold-out', 'nowhere.json'], r'nowhere\.json: annotation file does not exist'),
        (['--name', 'x', '--hold-out', 'panoptic_train2017.json'], r'panoptic_train2017_x\.json: nothing is left of'),
    ],
)
def test_unusable_selections_are_named(root: Path, options: list[str], message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        run_tool(TOOL, root, *options)


def test_missing_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match='annotations: no such folder'):
        run_tool(TOOL, tmp_path, '--name', 'x')
    with pytest.raises(SystemExit):
        run_tool(TOOL, tmp_path)


def test_answers_of_annotations(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    answers = ['Two', '2.', 'red', 'red', 'red', 'blue']
    (tmp_path / 'a.json').write_text(json.dumps(dict(annotations=[dict(multiple_choice_answer=a) for a in answers])))
    run_tool('dataset_converters/vqa_answers', tmp_path / 'a.json', '--out', tmp_path / 'answers.txt', '--min-count', 2)
    assert read_answers(str(tmp_path / 'answers.txt')) == ('red', '2')
    assert 'answers.txt: 2 of 3 answers, which answer 5 of 6 questions (83.3 %)' in capsys.readouterr().out


def test_answers_of_own_questions(tmp_path: Path) -> None:
    rows = [
        dict(image='a', question='?', answer='The cat'),
        dict(image='a', question='?', answers=['dog', 'a dog', 'cat']),
        dict(image='a', question='?', answers={'cow': 1.0}),
        dict(image='a', question='?', human_answers=['fun'] * 3 + ['x']),
    ]
    (tmp_path / 'q.jsonl').write_text('\n'.join(map(json.dumps, rows)))
    run_tool('dataset_converters/vqa_answers', tmp_path / 'q.jsonl', '--out', tmp_path / 'a.txt', '--min-count', 1)
    assert read_answers(str(tmp_path / 'a.txt')) == ('cat', 'cow', 'dog', 'fun')
    with pytest.raises(SystemExit, match=r'b\.txt: no answer occurs 9 times; lower --min-count'):
        run_tool('dataset_converters/vqa_answers', tmp_path / 'q.jsonl', '--out', tmp_path / 'b.txt')
    (tmp_path / 'q.jsonl').write_text(json.dumps(dict(image='a', question='?')))
    with pytest.raises(SystemExit, match=r'q\.jsonl, row 1: has no answer'):
        run_tool('dataset_converters/vqa_answers', tmp_path / 'q.jsonl', '--out', tmp_path / 'b.txt')
    (tmp_path / 'q.json').write_text('{"annotations": [{}]}')
    with pytest.raises(SystemExit, match=r'q\.json: not a file of VQA annotations'):
        run_tool('dataset_converters/vqa_answers', tmp_path / 'q.json', '--out', tmp_path / 'b.txt')
