"""COCO panoptic files: labels, segments, and errors a user can act on."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny.mutation import mutated

from xdet.datasets import CocoPanopticSegDataset
from xdet.datasets.vocab import get_vocabulary, loading


def test_classes_are_things_then_stuff_by_id(tiny_coco) -> None:
    dataset = CocoPanopticSegDataset(**tiny_coco.panoptic_cfg())
    assert dataset.metainfo['classes'] == ('car', 'train', 'grass', 'sky-merged')
    assert dataset.vocabulary.is_thing == (True, True, False, False)
    info = dataset.get_data_info(0)
    assert info['vocabulary'] == dataset.vocabulary and info['img_id'] == 11
    assert (info['height'], info['width']) == (6, 8)
    assert info['segments_info'] == [
        dict(id=300, label=0, is_thing=True, iscrowd=False),
        dict(id=70000, label=3, is_thing=False, iscrowd=False),
        dict(id=5, label=1, is_thing=True, iscrowd=True),
    ]
    assert Path(info['img_path']).is_file() and Path(info['seg_map_path']).is_file()


def test_chosen_classes_make_the_others_void(tiny_coco) -> None:
    dataset = CocoPanopticSegDataset(**tiny_coco.panoptic_cfg(metainfo=dict(classes=('sky-merged', 'car'))))
    assert [segment['label'] for segment in dataset.get_data_info(0)['segments_info']] == [1, 0, -1]
    assert dataset.get_cat_ids(0) == [1, 0]


def test_semantic_maps_may_know_the_background(tiny_coco) -> None:
    (tiny_coco.root / 'sem').mkdir()
    labels = np.zeros((6, 8), np.uint8)
    labels[0, :3] = (1, 4, 255)
    for name in ('a', 'b'):
        Image.fromarray(labels).save(tiny_coco.root / 'sem' / f'{name}.png')
    steps = [dict(type='LoadXDetImage'), dict(type='LoadSegments'), dict(type='PackXDetInputs', test_mode=True)]
    cfg = tiny_coco.panoptic_cfg(data_prefix=dict(img='img', seg='seg', sem='sem'), pipeline=steps, test_mode=True)
    values = dict(label_offset=1, background_label=0)
    sample = CocoPanopticSegDataset(**cfg, sem_map_values=values)[0]['data_samples']
    assert sample.gt_sem_seg.sem_seg[0, 0].tolist() == [0, 3, -1, *[-2] * 5]
    with pytest.raises(ValueError, match="sem_map_values has 'background'; accepted are ignore_label, label_offset"):
        CocoPanopticSegDataset(**cfg, sem_map_values=dict(background=0))


def test_images_with_several_of_a_class(tiny_coco) -> None:
    first = tiny_coco.panoptic['annotations'][0]['segments_info']
    first += [dict(first[0], id=9), dict(first[2], id=10, iscrowd=0)]  # two cars; a train and a crowd of them

    def kept(*names: str, **options: Any) -> list[int]:
        cfg = tiny_coco.panoptic_cfg(filter_cfg=dict(several_of=names), **options)
        dataset = CocoPanopticSegDataset(**cfg)
        return [dataset.get_data_info(index)['img_id'] for index in range(len(dataset))]

    assert kept('train', 'car') == [11] and kept('car', test_mode=True) == kept('train', test_mode=True)
    with pytest.raises(ValueError, match='no image has several segments of train'):
        kept('train')
    with pytest.raises(ValueError, match="several_of names 'dog'; the classes are car, train"):
        kept('dog')


def test_indices_choose_a_part(tiny_coco) -> None:
    assert len(CocoPanopticSegDataset(**tiny_coco.panoptic_cfg(indices=1))) == 1


def test_serialising_changes_nothing(tiny_coco) -> None:
    plain, serialised = (CocoPanopticSegDataset(**tiny_coco.panoptic_cfg(serialize_data=on)) for on in (False, True))
    assert [plain.get_data_info(index) for index in range(2)] == [serialised.get_data_info(index) for index in range(2)]


def test_annotation_file_must_exist_and_be_coco(tiny_coco) -> None:
    with pytest.raises(FileNotFoundError, match='nowhere.json: annotation file does not exist'):
        CocoPanopticSegDataset(**tiny_coco.panoptic_cfg(ann_file='nowhere.json'))
    for content, message in (
        ('{"images": [', 'not valid JSON'),
        ('[]', 'images, annotations, categories are missing'),
        ('{"images": [], "categories": []}', 'annotations are missing'),
    ):
        path = tiny_coco.write('broken.json', content)
        with pytest.raises(ValueError, match=f'broken.json: .*{message}'):
            CocoPanopticSegDataset(**tiny_coco.panoptic_cfg(ann_file=path))


def test_missing_images_are_counted_or_skipped(tiny_coco) -> None:
    (tiny_coco.root / 'img' / 'b.png').unlink()
    with pytest.raises(FileNotFoundError, match=r"panoptic.json: 1 listed file.*b\.png.*missing_images='skip'"):
        CocoPanopticSegDataset(**tiny_coco.panoptic_cfg())
    dataset = CocoPanopticSegDataset(**tiny_coco.panoptic_cfg(missing_images='skip'))
    assert [dataset.get_data_info(index)['img_id'] for index in range(len(dataset))] == [11]
    (tiny_coco.root / 'seg' / 'a.png').unlink()
    with pytest.raises(ValueError, match='2 listed file.*nothing is left'):
        CocoPanopticSegDataset(**tiny_coco.panoptic_cfg(missing_images='skip'))
    with pytest.raises(ValueError, match="accepted are 'error' and 'skip'"):
        CocoPanopticSegDataset(**tiny_coco.panoptic_cfg(missing_images='ignore'))


def test_inconsistent_annotations_are_named(tiny_coco) -> None:
    def broken(change) -> dict:
        content = copy.deepcopy(tiny_coco.panoptic)
        change(content)
        return tiny_coco.panoptic_cfg(ann_file=tiny_coco.write('broken.json', content))

    def unknown_category(content: dict) -> None:
        content['annotations'][0]['segments_info'][0]['category_id'] = 44

    def unknown_image(content: dict) -> None:
        content['annotations'][1]['image_id'] = 99

    with pytest.raises(ValueError, match=r'image 11: .* category id 44.*its ids are 3, 7, 150, 200'):
        CocoPanopticSegDataset(**broken(unknown_category))
    with pytest.raises(ValueError, match='image 99, which the file does not list'):
        CocoPanopticSegDataset(**broken(unknown_image))
    with pytest.raises(ValueError, match='the split is empty'):
        CocoPanopticSegDataset(**broken(lambda content: content['annotations'].clear()))
    with pytest.raises(ValueError, match='no category named boat; its categories are car'):
        CocoPanopticSegDataset(**tiny_coco.panoptic_cfg(metainfo=dict(classes=('boat',))))


def test_real_coco_gives_the_official_order(shared_data: Path) -> None:
    dataset = CocoPanopticSegDataset(
        ann_file='annotations/panoptic_val2017.json',
        data_root=str(shared_data / 'coco_sample'),
        data_prefix=dict(img='val2017', seg='panoptic_val2017'),
    )
    assert len(dataset) == 60
    assert dataset.vocabulary == get_vocabulary('coco_panoptic')


def test_instances_given_as_panoptic_are_named(tiny_coco) -> None:
    cfg = tiny_coco.panoptic_cfg(ann_file=tiny_coco.write('instances.json', tiny_coco.instances))
    with pytest.raises(ValueError, match=r"instances\.json: image 11: 'segments_info' is missing.*file of instances\?"):
        CocoPanopticSegDataset(**cfg)


def test_missing_folder_of_labels_is_named(tiny_coco) -> None:
    with pytest.raises(ValueError, match="data_prefix has no folder 'seg'; it has img"):
        CocoPanopticSegDataset(**tiny_coco.panoptic_cfg(data_prefix=dict(img='img')))


def test_class_called_background_is_said(tiny_coco, monkeypatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(loading, 'warn_once', said.append)
    content = copy.deepcopy(tiny_coco.panoptic)
    content['categories'][0]['name'] = 'Background'
    CocoPanopticSegDataset(**tiny_coco.panoptic_cfg(ann_file=tiny_coco.write('b.json', content)))
    assert len(said) == 1 and "b.json: a class is called 'background', which also stands for no object" in said[0]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_files_load_or_are_named(tiny_coco, data: st.DataObject) -> None:
    path = tiny_coco.write('mutated.json', mutated(tiny_coco.panoptic, data))
    try:
        CocoPanopticSegDataset(**tiny_coco.panoptic_cfg(ann_file=path))
    except (ValueError, FileNotFoundError) as error:
        assert path in str(error) and '\n' not in str(error)
