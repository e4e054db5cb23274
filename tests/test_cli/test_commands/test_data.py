"""xdet data check and xdet data split."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from xdet.cli.main import main
from xdet.datasets.exchange import AnnotatedSet, write_annotations


def test_check(annotated: AnnotatedSet, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_annotations(annotated, 'coco', tmp_path / 'a')
    assert main(['data', 'check', str(tmp_path / 'a')]) == 0
    printed = capsys.readouterr().out
    assert '4 images (train 2, val 2), 9 segments, 0 crowds' in printed and printed.endswith('no errors\n')
    assert 'warning: 3 masks of less than 4 pixels' in printed and 'pixel & co' in printed
    (tmp_path / 'a' / 'images' / annotated.images[0].file).unlink()
    assert main(['data', 'check', str(tmp_path / 'a'), '--json']) == 1
    report = json.loads(capsys.readouterr().out)
    assert report['errors']['missing_images']['entries'] == [annotated.images[0].file]
    assert report['classes']['ring é'] == dict(segments=3, images=3)


def test_check_goes_on_after_mistakes(annotated: AnnotatedSet, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_annotations(annotated, 'coco', tmp_path / 'a')
    path = tmp_path / 'a' / 'train.json'
    content = json.loads(path.read_text())
    for place in (0, 2):
        content['annotations'][place]['segmentation'] = [[1, 1, 1e9, 4, 5, 6]]
    path.write_text(json.dumps(content))
    assert main(['data', 'check', str(tmp_path / 'a')]) == 1
    printed = capsys.readouterr().out
    assert 'error: 2 entries that cannot be read' in printed and 'annotation 3 of image 1: segmentation' in printed
    assert main(['convert', str(tmp_path / 'a'), '--to', 'voc', str(tmp_path / 'b')]) == 2
    assert 'annotation 1 of image 1: segmentation' in capsys.readouterr().err


@pytest.mark.parametrize('words, told', [(['gone'], 'gone: does not exist'), (['EMPTY'], 'is of no known format')])
def test_nothing_to_check(words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(['data', 'check', *(str(tmp_path) if word == 'EMPTY' else word for word in words)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('error: ') and told in line


def test_split_of_coco(annotated: AnnotatedSet, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    undivided = replace(annotated, images=tuple(replace(image, split='') for image in annotated.images))
    write_annotations(undivided, 'coco', tmp_path / 'a')
    words = ['data', 'split', str(tmp_path / 'a' / 'instances.json'), '--group-by', r'clip(\d)', '--val', '0.5']
    assert main(words) == 0
    assert 'train.json: 2 images in 1 groups' in capsys.readouterr().out
    assert main(words) == 2 and '--overwrite replaces what is there' in capsys.readouterr().err
    assert main([*words, '--overwrite']) == 0


def test_split_of_another_format(annotated: AnnotatedSet, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_annotations(annotated, 'labelme', tmp_path / 'a')
    words = ['data', 'split', str(tmp_path / 'a')]
    assert main(words) == 2 and 'name a new folder as OUT' in capsys.readouterr().err
    assert main([*words, str(tmp_path / 'b'), '--val', '1', '--test', '1']) == 0
    assert {path.parent.name: path.suffix for path in (tmp_path / 'b').glob('*/*.json')}.keys() == {
        'train',
        'val',
        'test',
    }
