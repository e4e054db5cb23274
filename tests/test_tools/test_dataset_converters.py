"""Tools that prepare data: REFER files without their pickle's dangers, indices of shards."""

from __future__ import annotations

import io
import json
import os
import pickle
import runpy
import tarfile
from pathlib import Path

import pytest
from pycocotools import mask as mask_util
from tiny.tools import ROOT, run_tool

from xdet.datasets.files.coco_json import load_expressions

REFS = [
    dict(ref_id=5, ann_id=1, image_id=11, split='testA', sentences=[dict(raw='Left caf\xe9', sent='left cafe')]),
    dict(ref_id=6, ann_id=1, image_id=11, split='train', sentences=[dict(raw='it', sent='it')] * 2),
]
INSTANCES = dict(
    images=[dict(id=11, file_name='a.jpg', height=4, width=4), dict(id=12, file_name='b.jpg', height=4, width=4)],
    annotations=[dict(id=1, image_id=11, category_id=3, bbox=[0, 0, 1, 1], segmentation=[[0, 0, 1, 0, 1, 1]], area=1)],
    categories=[dict(id=3, name='car')],
)


def convert(root: Path, refs: bytes) -> Path:
    (root / 'refs.p').write_bytes(refs)
    (root / 'instances.json').write_text(json.dumps(INSTANCES))
    out = root / 'joined.json'
    run_tool('dataset_converters/refer_to_json', root / 'refs.p', root / 'instances.json', out)
    return out


def test_expression_and_object_are_of_one_image() -> None:
    join = runpy.run_path(str(ROOT / 'tools' / 'dataset_converters' / 'refer_to_json.py'))['join']
    images = [dict(id=number, file_name=f'{number}.jpg', height=4, width=5) for number in (1, 2)]
    instances = dict(images=images, annotations=[dict(id=9, image_id=1, segmentation=[])])
    ref = dict(ann_id=9, ref_id=3, image_id=2, split='train', sentences=[])
    with pytest.raises(ValueError, match='refs: expression 3 is of image 2, its object of 1'):
        join([ref], instances)
    # Of two objects with one id nobody knows which is meant.
    with pytest.raises(ValueError, match='instances: the annotation id 9 appears more than once'):
        join([ref], dict(instances, annotations=instances['annotations'] + [dict(id=9, image_id=2, segmentation=[])]))
    with pytest.raises(ValueError, match="instances: annotation 0 .*'id' is missing"):
        join([ref], dict(instances, annotations=[dict(image_id=2)]))


@pytest.mark.parametrize('protocol', [0, 2])
def test_refer_files_are_joined(tmp_path: Path, protocol: int, capsys) -> None:
    out = convert(tmp_path, pickle.dumps(REFS, protocol=protocol))
    printed = capsys.readouterr().out
    assert 'joined.json, all: 1 images, 2 objects, 3 sentences' in printed
    assert 'joined.json, train: 1 images, 1 objects, 2 sentences' in printed and '1 files' in printed
    content = json.loads(out.read_text())
    assert [image['id'] for image in content['images']] == [11] and content['categories'] == INSTANCES['categories']
    assert content['annotations'][0]['ref_id'] == 5 and content['annotations'][0]['category_id'] == 3
    (expression,) = load_expressions(str(out), ['testA'])[11]
    assert expression == dict(sentences=('Left caf\xe9',), mask=[[0, 0, 1, 0, 1, 1]])


