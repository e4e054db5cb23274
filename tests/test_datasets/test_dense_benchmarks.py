"""COCO 2017 in its published layout, and real samples of dense benchmarks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny.benchmarks import benchmark_dataset, score_ground_truth
from tiny.tools import run_tool

from xdet.datasets.files.panoptic_files import (
    annotation_file,
    categories_of,
    describe_segments,
    instance_annotation,
)
from xdet.datasets.vocab import get_vocabulary
from xdet.structures.masks.panoptic import panoptic_pixels

PERSON, DOG, SKY, RUG = 0, 16, 119, 132


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two pictures: sky, a rug, a person, two dogs and void; the second is void altogether."""
    for folder in ('val2017', 'panoptic_val2017', 'annotations'):
        (tmp_path / folder).mkdir()
    vocabulary = get_vocabulary('coco_panoptic')
    categories = categories_of(vocabulary, ids=range(1, 134))
    labels = [SKY, RUG, PERSON, DOG, DOG]
    maps = [np.repeat([[1, 1, 2, 3, 4, 5, 0, 0]], 6, axis=0), np.zeros((6, 8), dtype=int)]
    images, annotations, instances = [], [], []
    for number, indices in enumerate(maps, start=1):
        name = f'{number:012}'
        images.append(dict(id=number, file_name=f'{name}.jpg', height=6, width=8))
        segments = describe_segments(indices, [label + 1 for label in labels])
        annotations.append(dict(image_id=number, file_name=f'{name}.png', segments_info=segments))
        instances += [
            instance_annotation(indices == segment['id'], number, segment['category_id'])
            for segment in segments
            if segment['category_id'] <= 80
        ]
        Image.new('RGB', (8, 6)).save(tmp_path / 'val2017' / f'{name}.jpg')
        Image.fromarray(panoptic_pixels(indices)).save(tmp_path / 'panoptic_val2017' / f'{name}.png')
    write(tmp_path, 'panoptic', dict(images=images, annotations=annotations, categories=categories))
    write(tmp_path, 'instances', annotation_file(images, instances, categories[:80]))
    return tmp_path


def write(root: Path, kind: str, content: dict) -> None:
    (root / 'annotations' / f'{kind}_val2017.json').write_text(json.dumps(content))


@pytest.mark.parametrize('protocol', ['official', 'recommended'])
def test_ground_truth_scores_100(root: Path, protocol: str) -> None:
    values = score_ground_truth('coco-2017', root, protocol)
    assert values['panoptic/PQ'] == values['panoptic/PQ_th'] == values['panoptic/PQ_st'] == 100
    assert values['semantic/mIoU'] == 100
    assert values['instance/AP'] == pytest.approx(100) and values['instance/box_AP'] == pytest.approx(100)
    wrong = score_ground_truth('coco-2017', root, protocol, shift=1)
    assert wrong['panoptic/PQ'] == wrong['instance/AP'] == wrong['semantic/mIoU'] == 0


def test_vocabulary_is_the_official_one(root: Path) -> None:
    dataset = benchmark_dataset('coco-2017', root)
    assert dataset.vocabulary == get_vocabulary('coco_panoptic')
    assert dataset[0]['inputs'].shape == (3, 800, 1067)
    assert dataset[0]['data_samples'].tasks == ('semantic', 'panoptic', 'instance')


