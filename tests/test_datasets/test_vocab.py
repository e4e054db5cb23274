"""Class lists by name and from users' files."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny.mutation import damaged, mutated

from xdet.datasets.vocab import VOCABULARIES, get_class_list, get_vocabulary, load_class_names, loading, make_vocabulary
from xdet.structures import clean_name


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
        ('c.txt', 'soil\n crop \nweed\n\n'),
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


def test_line_without_a_class_is_named(tmp_path: Path) -> None:
    path = tmp_path / 'classes.txt'
    path.write_text('soil\n\nweed\n')
    with pytest.raises(ValueError, match='classes.txt: line 2 is empty; every line is a class'):
        load_class_names(path)
    path.write_text('soil\nweed\n\n\n')
    assert load_class_names(path) == ('soil', 'weed')


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('# names\nsoil\n', 'line 1 begins as a comment'),
        ('["soil", "crop"]', 'begins as a comment, JSON'),
        ('- soil\n- crop\n', 'begins as a comment, JSON or YAML'),
        ('soil\ncrop\tweed\n', 'line 2 has tabs'),
        ('so\x1bil\n', 'cannot be printed'),
        ('x' * 501, 'line 1 has 501 characters'),
    ],
)
def test_lines_that_are_no_names_are_told(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / 'c.txt').write_text(content)
    with pytest.raises(ValueError, match=f'c.txt: .*{message}'):
        load_class_names(tmp_path / 'c.txt')


def test_files_of_other_kinds_and_numbered_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'c.yaml').write_text('names:\n  0: soil\n')
    with pytest.raises(ValueError, match='c.yaml: a class list is a .txt file'):
        load_class_names(tmp_path / 'c.yaml')
    said: list[str] = []
    monkeypatch.setattr(loading, 'warn_once', said.append)
    (tmp_path / 'c.txt').write_text('0 soil\n1 crop\n')
    assert load_class_names(tmp_path / 'c.txt') == ('0 soil', '1 crop')
    assert len(said) == 1 and 'its lines are numbered' in said[0]


def test_unknown_lists_say_what_is_accepted() -> None:
    with pytest.raises(ValueError, match='no such class list; accepted.*coco_panoptic'):
        make_vocabulary('coco')
    with pytest.raises(ValueError, match='coco_panoptic'):
        get_vocabulary('coco')
    with pytest.raises(ValueError, match='empty'):
        make_vocabulary([])


SIZES = dict(
    ade20k_150=(150, 100),
    ade20k_847=(847, 0),
    bdd100k_pano_40=(40, 10),
    bdd100k_sem_19=(19, 8),
    camvid=(11, 3),
    cityscapes_19=(19, 8),
    coco_instance=(80, 80),
    coco_panoptic=(133, 80),
    coco_stuff_171=(171, 80),
    imagenet_1000=(1000, 1000),
    lvis_1203=(1203, 1203),
    mapillary_vistas=(65, 37),
    pascal_context_459=(459, 0),
    pascal_context_59=(59, 0),
    pascal_voc_20=(20, 20),
    scannet_20=(20, 18),
    scannet_40=(40, 0),
    sunrgbd_37=(37, 0),
)


def test_every_list_is_known_and_sound() -> None:
    """Sizes are those of the benchmarks; every file loads, says its source, and has a text for every class."""
    seginw = [name for name in VOCABULARIES if name.startswith('seginw_')]
    assert set(VOCABULARIES) == {*SIZES, *seginw} and len(seginw) == 25
    for name in VOCABULARIES:
        classes, vocabulary = get_class_list(name), VOCABULARIES[name]
        assert (len(vocabulary), len(vocabulary.things)) == SIZES.get(name, (len(vocabulary), len(vocabulary)))
        assert classes.title and classes.source and all(quirk.endswith('.') for quirk in classes.quirks)
        assert [len(texts) for texts in vocabulary.texts] == [1] * len(vocabulary)
        repeated = [text for text, count in Counter(vocabulary.names).items() if count > 1]
        assert not repeated or (name == 'ade20k_847' and len(repeated) == 9)


@pytest.mark.parametrize(
    ('name', 'reference'),
    [
        ('ade20k_150', 'ADE_PANOPTIC_CLASSES'),
        ('ade20k_847', 'ADE20K_847'),
        ('sunrgbd_37', 'SUN_RGBD_37'),
        ('scannet_40', 'SCAN_40'),
        ('scannet_20', 'SCAN_20'),
        ('cityscapes_19', 'CITYSCAPES'),
        ('bdd100k_sem_19', 'BDD_SEM'),
        ('bdd100k_pano_40', 'BDD_PANO'),
        ('pascal_voc_20', 'PASCAL_CLASSES'),
        ('coco_panoptic', 'COCO_PANOPTIC_CLASSES'),
    ],
)
def test_text_encoder_gets_the_official_names(name: str, reference: str, shared_data: Path) -> None:
    official = json.loads((shared_data.parent / 'spec' / 'golden' / 'class_lists.json').read_text())[reference]
    official = [entry for entry in official if entry != 'background']
    assert [clean_name(texts[0]) for texts in get_vocabulary(name).texts] == [clean_name(entry) for entry in official]


def test_synonyms_are_an_option() -> None:
    vocabulary = make_vocabulary(dict(name='ade20k_150', synonyms=True))
    assert vocabulary.names == get_vocabulary('ade20k_150').names
    assert vocabulary.texts[0] == ('wall', 'walls', 'brick wall', 'stone wall', 'interior wall')
    assert vocabulary != get_vocabulary('ade20k_150')
    with pytest.raises(ValueError, match='no synonyms for BDD100K panoptic'):
        get_vocabulary('bdd100k_pano_40', synonyms=True)
    with pytest.raises(ValueError, match=r"\['list'\]; accepted are 'name' and 'synonyms'"):
        make_vocabulary(dict(list='ade20k_150'))


def test_categories_of_annotation_files_are_recognised() -> None:
    """ADE20K's files name categories by any of their synonyms; a name means the same class in each of them."""
    classes = get_class_list('ade20k_150')
    found = classes.labels(['windowpane', 'window ', 'blind, screen', 'tv', 'television receiver', 'painting, picture'])
    assert [classes.names[label] for label in found] == [
        'windowpane', 'windowpane', 'blind', 'television receiver', 'television receiver', 'painting',
    ]  # fmt: skip
    assert classes.labels(['cat', '']) == [None, None]


