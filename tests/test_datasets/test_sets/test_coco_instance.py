"""COCO instance files."""

from __future__ import annotations

import copy
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from xdet.datasets import CocoInstanceSegDataset
from xdet.datasets.vocab import get_vocabulary

PIPELINE = [dict(type='LoadXDetImage'), dict(type='LoadSegments'), dict(type='PackXDetInputs')]


def test_masks_overlap_and_crowds_are_left_out(tiny_coco) -> None:
    dataset = CocoInstanceSegDataset(**tiny_coco.instance_cfg(pipeline=PIPELINE))
    assert dataset.metainfo['classes'] == ('car', 'train') and all(dataset.vocabulary.is_thing)
    segments = dataset[0]['data_samples'].gt_segments
    assert segments.labels.tolist() == [0, 1]
    expected = np.zeros((2, 6, 8), dtype=bool)
    expected[0, 0:3, 0:4] = True
    expected[1, 1:5, 2:6] = True
    np.testing.assert_array_equal(segments.masks.numpy(), expected)


def test_an_image_without_instances_has_no_segments(tiny_coco) -> None:
    dataset = CocoInstanceSegDataset(**tiny_coco.instance_cfg(pipeline=PIPELINE))
    assert dataset[1]['data_samples'].gt_segments.masks.shape == (0, 6, 8)


def test_empty_images_are_filtered_for_training_only(tiny_coco) -> None:
    cfg = tiny_coco.instance_cfg(filter_cfg=dict(filter_empty_gt=True))
    assert len(CocoInstanceSegDataset(**cfg)) == 1
    assert len(CocoInstanceSegDataset(**cfg, test_mode=True)) == 2


def test_chosen_classes_leave_the_others_out(tiny_coco) -> None:
    dataset = CocoInstanceSegDataset(**tiny_coco.instance_cfg(metainfo=dict(classes=('train',))))
    assert dataset.get_cat_ids(0) == [0, 0]


def test_size_that_contradicts_the_image_is_an_error(tiny_coco) -> None:
    tiny_coco.instances = copy.deepcopy(tiny_coco.instances)
    tiny_coco.instances['images'][0]['height'] = 7
    dataset = CocoInstanceSegDataset(**tiny_coco.instance_cfg(pipeline=PIPELINE))
    with pytest.raises(ValueError, match=r'a\.png: image is 8x6 pixels but its annotation .* is for 8x7'):
        dataset[0]


def test_stray_annotations_are_named(tiny_coco) -> None:
    tiny_coco.instances['annotations'][0]['image_id'] = 99
    with pytest.raises(ValueError, match='image 99'):
        CocoInstanceSegDataset(**tiny_coco.instance_cfg())


def test_file_of_boxes_without_outlines_is_refused(tiny_coco) -> None:
    for annotation in tiny_coco.instances['annotations']:
        annotation['segmentation'] = []
    with pytest.raises(
        ValueError, match=r'instances\.json: 3 annotations are left out: 3 have no outline.*boxes_only=True'
    ):
        CocoInstanceSegDataset(**tiny_coco.instance_cfg())


def test_missing_folder_of_images_is_data_root(tiny_coco) -> None:
    for image in tiny_coco.instances['images']:
        image['file_name'] = f'img/{image["file_name"]}'
    cfg = {**tiny_coco.instance_cfg(), 'data_prefix': dict(img_path='img')}
    assert len(CocoInstanceSegDataset(**cfg)) == 2


def test_real_coco_gives_the_80_things(shared_data: Path) -> None:
    dataset = CocoInstanceSegDataset(
        ann_file='annotations/instances_val2017.json',
        data_root=str(shared_data / 'coco_sample'),
        data_prefix=dict(img='val2017'),
        pipeline=PIPELINE,
    )
    assert dataset.vocabulary == get_vocabulary('coco_instance')
    assert all(len(dataset[index]['data_samples'].gt_segments) for index in range(3))


def test_boxes_only(tiny_coco) -> None:
    for annotation in tiny_coco.instances['annotations']:
        del annotation['segmentation']
    tiny_coco.instances['annotations'].append(dict(id=9, image_id=11, category_id=3, bbox=[1, 1, 0, 2]))
    pipeline = [
        dict(type='LoadXDetImage'),
        dict(type='LoadSegments'),
        dict(type='LargeScaleJitter', size=(12, 16), scale_range=(1.0, 1.0)),
        dict(type='PackXDetInputs', box_affinity=True),
    ]
    dataset = CocoInstanceSegDataset(**tiny_coco.instance_cfg(boxes_only=True, pipeline=pipeline))
    segments = dataset[0]['data_samples'].gt_segments
    # The crowd and the box without width are left out; everything is doubled.
    assert segments.boxes.tolist() == [[0, 0, 8, 6], [4, 2, 12, 10]] and segments.labels.tolist() == [0, 1]
    assert 'masks' not in segments and segments.alike.shape == (4, 3, 4)
    assert len(dataset[1]['data_samples'].gt_segments.boxes) == 0


def test_files_are_found_in_the_other_form_of_unicode(tiny_coco) -> None:
    """Names in the file have one character for an accented letter, those that macOS wrote two."""
    decomposed, composed = (unicodedata.normalize(form, 'Zoë.png') for form in ('NFD', 'NFC'))
    (tiny_coco.root / 'img' / 'a.png').rename(tiny_coco.root / 'img' / decomposed)
    tiny_coco.images[0]['file_name'] = composed
    ann_file = tiny_coco.write('other.json', tiny_coco.instances)
    dataset = CocoInstanceSegDataset(**tiny_coco.instance_cfg(pipeline=PIPELINE, ann_file=ann_file))
    assert len(dataset) == 2 and Path(dataset.get_data_info(0)['img_path']).exists()
    assert dataset[0]['data_samples'].gt_segments.labels.tolist() == [0, 1]
