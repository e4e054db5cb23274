"""Labelled sets are read as they are meant."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from xdet.inference.names.calibration import Case, read_cases

CATEGORIES = [dict(id=1, name='cat'), dict(id=7, name='dog'), dict(id=9, name='cow')]
IMAGES = [dict(id=1, file_name='a.png', width=4, height=4), dict(id=2, file_name='b.png', width=4, height=4)]


def labelled(tmp_path: Path, annotations: object) -> Path:
    path = tmp_path / 'labels.json'
    is_coco = isinstance(annotations, dict)
    path.write_text(json.dumps(dict(images=IMAGES, categories=CATEGORIES, **annotations) if is_coco else annotations))
    return path


@pytest.mark.parametrize('panoptic', [True, False])
def test_names_of_coco(tmp_path: Path, panoptic: bool) -> None:
    annotations = [dict(image_id=1, category_id=7), dict(image_id=1, category_id=1)]
    if panoptic:
        annotations = [dict(image_id=1, segments_info=[dict(category_id=7), dict(category_id=1)])]
    kind, cases = read_cases(labelled(tmp_path, dict(annotations=annotations)), tmp_path / 'photos')
    assert kind == 'names'
    assert cases[0] == Case(str(tmp_path / 'photos' / 'a.png'), ('cat', 'dog'), ('cow',))
    assert cases[1].present == () and cases[1].absent == ('cat', 'dog', 'cow')


def test_absent_phrases_are_of_categories_that_the_image_does_not_show(tmp_path: Path) -> None:
    annotations = [
        dict(image_id=1, category_id=1, sentences=[dict(raw='left cat')]),
        dict(image_id=1, category_id=7, sentences=[dict(raw='big dog'), dict(sent='the dog')]),
        dict(image_id=2, category_id=7, sentences=[dict(raw='a dog')]),
    ]
    kind, cases = read_cases(labelled(tmp_path, dict(annotations=annotations)))
    # The first image shows all categories of which there are phrases, so it has no absent ones.
    assert kind == 'phrases' and cases == [Case(str(tmp_path / 'b.png'), ('a dog',), ('left cat',))]


@pytest.mark.parametrize(
    'annotations, told',
    [
        ([], 'empty list'),
        ([dict(present=[])], "entry 0 .*'image' is missing"),
        ([dict(image='a.png', present=['cat', ''])], "'present' has ''"),
        ([dict(image='a.png', present=['Cat'], absent=['cat'])], "'cat' is both present and absent"),
        ([dict(image='a.png', kind='boxes')], "'kind' is 'boxes'"),
        (dict(annotations=[dict(image_id=3, category_id=1)]), 'annotation 0 .* is of image 3'),
        (dict(annotations=[dict(image_id=1, category_id=2)]), 'annotation 0'),
        (dict(annotations=[dict(image_id=1, category_id=1, segments_info='x')]), "'segments_info' is 'x'"),
        (dict(annotations=[dict(image_id=1, category_id=1, sentences=[3])]), 'one of its sentences: is 3'),
        (dict(annotations=[dict(image_id=1, category_id=1, sentences=dict(raw='x'))]), "'sentences' is an object"),
    ],
)
def test_damaged_labels(tmp_path: Path, annotations: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        read_cases(labelled(tmp_path, annotations))
