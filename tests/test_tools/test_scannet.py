"""ScanNet from the layout in which it is published to the values of its benchmarks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny.benchmarks import benchmark_dataset, score_ground_truth
from tiny.tools import run_tool

# NYU ids: wall 1, floor 2, chair 5, otherfurniture 39, and blinds 13, which is none of the 20 classes.
LABELS = np.repeat(np.array([[1, 1, 5, 5, 13, 39, 2, 0]], dtype=np.uint8), 6, axis=0)
INSTANCES = np.repeat(
    np.array([[1001, 1002, 5001, 5002, 13001, 39001, 2000, 0]], dtype=np.uint16), 6, axis=0
)  # two pieces of wall, two chairs


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two frames of two scenes, in the layout of scannet_frames_25k; a third scene is of another split."""
    for scene in ('scene0011_00', 'scene0015_00', 'scene0000_00'):
        folder = tmp_path / 'scannet_frames_25k' / scene
        for kind in ('color', 'label', 'instance'):
            (folder / kind).mkdir(parents=True)
        Image.new('RGB', (8, 6)).save(folder / 'color/000100.jpg')
        Image.fromarray(LABELS).save(folder / 'label/000100.png')
        Image.fromarray(INSTANCES).save(folder / 'instance/000100.png')
    (tmp_path / 'scannetv2_val.txt').write_text('scene0011_00\nscene0015_00\n')
    return tmp_path


def convert(root: Path, *options: str | Path) -> None:
    run_tool('dataset_converters/scannet', root, *options)


def test_labels_are_those_of_the_benchmark(root: Path, capsys) -> None:
    convert(root)
    # 2 frames with 3 images each, the panoptic file and two lists.
    assert '9 files' in capsys.readouterr().out
    with Image.open(root / 'labels_20/scene0011_00/color/000100.png') as twenty:
        assert np.array(twenty)[0].tolist() == [1, 1, 5, 5, 0, 20, 2, 0]
    with Image.open(root / 'labels_40/scene0011_00/color/000100.png') as forty:
        assert np.array(forty)[0].tolist() == LABELS[0].tolist()
    assert len((root / 'val_20.txt').read_text().splitlines()) == 2
    content = json.loads((root / 'scannet_panoptic.json').read_text())
    assert [category['id'] for category in content['categories']][-2:] == [36, 39]
    assert [category['name'] for category in content['categories'] if not category['isthing']] == ['wall', 'floor']
    segments = content['annotations'][0]['segments_info']
    assert [segment['id'] for segment in segments] == [1000, 2000, 5001, 5002, 39001]
    assert segments[0] == dict(id=1000, category_id=1, area=12, bbox=[0, 0, 2, 6], iscrowd=0)


@pytest.mark.parametrize('protocol', ['official', 'recommended'])
def test_ground_truth_scores_100(root: Path, protocol: str) -> None:
    convert(root)
    for name in ('scannet-20', 'scannet-40', 'scannet-40-oracle', 'scannet-panoptic'):
        values = score_ground_truth(name, root, protocol)
        assert values['semantic/mIoU'] == 100, name
    assert values['panoptic/PQ'] == values['panoptic/PQ_th'] == values['panoptic/PQ_st'] == 100
    wrong = score_ground_truth('scannet-panoptic', root, protocol, shift=1)
    assert wrong['panoptic/PQ'] == 0 and wrong['semantic/mIoU'] < 25


def test_frames_are_seen_as_published(root: Path) -> None:
    convert(root)
    sample = benchmark_dataset('scannet-20', root)[0]
    assert tuple(sample['inputs'].shape) == (3, 512, 682)  # bicubic, 512, long side rounded down
    np.testing.assert_array_equal(sample['data_samples'].gt_sem_seg.sem_seg[0, 0], [0, 0, 4, 4, -1, 19, 1, -1])


def test_raw_ids_need_the_label_map(root: Path) -> None:
    for folder in (root / 'scannet_frames_25k').iterdir():
        for kind in ('label', 'instance'):
            shutil.move(folder / kind, folder / f'{kind}-filt')
        raw = np.repeat(np.array([[21, 21, 2, 2, 700, 4000, 3, 0]], dtype=np.uint16), 6, axis=0)
        Image.fromarray(raw).save(folder / 'label-filt/000100.png')
        Image.fromarray((raw % 19 + 1).astype(np.uint8)).save(folder / 'instance-filt/000100.png')
    with pytest.raises(SystemExit, match='has raw ids.*scannetv2-labels.combined.tsv'):
        convert(root)
    table = root / 'labels.tsv'
    table.write_text('id\traw_category\tnyu40id\n21\twall\t1\n2\tchair\t5\n3\tfloor\t2\n700\tblinds\t13\n9\tx\t\n')
    convert(root, '--label-map', table)
    with Image.open(root / 'labels_20/scene0015_00/color/000100.png') as twenty:
        assert np.array(twenty)[0].tolist() == [1, 1, 5, 5, 0, 0, 2, 0]
    segments = json.loads((root / 'scannet_panoptic.json').read_text())['annotations'][0]['segments_info']
    assert [segment['category_id'] for segment in segments] == [1, 2, 5]
    table.write_text('a\tb\n1\t2\n')
    with pytest.raises(SystemExit, match='not the label map of ScanNet'):
        convert(root, '--label-map', table)


def test_dry_run_writes_nothing(root: Path, capsys) -> None:
    before = sorted(root.rglob('*'))
    convert(root, '--dry-run')
    assert sorted(root.rglob('*')) == before
    assert '2 of 2 items would be converted' in capsys.readouterr().out


def test_an_interrupted_run_goes_on(root: Path, capsys) -> None:
    broken = root / 'scannet_frames_25k/scene0015_00/label/000100.png'
    Image.fromarray(LABELS[:3]).save(broken)
    with pytest.raises(SystemExit, match=r'scene0015_00.*is 8x3 pixels but its frame 8x6'):
        convert(root)
    first = root / 'labels_20/scene0011_00/color/000100.png'
    written = first.stat().st_mtime_ns
    Image.fromarray(LABELS).save(broken)
    convert(root)
    assert first.stat().st_mtime_ns == written and (root / 'scannet_val.sha256').is_file()


def test_incomplete_data_are_named(root: Path) -> None:
    with pytest.raises(SystemExit, match='no such folder.*scannet_frames_25k.zip'):
        convert(root / 'scannet_frames_25k')
    (root / 'scannet_frames_25k/scene0015_00/instance/000100.png').unlink()
    with pytest.raises(SystemExit, match='instance/000100.png: annotation of .*does not exist'):
        convert(root)
    shutil.rmtree(root / 'scannet_frames_25k/scene0015_00')
    with pytest.raises(SystemExit, match='1 of 2 scenes are missing, the first is scene0015_00'):
        convert(root)
    (root / 'scannetv2_val.txt').unlink()
    with pytest.raises(SystemExit, match='scannetv2_val.txt'):
        convert(root)
