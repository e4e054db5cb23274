"""Predictions in COCO's result formats are what COCO's own code reads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmengine.structures import InstanceData
from PIL import Image
from pycocotools.coco import COCO
from tiny.coco import TinyCoco
from tiny.mutation import mutated

from xdet.evaluation import CocoResults
from xdet.structures import Vocabulary, XDetDataSample, segment_map

VOCABULARY = Vocabulary(('car', 'train', 'sky-merged', 'unheard of'), (True, True, False, True))


def sample(image_id: int = 11, **fields: object) -> dict:
    made = XDetDataSample(metainfo=dict(img_id=image_id, img_path='a.png', ori_shape=(6, 8)))
    for name, value in fields.items():
        setattr(made, name, value)
    return made.to_dict()


def instances() -> InstanceData:
    masks = torch.zeros(3, 6, 8, dtype=torch.bool)
    masks[0, :3, :4] = masks[1, 1:5, 2:6] = masks[2, 0, 0] = True
    boxes = torch.tensor([[0.0, 0, 4, 3], [2, 1, 6, 5], [0, 0, 1, 1]])
    return InstanceData(
        masks=masks, bboxes=boxes, labels=torch.tensor([0, 1, 3]), scores=torch.tensor([0.5, 0.25, 0.9])
    )


def metric(kind: type, ann_file: str, **options: object):
    made = kind(ann_file=ann_file, **options)
    made.dataset_meta = dict(vocabulary=VOCABULARY)
    return made


def test_instances_are_what_cocos_code_reads(tiny_coco: TinyCoco, tmp_path: Path) -> None:
    content = dict(tiny_coco.instances, annotations=tiny_coco.instances['annotations'][:2])
    ann_file = tiny_coco.write('instances.json', content)
    writer = metric(CocoResults, ann_file, out_dir=str(tmp_path / 'out'))
    writer.process(None, [sample(pred_instances=instances())])
    assert writer.evaluate(1) == {'coco/instances': 2}
    rows = json.loads((tmp_path / 'out/segm.json').read_text())
    assert [row['category_id'] for row in rows] == [3, 7] and [row['score'] for row in rows] == [0.5, 0.25]
    found = COCO(ann_file).loadRes(str(tmp_path / 'out/segm.json'))
    np.testing.assert_array_equal(found.annToMask(found.dataset['annotations'][0]), instances().masks[0].numpy())
    boxes = json.loads((tmp_path / 'out/bbox.json').read_text())
    assert [row['bbox'] for row in boxes] == [[0, 0, 4, 3], [2, 1, 4, 4]] and 'segmentation' not in boxes[0]


def test_panoptic_maps(tiny_coco: TinyCoco, tmp_path: Path) -> None:
    ids = torch.zeros(6, 8, dtype=torch.int32)
    ids[:3], ids[3:, :4], ids[5, 7] = 300, 2, 7
    segments = [dict(id=300, label=2), dict(id=2, label=0), dict(id=7, label=3)]
    writer = metric(CocoResults, tiny_coco.panoptic_cfg()['ann_file'], out_dir=str(tmp_path / 'out'))
    writer.process(None, [sample(pred_panoptic_seg=segment_map(ids, segments))])
    assert writer.evaluate(1) == {'coco/panoptic_segments': 2}
    [entry] = json.loads((tmp_path / 'out/panoptic.json').read_text())['annotations']
    assert entry['image_id'] == 11 and entry['file_name'] == 'a.png'
    assert entry['segments_info'] == [dict(id=300, category_id=200), dict(id=2, category_id=3)]
    with Image.open(tmp_path / 'out/panoptic/a.png') as image:
        written = np.asarray(image).astype(int) @ [1, 256, 65536]
    np.testing.assert_array_equal(written, np.where(ids == 7, 0, ids))


@pytest.mark.parametrize(
    ('found', 'message'),
    [(sample(), 'it has none of them'), (sample(5, pred_instances=instances()), 'its id 5 is not in')],
)
def test_what_cannot_be_written(tiny_coco: TinyCoco, tmp_path: Path, found: dict, message: str) -> None:
    writer = metric(CocoResults, tiny_coco.instance_cfg()['ann_file'], out_dir=str(tmp_path / 'out'))
    with pytest.raises(ValueError, match=message):
        writer.process(None, [found])


def test_png_names_stay_in_the_folder_and_apart(tiny_coco: TinyCoco, tmp_path: Path) -> None:
    names = [str(tmp_path / 'img/a.png'), '../../b.jpg', 'c.jpg', 'c.png', 'd/c.jpg', 'C:\\x\\e.jpg', '..']
    tiny_coco.panoptic['images'] = [dict(id=number, file_name=name) for number, name in enumerate(names, 11)]
    tiny_coco.panoptic['annotations'] = []
    writer = metric(CocoResults, tiny_coco.panoptic_cfg()['ann_file'], out_dir=str(tmp_path / 'out'))
    inside = str(tmp_path / 'img/a.png').lstrip('/')
    assert list(writer.png_names.values()) == [
        inside,
        'b.png',
        'c.jpg.png',
        'c.png.png',
        'd/c.png',
        'C:/x/e.png',
        '17.png',
    ]
    before = (tmp_path / 'img/a.png').read_bytes()
    writer.process(None, [sample(pred_panoptic_seg=segment_map(torch.ones(6, 8), [dict(id=1, label=0)]))])
    assert (tmp_path / 'img/a.png').read_bytes() == before
    assert (tmp_path / 'out/panoptic' / inside).is_file()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_files_are_read_or_named(tiny_coco: TinyCoco, data: st.DataObject) -> None:
    path = tiny_coco.write('mutated.json', mutated(tiny_coco.panoptic, data))
    try:
        CocoResults(path, out_dir='out')
    except ValueError as error:
        assert path in str(error) and '\n' not in str(error)
