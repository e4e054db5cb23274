"""tools/misc/split_coco.py divides images, never annotations of one image, and always in the same way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny.tools import run_tool

TOOL = 'misc/split_coco'


def write(path: Path, names: list[str], **changes: object) -> Path:
    images = [dict(id=number, file_name=name, height=4, width=4) for number, name in enumerate(names)]
    annotations = [
        dict(id=2 * number + half, image_id=number, category_id=1, bbox=[0, 0, 2, 2])
        for number in range(len(names))
        for half in (0, 1)
    ]
    content = dict(info=dict(year=2020), images=images, annotations=annotations, categories=[dict(id=1, name='a')])
    path.write_text(json.dumps({**content, **changes}))
    return path


@pytest.fixture
def ann_file(tmp_path: Path) -> Path:
    return write(tmp_path / 'all.json', [f'clip{number // 5}/frame_{number}.jpg' for number in range(20)])


def parts(folder: Path) -> tuple[dict, dict]:
    train, val = (json.loads((folder / f'{name}.json').read_text()) for name in ('train', 'val'))
    return train, val


def test_every_image_and_annotation_is_in_one_part(ann_file: Path, capsys: pytest.CaptureFixture) -> None:
    run_tool(TOOL, ann_file)
    whole, (train, val) = json.loads(ann_file.read_text()), parts(ann_file.parent)
    assert [len(part['images']) for part in (train, val)] == [16, 4]
    for key in ('images', 'annotations'):
        assert sorted(entry['id'] for part in (train, val) for entry in part[key]) == [e['id'] for e in whole[key]]
    for part in (train, val):
        assert {entry['image_id'] for entry in part['annotations']} == {image['id'] for image in part['images']}
        assert part['info'] == whole['info'] and part['categories'] == whole['categories']
    assert 'val.json: 4 images, 8 annotations' in capsys.readouterr().out
    assert {path.name for path in ann_file.parent.iterdir()} == {'all.json', 'train.json', 'val.json'}


def test_the_split_depends_on_names_and_seed_alone(ann_file: Path, tmp_path: Path) -> None:
    content = json.loads(ann_file.read_text())
    content['images'].reverse()
    other = write(tmp_path / 'other.json', [], **content)
    chosen = []
    for source, seed in ((ann_file, 0), (other, 0), (ann_file, 1)):
        run_tool(TOOL, source, '--seed', str(seed), '--overwrite')
        chosen.append({image['file_name'] for image in parts(tmp_path)[1]['images']})
    assert chosen[0] == chosen[1] != chosen[2]


@pytest.mark.parametrize(
    ('group', 'key'),
    [('folder', lambda name: name.split('/')[0]), (r'frame_(\d*)\d\.', lambda name: name[:-5].split('_')[1])],
)
def test_groups_stay_together(ann_file: Path, group: str, key) -> None:
    run_tool(TOOL, ann_file, '--group', group, '--val', '5')
    train, val = ({key(image['file_name']) for image in part['images']} for part in parts(ann_file.parent))
    assert train and val and not train & val


def test_what_is_missing_is_said(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    annotations = [dict(id=1, image_id=0, category_id=1), dict(id=2, image_id=9, category_id=1)]
    run_tool(TOOL, write(tmp_path / 'all.json', ['a.jpg', 'b.jpg'], annotations=annotations), '--val', '1')
    out = capsys.readouterr().out
    assert 'has no annotation of a' in out and '1 annotations are of images that' in out
    assert sum(len(part['annotations']) for part in parts(tmp_path)) == 1


@pytest.mark.parametrize(
    ('names', 'changes', 'options', 'message'),
    [
        (['a.jpg', 'b.jpg'], {}, ['--val', '2'], '--val is 2; accepted are shares between 0 and 1,'),
        (['a.jpg', 'b.jpg'], {}, ['--val', '-0.5'], '--val is -0.5'),
        (['a.jpg', 'b.jpg'], {}, ['--val', 'nan'], '--val is nan'),
        (['a.jpg', 'b.jpg'], {}, ['--group-by', 'folder'], 'all 2 images are of one group'),
        (['a.jpg', 'b.jpg'], {}, ['--group-by', '(c)'], "--group-by '(c)' does not match the beginning of 'a.jpg'"),
        (['a.jpg', 'b.jpg'], {}, ['--group-by', '('], "--group-by '(' is no regular expression"),
        (['a.jpg', 'b.jpg'], {}, ['--train-out', 'all.json'], 'must differ'),
        ([], {}, [], 'lists no images'),
        (['a.jpg', 'b.jpg'], dict(images=[dict(id=1)]), [], "images[0]: 'file_name' is missing"),
        (['a.jpg', 'b.jpg'], dict(annotations=[dict(id=1)]), [], "annotations[0]: 'image_id' is missing"),
        (['a.jpg', 'b.jpg'], dict(images=[dict(id=[1], file_name='a')]), [], "images[0]: 'id' is [1]"),
        (['a.jpg', 'b.jpg'], dict(images=[1]), [], 'images[0]: is 1; it must be an object'),
        (['a.jpg', 'b.jpg'], dict(annotations=[[]]), [], 'annotations[0]: is []'),
        (['a.jpg', 'b.jpg'], dict(images=[dict(id=1, file_name='a')] * 2), [], 'images[1]: has the id 1'),
    ],
)  # fmt: skip
def test_one_line_for_what_cannot_be_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str], changes: dict, options: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / 'all.json', names, **changes)
    with pytest.raises(SystemExit) as info:
        run_tool(TOOL, 'all.json', *options)
    assert message in str(info.value) and '\n' not in str(info.value)
    assert [path.name for path in tmp_path.iterdir()] == ['all.json']


@pytest.mark.parametrize('categories', [None, 5, [5], [dict(id=[1], name='a')]])
def test_categories_may_be_anything(tmp_path: Path, categories: object) -> None:
    run_tool(TOOL, write(tmp_path / 'all.json', ['a.jpg', 'b.jpg'], categories=categories), '--val', '1')
    assert all(part['categories'] == categories for part in parts(tmp_path))


def test_nothing_is_replaced_unasked(ann_file: Path) -> None:
    (ann_file.parent / 'val.json').write_text('mine')
    with pytest.raises(SystemExit, match='there already: .*val.json; --overwrite'):
        run_tool(TOOL, ann_file)
    assert (ann_file.parent / 'val.json').read_text() == 'mine'
    assert not (ann_file.parent / 'train.json').exists()