def test_wrong_layouts_are_named(root: Path) -> None:
    instances = json.loads((root / 'annotations/instances_val2017.json').read_text())
    write(root, 'instances', dict(instances, images=instances['images'][:1]))
    with pytest.raises(ValueError, match='image 2 was evaluated but is not in the annotation file'):
        score_ground_truth('coco-2017', root)
    (root / 'annotations/instances_val2017.json').unlink()
    with pytest.raises(FileNotFoundError, match='instances_val2017.json: annotation file does not exist'):
        score_ground_truth('coco-2017', root)
    (root / 'panoptic_val2017/000000000002.png').unlink()
    with pytest.raises(FileNotFoundError, match='1 listed file.*panoptic_val2017/000000000002.png'):
        benchmark_dataset('coco-2017', root)[0]
    content = json.loads((root / 'annotations/panoptic_val2017.json').read_text())
    write(root, 'panoptic', dict(content, categories=content['categories'][:80]))
    with pytest.raises(ValueError, match="has no category for banner.*does not belong to class list 'coco_panoptic'"):
        benchmark_dataset('coco-2017', root)
    repeated = [*content['categories'], dict(content['categories'][0], id=500)]
    write(root, 'panoptic', dict(content, categories=repeated))
    with pytest.raises(ValueError, match="both called 'person'"):
        benchmark_dataset('coco-2017', root)
    content['annotations'][0]['segments_info'][0]['category_id'] = 700
    write(root, 'panoptic', content)
    with pytest.raises(ValueError, match='image 1: segment 1 is of category id 700'):
        benchmark_dataset('coco-2017', root)


def test_categories_outside_of_the_list_are_void(root: Path) -> None:
    content = json.loads((root / 'annotations/panoptic_val2017.json').read_text())
    content['categories'].append(dict(id=0, name='unlabeled', isthing=0))
    content['annotations'][0]['segments_info'][0]['category_id'] = 0
    write(root, 'panoptic', content)
    sample = benchmark_dataset('coco-2017', root)[0]['data_samples']
    assert sample.gt_sem_seg.sem_seg[0, 0].tolist() == [-1, -1, RUG, PERSON, DOG, DOG, -1, -1]


def test_real_coco(shared_data: Path, tmp_path: Path) -> None:
    """Real pictures in the published layout; their instances are made of the panoptic segments."""
    source = shared_data / 'coco_sample'
    for name in ('val2017', 'panoptic_val2017'):
        (tmp_path / name).symlink_to(source / name)
    (tmp_path / 'annotations').mkdir()
    for kind, file in (('panoptic', 'panoptic_val2017'), ('instances', 'instances_val2017_from_panoptic')):
        content = json.loads((source / 'annotations' / f'{file}.json').read_text())
        first = {image['id'] for image in content['images'][:5]}
        kept = [annotation for annotation in content['annotations'] if annotation['image_id'] in first]
        write(tmp_path, kind, dict(content, annotations=kept))
    values = score_ground_truth('coco-2017', tmp_path)
    assert values['panoptic/PQ'] == values['semantic/mIoU'] == 100
    assert values['instance/AP'] == pytest.approx(100)


def test_real_ade20k(shared_data: Path, tmp_path: Path) -> None:
    """Two real pictures: every class is read, and ground truth scores 100."""
    for folder in ('images', 'annotations', 'annotations_instance'):
        (tmp_path / folder / 'validation').mkdir(parents=True)
    for path in sorted((shared_data / 'ade20k_sample/labels/val').glob('*.png')):
        with Image.open(path) as image:
            labels = np.array(image)
        picture = shared_data / 'ade20k_sample/images/val' / f'{path.stem}.jpg'
        (tmp_path / 'images/validation' / picture.name).write_bytes(picture.read_bytes())
        Image.fromarray(labels + np.uint8(1)).save(tmp_path / 'annotations/validation' / path.name)
        Image.new('RGB', labels.shape[::-1]).save(tmp_path / 'annotations_instance/validation' / path.name)
    run_tool('dataset_converters/ade20k', tmp_path)
    sample = benchmark_dataset('ade20k-150', tmp_path)[0]['data_samples']
    assert set(sample.gt_sem_seg.sem_seg.unique().tolist()) - {-1} == set(np.unique(
        np.array(Image.open(shared_data / 'ade20k_sample/labels/val/ADE_val_00000001.png'))
    ).tolist()) - {255}  # fmt: skip
    values = score_ground_truth('ade20k-150', tmp_path)
    assert values['panoptic/PQ'] == values['semantic/mIoU'] == 100
