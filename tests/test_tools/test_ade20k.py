"""ADE20K, 150 and 847 classes, from the layouts in which they are published to the values of the benchmarks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny.benchmarks import benchmark_dataset, score_ground_truth
from tiny.tools import run_tool

from xdet.datasets.vocab import get_class_list, get_vocabulary

WALL, SKY, BED, WINDOW, TV = 0, 2, 7, 8, 89


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two pictures: wall, sky, two beds, a window, a television that is no object, and void."""
    root = tmp_path / 'ADEChallengeData2016'
    for folder in ('images', 'annotations', 'annotations_instance'):
        (root / folder / 'validation').mkdir(parents=True)
    classes = np.repeat([[WALL, SKY, BED, BED, WINDOW, TV, -1, WALL]], 6, axis=0)
    objects = np.repeat([[0, 0, 1, 2, 3, 0, 0, 0]], 6, axis=0)
    things = get_vocabulary('ade20k_150').things
    number = [1 + things.index(name) for name in ('bed', 'windowpane')]
    red = np.repeat([[0, 0, number[0], number[0], number[1], 0, 0, 0]], 6, axis=0)
    for name in ('ADE_val_00000001', 'ADE_val_00000002'):
        Image.new('RGB', (8, 6)).save(root / 'images/validation' / f'{name}.jpg')
        Image.fromarray((classes + 1).astype(np.uint8)).save(root / 'annotations/validation' / f'{name}.png')
        pixels = np.stack([red, objects, np.zeros_like(red)], axis=-1).astype(np.uint8)
        Image.fromarray(pixels).save(root / 'annotations_instance/validation' / f'{name}.png')
    return root


def convert(root: Path, *options: str) -> None:
    run_tool('dataset_converters/ade20k', root, *options)


def test_annotations(root: Path, capsys: pytest.CaptureFixture) -> None:
    convert(root)
    assert 'validation: 2 images; 4 files' in capsys.readouterr().out
    panoptic = json.loads((root / 'ade20k_panoptic_val.json').read_text())
    assert len(panoptic['categories']) == 150 and sum(c['isthing'] for c in panoptic['categories']) == 100
    segments = panoptic['annotations'][0]['segments_info']
    assert [segment['category_id'] for segment in segments] == [WALL, SKY, BED, BED, WINDOW]
    assert segments[2] == dict(id=3, category_id=BED, area=6, bbox=[2, 0, 1, 6], iscrowd=0)
    instances = json.loads((root / 'ade20k_instance_val.json').read_text())
    assert len(instances['categories']) == 100 and len(instances['annotations']) == 6
    assert {a['category_id'] for a in instances['annotations']} == {BED, WINDOW}


@pytest.mark.parametrize('protocol', ['official', 'recommended'])
def test_ground_truth_scores_100(root: Path, protocol: str) -> None:
    convert(root)
    values = score_ground_truth('ade20k-150', root, protocol)
    assert values['panoptic/PQ'] == values['semantic/mIoU'] == 100
    assert values['instance/AP'] == pytest.approx(100)
    wrong = score_ground_truth('ade20k-150', root, protocol, shift=1)
    assert wrong['panoptic/PQ'] == 0 and wrong['instance/AP'] == 0 and wrong['semantic/mIoU'] < 25


def test_semantic_truth_has_things_without_an_object(root: Path) -> None:
    convert(root)
    dataset = benchmark_dataset('ade20k-150', root, 'official')
    sample = dataset[0]['data_samples']
    assert sample.gt_sem_seg.sem_seg[0, 0].tolist() == [WALL, SKY, BED, BED, WINDOW, TV, -1, WALL]
    assert sample.gt_panoptic_seg.sem_seg[0, 0].tolist() == [1, 2, 3, 4, 5, 0, 0, 1]
    assert dataset[0]['inputs'].shape == (3, 640, 853)
    assert sample.vocabulary.texts[WINDOW] == ('window',)
    assert len(benchmark_dataset('ade20k-150', root)[0]['data_samples'].vocabulary.texts[WINDOW]) > 1


