import json

import numpy as np
import torch
from mmengine.structures import InstanceData, PixelData
from pycocotools import mask as coco_mask

from xdet.inference.outputs.results import TASK_FORMATS
from xdet.structures import Vocabulary, XDetDataSample, decode_mask, encode_mask, segment_map
from xdet.tasks.segmentation_format import summarize_segments

VOCABULARY = Vocabulary(('dog', 'cat', 'grass'), (True, True, False))


def sample(**fields):
    result = XDetDataSample(metainfo=dict(vocabulary=VOCABULARY))
    for name, value in fields.items():
        setattr(result, name, value)
    return result


def blob(seed=0, size=(37, 53)):
    return np.random.RandomState(seed).rand(*size) > 0.6


def through_json(data):
    return json.loads(json.dumps(data))


def test_masks_survive_json():
    for mask in (blob(), np.zeros((4, 5), bool), np.ones((5, 4), bool), np.asfortranarray(blob(1))):
        encoded = through_json(encode_mask(mask))
        assert (decode_mask(encoded) == mask).all()
        assert coco_mask.area(encoded) == mask.sum()


def test_semantic():
    labels = torch.from_numpy(np.where(blob(), 2, 0))[None]
    labels[0, 0, 0] = -1
    data = sample(pred_sem_seg=PixelData(sem_seg=labels))
    segments = through_json(TASK_FORMATS['semantic'].results(data))['segments']
    assert [(item['label'], item['name'], item['is_thing']) for item in segments] == [
        (0, 'dog', True),
        (2, 'grass', False),
    ]
    for item in segments:
        assert (decode_mask(item['segmentation']) == (labels[0] == item['label']).numpy()).all()
    png = TASK_FORMATS['semantic'].maps(data)['semantic']
    assert png.dtype == np.uint8 and png[0, 0] == 255
    assert (np.where(png == 255, -1, png.astype(int)) == labels[0].numpy()).all()


def test_semantic_with_more_classes_than_a_byte_holds():
    many = Vocabulary(tuple(f'class {index}' for index in range(1203)), (True,) * 1203)
    data = XDetDataSample(metainfo=dict(vocabulary=many))
    data.pred_sem_seg = PixelData(sem_seg=torch.tensor([[[1202, -1]]]))
    png = TASK_FORMATS['semantic'].maps(data)['semantic']
    assert png.dtype == np.uint16 and png.tolist() == [[1202, 65535]]


def test_panoptic():
    ids = torch.from_numpy(np.where(blob(), 70001, 0).astype(np.int32))
    info = dict(id=70001, label=1, is_thing=True, score=0.875)
    data = sample(pred_panoptic_seg=segment_map(ids, [info]))
    (segment,) = through_json(TASK_FORMATS['panoptic'].results(data))['segments']
    assert (segment['id'], segment['name'], segment['score']) == (70001, 'cat', 0.875)
    assert segment['area'] == blob().sum()
    assert (decode_mask(segment['segmentation']) == blob()).all()
    png = TASK_FORMATS['panoptic'].maps(data)['panoptic'].astype(int)
    assert (png[..., 0] + 256 * png[..., 1] + 65536 * png[..., 2] == ids.numpy()).all()


def test_instances_overlap_and_come_best_first():
    masks = torch.from_numpy(np.stack([blob(0), blob(1)]))
    instances = InstanceData(
        masks=masks, labels=torch.tensor([0, 1]), scores=torch.tensor([0.25, 0.75]), bboxes=torch.zeros(2, 4)
    )
    segments = through_json(TASK_FORMATS['instance'].results(sample(pred_instances=instances)))['segments']
    assert [(item['name'], item['score']) for item in segments] == [('cat', 0.75), ('dog', 0.25)]
    assert (decode_mask(segments[0]['segmentation']) == blob(1)).all()
    assert TASK_FORMATS['instance'].maps(sample(pred_instances=instances)) == {}


def test_boxes_are_x_y_width_height():
    mask = np.zeros((20, 30), bool)
    mask[4:9, 10:22] = True
    data = sample(
        pred_instances=InstanceData(
            masks=torch.from_numpy(mask[None]), labels=torch.tensor([0]), scores=torch.tensor([1.0])
        )
    )
    assert TASK_FORMATS['instance'].results(data)['segments'][0]['bbox'] == [10, 4, 12, 5]


def test_nothing_found():
    empty = InstanceData(
        masks=torch.zeros(0, 4, 5, dtype=torch.bool), labels=torch.zeros(0, dtype=torch.int64), scores=torch.zeros(0)
    )
    assert TASK_FORMATS['instance'].results(sample(pred_instances=empty)) == dict(segments=[])
    assert summarize_segments(dict(height=4, width=5, segments=[]), 0.3) == ['nothing found']


def test_summary_names_score_and_share():
    segments = [dict(name='dog', score=0.9, area=5), dict(name='cat', score=0.1, area=10)]
    lines = summarize_segments(dict(height=4, width=5, segments=segments), 0.3)
    assert lines == ['dog  score 0.90  area  25.0 %']
