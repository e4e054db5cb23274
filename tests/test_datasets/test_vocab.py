"""Class lists by name and from users' files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from xdet.datasets.vocab import get_vocabulary, load_class_names, make_vocabulary


def test_coco_lists_are_the_official_ones(shared_data: Path) -> None:
    official = json.loads((shared_data / 'vocab' / 'coco_panoptic_133.json').read_text())['classes']
    vocabulary = get_vocabulary('coco_panoptic')
    assert vocabulary.names == tuple(entry['name'] for entry in official)
    assert vocabulary.is_thing == tuple(bool(entry['isthing']) for entry in official)
    assert get_vocabulary('coco_instance').names == vocabulary.things


def test_coco_list_sizes() -> None:
    vocabulary = get_vocabulary('coco_panoptic')
    assert (len(vocabulary), len(vocabulary.things), len(vocabulary.stuff)) == (133, 80, 53)
    assert vocabulary.names[79:81] == ('toothbrush', 'banner') and vocabulary.names[132] == 'rug-merged'


def test_things_are_chosen_by_name() -> None:
    assert make_vocabulary(['sky', 'car'], things=['car']).is_thing == (False, True)
    assert make_vocabulary(['sky', 'car']).is_thing == (False, False)
    assert make_vocabulary('camvid').things == ('car', 'pedestrian', 'bicyclist')
    assert make_vocabulary('camvid', things=[]).things == ()
    with pytest.raises(ValueError, match='cat.*classes are sky, car'):
        make_vocabulary(['sky', 'car'], things=['cat'])


@pytest.mark.parametrize(
    ('name', 'content'),
    [
        ('c.txt', 'soil\n crop \n\nweed\n'),
        ('c.json', '["soil", "crop", "weed"]'),
        ('c.json', '{"classes": [{"id": 1, "name": "crop"}, {"id": 0, "name": "soil"}, {"id": 2, "name": "weed"}]}'),
    ],
)
def test_files_in_all_forms(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    assert load_class_names(tmp_path / name) == ('soil', 'crop', 'weed')


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{', 'not valid JSON'),
        ('{"names": []}', 'list of class names'),
        ('[]', 'list of class names'),
        ('[{"id": 0}]', 'with "name"'),
        ('[{"id": 1, "name": "a"}, {"id": 5, "name": "b"}]', '0 to 1 without gaps'),
    ],
)
def test_unusable_files_are_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / 'c.json').write_text(content)
    with pytest.raises(ValueError, match=f'c.json: .*{message}'):
        load_class_names(tmp_path / 'c.json')


def test_unknown_lists_say_what_is_accepted() -> None:
    with pytest.raises(ValueError, match='no such class list; accepted.*coco_panoptic'):
        make_vocabulary('coco')
    with pytest.raises(ValueError, match='coco_panoptic'):
        get_vocabulary('coco')
    with pytest.raises(ValueError, match='empty'):
        make_vocabulary([])