def test_files_of_other_scripts_are_understood(root: Path) -> None:
    """Categories in another order, with ids of their own and all synonyms, as mmdet's script writes them."""
    convert(root)
    path = root / 'ade20k_panoptic_val.json'
    content = json.loads(path.read_text())
    changed = {WALL: ('wall', 900), WINDOW: ('window ', 3), TV: ('tv', 7000), BED: ('bed', 12345)}
    for category in content['categories']:
        category['name'], category['id'] = changed.get(category['id'], (category['name'], category['id'] + 20000))
    content['categories'].reverse()
    for annotation in content['annotations']:
        for segment in annotation['segments_info']:
            old = segment['category_id']
            segment['category_id'] = changed.get(old, ('', old + 20000))[1]
    path.write_text(json.dumps(content))
    assert score_ground_truth('ade20k-150', root)['panoptic/PQ'] == 100
    del content['categories'][0]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="has no category for flag; it does not belong to class list 'ade20k_150'"):
        benchmark_dataset('ade20k-150', root)
    content['categories'][0] = dict(content['categories'][-1], id=5)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="the categories 5 and 900 are both called 'wall'"):
        benchmark_dataset('ade20k-150', root)


def test_incomplete_or_wrong_data_are_named(root: Path) -> None:
    path = root / 'annotations_instance/validation/ADE_val_00000002.png'
    Image.new('RGB', (4, 4)).save(path)
    with pytest.raises(SystemExit, match='ADE_val_00000002.png: not an instance image of the size of'):
        convert(root)
    path.unlink()
    with pytest.raises(SystemExit, match='annotations_instance/validation/ADE_val_00000002.png: label image does not'):
        convert(root)
    with pytest.raises(SystemExit, match='images/training: no such folder'):
        convert(root, '--splits', 'training')
    with pytest.raises(FileNotFoundError, match='ade20k_panoptic_val.json: annotation file does not exist'):
        benchmark_dataset('ade20k-150', root)
    assert not (root / 'ade20k_val.sha256').exists()


@pytest.fixture
def full_root(tmp_path: Path) -> Path:
    """A picture that is made smaller and one that is not, in the published layout of the full data set."""
    classes = get_class_list('ade20k_847')
    bags = [label for label, name in enumerate(classes.names) if name == 'bag']
    ids = np.array([classes.ids[0], classes.ids[bags[1]], classes.ids[846], 1])  # the last is none of the 847
    for name, scale in (('ADE_val_00000001', 1), ('ADE_val_00000002', 256)):
        folder = tmp_path / 'images/ADE/validation/indoor'
        folder.mkdir(parents=True, exist_ok=True)
        colours = np.stack([ids // 256 * 10, ids % 256, np.zeros_like(ids)], axis=-1).astype(np.uint8)
        colours = np.repeat(np.repeat(colours[None], 3 * scale, axis=0), scale, axis=1)
        Image.fromarray(colours).save(folder / f'{name}_seg.png')
        Image.new('RGB', (4 * scale, 3 * scale)).save(folder / f'{name}.jpg')
    return tmp_path


def test_847_classes(full_root: Path) -> None:
    run_tool('dataset_converters/ade20k_full', full_root)
    labels = full_root / 'annotations_detectron2/validation'
    with Image.open(labels / 'ADE_val_00000001.tif') as image:
        assert np.array(image).dtype == np.uint16 and np.array(image)[0].tolist() == [0, 191, 846, 65535]
    with Image.open(labels / 'ADE_val_00000002.tif') as image:
        assert image.size == (683, 512)
    dataset = benchmark_dataset('ade20k-847', full_root, 'official')
    assert dataset.vocabulary.names[191] == 'bag' and len(dataset) == 2
    for protocol in ('official', 'recommended'):
        assert score_ground_truth('ade20k-847', full_root, protocol)['semantic/mIoU'] == 100
    assert score_ground_truth('ade20k-847', full_root, shift=1)['semantic/mIoU'] == 0
