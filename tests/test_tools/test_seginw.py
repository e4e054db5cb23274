"""Segmentation in the Wild from exports of Roboflow to the values of its benchmarks."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
from PIL import Image
from tiny.benchmarks import ROOT, benchmark_dataset, score_ground_truth
from tiny.tools import run_tool

from xdet.benchmarks.fragments import list_benchmarks, load_benchmark
from xdet.datasets.vocab import get_vocabulary

ANNOTATIONS = '_annotations_min1cat.coco.json'


def rectangle(left: float, top: float, width: float, height: float) -> list[list[float]]:
    return [[left, top, left + width, top, left + width, top + height, left, top + height]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The set Strawberry with two images of 40x30, as Roboflow exports it."""
    folder = tmp_path / 'Strawberry' / 'valid'
    folder.mkdir(parents=True)
    images = []
    for number in (0, 1):
        Image.new('RGB', (40, 30)).save(folder / f'{number}_jpg.rf.jpg')
        images.append(dict(id=number, file_name=f'{number}_jpg.rf.jpg', height=30, width=40, license=1))
    boxes = [(0, 1, (2, 2, 20, 10)), (0, 2, (10, 12, 25, 15)), (1, 1, (0, 0, 40, 30))]
    content = dict(
        images=images,
        categories=[
            dict(id=0, name='strawberry', supercategory='none'),
            dict(id=1, name='R_strawberry', supercategory='strawberry'),
            dict(id=2, name='people', supercategory='strawberry'),
        ],
        annotations=[
            dict(id=i, image_id=image, category_id=label, bbox=list(box), area=box[2] * box[3], iscrowd=0,
                 segmentation=rectangle(*box))
            for i, (image, label, box) in enumerate(boxes)
        ],
    )  # fmt: skip
    (folder / '_annotations.coco.json').write_text(json.dumps(content))
    return tmp_path


def convert(root: Path, *options: str) -> None:
    run_tool('dataset_converters/seginw', root, '--sets', 'Strawberry', *options)


def edit(root: Path, name: str, **changes) -> None:
    path = root / 'Strawberry/valid' / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_the_project_is_no_class(root: Path, capsys) -> None:
    convert(root)
    assert '2 images       3 objects' in capsys.readouterr().out
    content = json.loads((root / 'Strawberry/valid' / ANNOTATIONS).read_text())
    assert [(category['id'], category['name']) for category in content['categories']] == [
        (0, 'R_strawberry'),
        (1, 'people'),
    ]
    assert [annotation['category_id'] for annotation in content['annotations']] == [0, 1, 0]


@pytest.mark.parametrize('protocol', ['official', 'recommended'])
def test_ground_truth_scores_100(root: Path, protocol: str) -> None:
    convert(root)
    values = score_ground_truth('seginw-strawberry', root, protocol)
    assert values['instance/AP'] == pytest.approx(100)
    assert score_ground_truth('seginw-strawberry', root, protocol, shift=1)['instance/AP'] == 0
    dataset = benchmark_dataset('seginw-strawberry', root, protocol)
    assert dataset.vocabulary.names == get_vocabulary('seginw_strawberry').names
    assert tuple(dataset[0]['inputs'].shape[1:]) == ((512, 682) if protocol == 'official' else (512, 683))


def test_the_benchmark_has_25_sets() -> None:
    sets = runpy.run_path(str(ROOT / 'tools/dataset_converters/seginw.py'))['SETS']
    names = list_benchmarks('seginw-*')
    assert sorted(names) == sorted(f'seginw-{name.lower()}' for name in sets) and len(names) == 25
    for name in sets:
        benchmark = load_benchmark(f'seginw-{name.lower()}')
        assert benchmark.facts['family'] == 'seginw' and benchmark.facts['title'] == f'SegInW {name}'
        path = f'{benchmark.data_root}{benchmark.cfg.test_dataloader.dataset.ann_file}'
        assert benchmark.cfg.test_evaluator.ann_file == path == f'data/seginw/{name}/valid/{ANNOTATIONS}'


def test_published_files_are_kept(root: Path) -> None:
    convert(root)
    (root / 'Strawberry/valid/_annotations.coco.json').unlink()
    before = (root / 'Strawberry/valid' / ANNOTATIONS).read_bytes()
    convert(root, '--overwrite')
    assert (root / 'Strawberry/valid' / ANNOTATIONS).read_bytes() == before


def test_unusable_sets_are_named(root: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f'{ANNOTATIONS}: annotation file does not exist'):
        benchmark_dataset('seginw-strawberry', root)
    with pytest.raises(SystemExit, match='SegInW Puppies'):
        run_tool('dataset_converters/seginw', root, '--sets', 'Puppies')
    convert(root, '--dry-run')
    assert not (root / 'Strawberry/valid' / ANNOTATIONS).exists()
    convert(root)
    edit(root, ANNOTATIONS, categories=[dict(id=0, name='strawberry')])
    with pytest.raises(SystemExit, match='its classes are strawberry; those of the benchmark R_strawberry, people'):
        convert(root, '--overwrite')
    (root / 'Strawberry/valid' / ANNOTATIONS).unlink()
    (root / 'Strawberry/valid/1_jpg.rf.jpg').unlink()
    with pytest.raises(SystemExit, match='1 listed images do not exist, the first is .*1_jpg.rf.jpg'):
        convert(root, '--overwrite')
    annotation = dict(id=7, image_id=0, category_id=0, bbox=[0, 0, 1, 1], segmentation=[], area=1)
    edit(root, '_annotations.coco.json', annotations=[annotation])
    with pytest.raises(SystemExit, match='annotation 7 is of category 0'):
        convert(root, '--overwrite')