def test_ids_of_published_label_images() -> None:
    """ADE20K sorts its objects by their full names, apart from those added later (from 3101 on)."""
    ade = get_class_list('ade20k_847')
    rows = sorted((number, name) for number, name in zip(ade.ids, ade.names, strict=True) if number < 3100)
    assert len(set(ade.ids)) == 847 and len(rows) == 827
    for (_, first), (_, second) in zip(rows, rows[1:], strict=False):
        assert first.replace('-', ' ') <= second.replace('-', ' ') or first.startswith(second.split(',')[0])
    assert dict(zip(get_class_list('cityscapes_19').names, get_class_list('cityscapes_19').ids, strict=True)) == dict(
        road=7, sidewalk=8, building=11, wall=12, fence=13, pole=17, vegetation=21, terrain=22, sky=23, person=24,
        rider=25, car=26, truck=27, bus=28, train=31, motorcycle=32, bicycle=33,
        **{'traffic light': 19, 'traffic sign': 20},
    )  # fmt: skip


def test_similar_names_are_suggested() -> None:
    with pytest.raises(ValueError, match=r"'ade20k-150' \(did you mean ade20k_150"):
        get_vocabulary('ade20k-150')
    with pytest.raises(ValueError, match=r'cityscape: no such class list \(did you mean cityscapes_19'):
        make_vocabulary('cityscape')


@pytest.mark.parametrize('name', ['Red Ball', ' red  ball', 'red ball'])
def test_names_of_one_text_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    said: list[str] = []
    monkeypatch.setattr(loading, 'warn_once', said.append)
    path = tmp_path / 'classes.json'
    path.write_text(json.dumps(['red ball', 'sky', name]))
    assert make_vocabulary(str(path)).names[2] == name
    assert len(said) == 1 and f"cannot tell them apart: 'red ball' = {name!r};" in said[0]


@pytest.mark.parametrize(
    ('classes', 'things', 'says'),
    [
        (5, None, 'classes is 5; accepted are a list of names, a file'),
        (None, None, 'classes is null'),
        ({'name': 5}, None, "classes: 'name' is 5; it must be a text"),
        ({'name': 'coco_panoptic', 'synonyms': 'x'}, None, "classes: 'synonyms' is 'x'"),
        (['a', 'b'], 'a', "things is 'a'; accepted is a list of names"),
        (['a', 'b'], 5, 'things is 5'),
        (['a\0', 'b'], None, r"the class list: 'a\\x00' has characters that cannot be printed"),
        (['\ud800', 'b'], None, 'has characters that cannot be printed'),
    ],
)
def test_classes_of_other_kinds(classes: Any, things: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make_vocabulary(classes, things)


def test_only_line_ends_separate_classes(tmp_path: Path) -> None:
    path = tmp_path / 'classes.txt'
    path.write_bytes(b'cat\r\ndog\rowl\n')
    assert load_class_names(path) == ('cat', 'dog', 'owl')
    for text in ('cat\u2028dog', 'cat\x0cdog', 'cat\x85dog'):
        path.write_text(text)
        with pytest.raises(ValueError, match=r'classes\.txt: line 1 has tabs or other characters that cannot be'):
            load_class_names(path)
    path.write_text('<!DOCTYPE html>\n<html></html>')
    with pytest.raises(ValueError, match='line 1 begins as a comment, JSON or YAML or a web page does'):
        load_class_names(path)
    for text in ('', '\n \n'):
        path.write_text(text)
        with pytest.raises(ValueError, match=r'classes\.txt: the list of class names is empty'):
            make_vocabulary(str(path))


def test_classes_of_punctuation_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(loading, 'warn_once', said.append)
    assert len(make_vocabulary(['-', 'cat', '?'])) == 3
    assert said == ["the class list: the class names '-', '?' have neither letters nor digits"]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), suffix=st.sampled_from(['.txt', '.json']))
def test_any_class_list_is_read_or_named(tmp_path: Path, data: st.DataObject, suffix: str) -> None:
    path = tmp_path / f'odd{suffix}'
    classes = dict(classes=[dict(name='cat', id=0), dict(name='dog', id=1)])
    content = json.dumps(mutated(classes, data)).encode() if data.draw(st.booleans()) else 'cat\ncafé\n'.encode()
    path.write_bytes(damaged(content, data))
    try:
        assert len(make_vocabulary(str(path))) > 0
    except ValueError as error:
        assert str(path) in str(error) and '\n' not in str(error) and len(str(error)) < 1000