@pytest.mark.parametrize('write', [json.dumps, pickle.dumps])
def test_expressions_of_several_objects_or_none(tmp_path: Path, write) -> None:
    """gRefCOCO."""
    other = dict(id=2, image_id=11, category_id=3, bbox=[2, 2, 2, 2], segmentation=[[2, 2, 4, 2, 4, 4, 2, 4]], area=4)
    square = dict(other, id=1, bbox=[0, 0, 2, 2], segmentation=[[0, 0, 2, 0, 2, 2, 0, 2]])
    refs = [
        dict(REFS[1], ref_id=1, ann_id=[1]),
        dict(REFS[1], ref_id=2, ann_id=[1, 2]),
        dict(REFS[1], ref_id=3, ann_id=[-1], no_target=True),
    ]
    join = runpy.run_path(str(ROOT / 'tools' / 'dataset_converters' / 'refer_to_json.py'))['join']
    joined = join(refs, dict(INSTANCES, annotations=[square, other]))
    assert [annotation['area'] for annotation in joined['annotations']] == [4, 8, 0]
    assert joined['annotations'][1]['bbox'] == [0, 0, 4, 4]
    data = write(refs[:1] + refs[2:])
    out = convert(tmp_path, data.encode() if isinstance(data, str) else data)  # with INSTANCES, which has one object
    assert [len(own) for own in load_expressions(str(out)).values()] == [1]
    (tmp_path / 'joined.json').write_text(json.dumps(joined))
    one, both = load_expressions(str(out))[11]
    assert one['mask'] == [[0, 0, 2, 0, 2, 2, 0, 2]]
    assert mask_util.decode(both['mask']).tolist() == [[1, 1, 0, 0]] * 2 + [[0, 0, 1, 1]] * 2


class Harmful:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


def test_programs_in_a_pickle_are_not_run(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r'refs.p: cannot be read safely \(it refers to posix.mkdir'):
        convert(tmp_path, pickle.dumps([dict(ann_id=Harmful(tmp_path / 'harm'))]))
    assert not (tmp_path / 'harm').exists()


@pytest.mark.parametrize(
    ('refs', 'message'),
    [
        (b'no pickle', 'refs.p: cannot be read safely'),
        (b'', 'refs.p: cannot be read safely'),
        (pickle.dumps(dict(a=1)), 'refs.p: not a list of referring expressions'),
        (pickle.dumps([dict(REFS[0], ann_id=9)]), 'expression 5 refers to annotation 9'),
        (pickle.dumps([dict(REFS[0], ann_id=None)]), "expression 5: 'ann_id' is null"),
        (pickle.dumps([dict(REFS[0], split=None)]), "expression 5: 'split' is null"),
        (pickle.dumps([dict(REFS[0], ann_id=[1, 9])]), 'expression 5 refers to annotation 9'),
        (json.dumps(dict(a=1)).encode(), 'refs.p: not a list of referring expressions'),
        (b'[' * 100_000, 'refs.p: not valid JSON'),
        (pickle.dumps(REFS)[:-9], 'refs.p: cannot be read safely'),
    ],
)
def test_unusable_refer_files_are_named(tmp_path: Path, refs: bytes, message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        convert(tmp_path, refs)


def test_shards_are_indexed(tmp_path: Path, capsys) -> None:
    for shard in range(2):
        with tarfile.open(tmp_path / f'{shard}.tar', 'w') as file:
            for key in range(3):
                member = tarfile.TarInfo(f'{key}.txt')
                member.size = 4
                file.addfile(member, io.BytesIO(b'text'))
    (tmp_path / '2.tar').write_text('no tar file')
    arguments = ('dataset_converters/index_shards', tmp_path / '*.tar', '--index-dir', tmp_path / 'index')
    with pytest.raises(SystemExit, match='1'):  # something is damaged
        run_tool(*arguments, '--processes', 1)
    output = capsys.readouterr().out
    assert '6 samples in 3 shards, 1 of them damaged' in output and '2.tar: not an uncompressed tar' in output
    folder = tmp_path / 'index' / tmp_path.relative_to('/')
    assert sorted(path.name for path in folder.iterdir()) == ['0.tar.idx.json', '1.tar.idx.json']
    (tmp_path / '2.tar').unlink()
    run_tool(*arguments, '--processes', 1)
    with pytest.raises(SystemExit, match='error: .*none/.*no such shards'):
        run_tool('dataset_converters/index_shards', tmp_path / 'none' / '*.tar')
