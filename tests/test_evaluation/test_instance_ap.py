"""Instance AP equals mmdet's, whatever the order of the vocabulary."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.evaluation import CocoMetric
from mmengine.structures import InstanceData
from pycocotools import mask as mask_util

from xdet.evaluation import InstanceAP
from xdet.structures import Vocabulary, XDetDataSample

NAMES = ('dog', 'cat', 'cow')
CATEGORY_IDS = (9, 4, 30)
SIZE = 64


def boxes_to_masks(boxes: list[list[int]]) -> torch.Tensor:
    masks = torch.zeros(len(boxes), SIZE, SIZE, dtype=torch.bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[y1:y2, x1:x2] = True
    return masks


@pytest.fixture(scope='module')
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list]:
    """An annotation file of four images, and noisy predictions ``(image id, boxes, labels, scores)``."""
    generator = np.random.default_rng(0)
    annotations, predictions = [], []
    for image_id in range(1, 5):
        corners = generator.integers(0, 30, (4, 2))
        boxes = np.concatenate([corners, corners + generator.integers(8, 30, (4, 2))], axis=1)
        labels = generator.integers(0, 3, 4)
        for box, label in zip(boxes.tolist(), labels, strict=True):
            x1, y1, x2, y2 = box
            rle = mask_util.encode(np.asfortranarray(boxes_to_masks([box])[0].numpy().astype(np.uint8)))
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=image_id,
                    category_id=CATEGORY_IDS[label],
                    bbox=[x1, y1, x2 - x1, y2 - y1],
                    area=(x2 - x1) * (y2 - y1),
                    segmentation=dict(rle, counts=rle['counts'].decode()),
                )
            )
        noisy = np.clip(boxes + generator.integers(-3, 4, boxes.shape), 0, SIZE).tolist()
        predictions.append((image_id, noisy, labels, generator.random(4)))
    content = dict(
        images=[dict(id=image_id, height=SIZE, width=SIZE, file_name='') for image_id in range(1, 5)],
        annotations=annotations,
        categories=[dict(id=number, name=name) for number, name in zip(CATEGORY_IDS, NAMES, strict=True)],
    )
    path = tmp_path_factory.mktemp('coco') / 'instances.json'
    path.write_text(json.dumps(content))
    return str(path), predictions


def samples(predictions: list, names: tuple[str, ...]) -> list[dict]:
    """Predictions as the model gives them for a vocabulary of ``names``."""
    made = []
    for image_id, boxes, labels, scores in predictions:
        data_sample = XDetDataSample(metainfo=dict(img_id=image_id, ori_shape=(SIZE, SIZE)))
        data_sample.pred_instances = InstanceData(
            masks=boxes_to_masks(boxes),
            bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            labels=torch.tensor([names.index(NAMES[label]) for label in labels], dtype=torch.int64),
            scores=torch.tensor(scores, dtype=torch.float32),
        )
        made.append(data_sample.to_dict())
    return made


def evaluate(metric: CocoMetric, predictions: list, vocabulary: Vocabulary) -> dict[str, float]:
    metric.dataset_meta = dict(classes=vocabulary.names, vocabulary=vocabulary)
    metric.process(None, samples(predictions, vocabulary.names))
    return metric.evaluate(size=len(predictions))


def things(*names: str) -> Vocabulary:
    return Vocabulary(names, (True,) * len(names))


def with_iscrowd(path: str, folder: Path) -> str:
    content = json.loads(Path(path).read_text())
    for annotation in content['annotations']:
        annotation['iscrowd'] = 0
    (folder / 'full.json').write_text(json.dumps(content))
    return str(folder / 'full.json')


def test_equal_to_mmdet_in_any_order_of_classes(world: tuple[str, list], tmp_path: Path) -> None:
    path, predictions = world
    reference = CocoMetric(with_iscrowd(path, tmp_path), metric=['segm', 'bbox'], prefix='instance')
    expected = evaluate(reference, predictions, things(*NAMES))
    assert 0.2 < expected['instance/segm_mAP'] < 0.95
    assert evaluate(InstanceAP(path), predictions, things(*NAMES)) == expected
    assert evaluate(InstanceAP(path), predictions, things('cow', 'dog', 'cat')) == expected
    panoptic = Vocabulary(('sky', 'cow', 'grass', 'dog', 'cat'), (False, True, False, True, True))
    assert evaluate(InstanceAP(path), predictions, panoptic) == expected


def test_perfect_predictions_of_some_images(world: tuple[str, list]) -> None:
    path, _ = world
    content = json.loads(Path(path).read_text())
    perfect = []
    for image_id in (2, 3):
        own = [annotation for annotation in content['annotations'] if annotation['image_id'] == image_id]
        boxes = [[x, y, x + w, y + h] for x, y, w, h in (annotation['bbox'] for annotation in own)]
        labels = [CATEGORY_IDS.index(annotation['category_id']) for annotation in own]
        perfect.append((image_id, boxes, labels, [0.9] * len(own)))
    result = evaluate(InstanceAP(path), perfect, things(*NAMES))
    assert result['instance/segm_mAP'] == result['instance/bbox_mAP'] == 1.0


def test_predictions_of_stuff_do_not_count(world: tuple[str, list]) -> None:
    path, predictions = world
    vocabulary = Vocabulary((*NAMES, 'sky'), (True, True, True, False))
    metric = InstanceAP(path, metric='segm')
    metric.dataset_meta = dict(classes=vocabulary.names, vocabulary=vocabulary)
    with_stuff = samples(predictions, vocabulary.names)
    plain = evaluate(InstanceAP(path, metric='segm'), predictions, vocabulary)
    for data_sample in with_stuff:
        pred = data_sample['pred_instances']
        pred.update(
            labels=torch.cat([pred['labels'], torch.tensor([3])]),
            scores=torch.cat([pred['scores'], torch.tensor([1.0])]),
            masks=torch.cat([pred['masks'], pred['masks'][:1]]),
            bboxes=torch.cat([pred['bboxes'], pred['bboxes'][:1]]),
        )
    metric.process(None, with_stuff)
    assert metric.evaluate(size=4) == plain


def test_no_predictions_are_zero(world: tuple[str, list]) -> None:
    path, _ = world
    result = evaluate(InstanceAP(path, metric='segm'), [(1, [], [], [])], things(*NAMES))
    assert result['instance/segm_mAP'] == result['instance/segm_mAP_50'] == 0.0


def test_mismatches_are_explained(world: tuple[str, list], tmp_path: Path) -> None:
    path, predictions = world
    with pytest.raises(FileNotFoundError, match='nowhere.json: annotation file does not exist'):
        InstanceAP(str(tmp_path / 'nowhere.json'))
    (tmp_path / 'broken.json').write_text('{"images"')
    with pytest.raises(ValueError, match='broken.json: not a COCO annotation file'):
        InstanceAP(str(tmp_path / 'broken.json'))
    with pytest.raises(ValueError, match='no category for the class.*horse; its categories are dog, cat, cow'):
        evaluate(InstanceAP(path), predictions, things(*NAMES, 'horse'))
    with pytest.raises(ValueError, match='image 77'):
        evaluate(InstanceAP(path), [(77, *predictions[0][1:])], things(*NAMES))
