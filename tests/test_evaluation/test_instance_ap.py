"""Instance AP equals mmdet's, whatever the order of the vocabulary."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.evaluation import CocoMetric
from mmengine.structures import InstanceData
from pycocotools import mask as mask_util

from xdet.evaluation import InstanceAP
from xdet.evaluation.instance_ap import GROUPS
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
    result = evaluate(InstanceAP(path), predictions, things(*NAMES))
    assert 0.2 < expected['instance/segm_mAP'] < 0.95
    for ours, theirs in (('', 'segm'), ('box_', 'bbox')):
        for name, item in zip(GROUPS, ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l'), strict=True):
            value = expected[f'instance/{theirs}_{item}']  # rounded to three digits
            if value < 0:
                assert math.isnan(result[f'instance/{ours}{name}'])
            else:
                assert result[f'instance/{ours}{name}'] == pytest.approx(100 * value, abs=0.0501)
    assert same(evaluate(InstanceAP(path), predictions, things('cow', 'dog', 'cat')), result)
    panoptic = Vocabulary(('sky', 'cow', 'grass', 'dog', 'cat'), (False, True, False, True, True))
    assert same(evaluate(InstanceAP(path), predictions, panoptic), result)


def same(one: dict[str, float], other: dict[str, float]) -> bool:
    """Equality in which NaN equals NaN."""
    return one == pytest.approx(other, rel=0, abs=0, nan_ok=True)


def test_classes_have_values_of_their_own(world: tuple[str, list]) -> None:
    path, predictions = world
    result = evaluate(InstanceAP(path, classwise=True), predictions, things(*NAMES))
    for prefix in ('', 'box_'):
        own = [result[f'instance/{prefix}AP_{name}'] for name in NAMES]
        assert sum(own) / 3 == pytest.approx(result[f'instance/{prefix}AP']) and len(set(own)) == 3


def test_boxes_of_masks(world: tuple[str, list], tmp_path: Path) -> None:
    """Annotated boxes that are loose cost box AP, unless those of the masks are asked for."""
    path, predictions = world
    content = json.loads(Path(path).read_text())
    expected = evaluate(InstanceAP(path, metric='bbox'), predictions, things(*NAMES))
    for annotation in content['annotations']:
        x, y, w, h = annotation['bbox']
        annotation['bbox'] = [x - 3, y - 3, w + 6, h + 6]
    loose = tmp_path / 'loose.json'
    loose.write_text(json.dumps(content))
    result = evaluate(InstanceAP(str(loose), metric='bbox'), predictions, things(*NAMES))
    assert result['instance/box_AP'] < expected['instance/box_AP'] - 5
    tight = evaluate(InstanceAP(str(loose), metric='bbox', gt_boxes='masks'), predictions, things(*NAMES))
    assert same(tight, expected)
    for annotation in content['annotations']:
        del annotation['bbox'], annotation['area']
    loose.write_text(json.dumps(content))
    assert same(evaluate(InstanceAP(str(loose), metric='bbox'), predictions, things(*NAMES)), expected)


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
    assert result['instance/AP'] == result['instance/box_AP'] == 100


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
    assert same(metric.evaluate(size=4), plain)


def test_no_predictions_are_zero(world: tuple[str, list]) -> None:
    path, _ = world
    result = evaluate(InstanceAP(path, metric='segm'), [(1, [], [], [])], things(*NAMES))
    assert result['instance/AP'] == result['instance/AP50'] == 0.0


def test_images_without_objects_are_not_a_number(world: tuple[str, list], tmp_path: Path) -> None:
    path, predictions = world
    content = json.loads(Path(path).read_text())
    content['annotations'] = [annotation for annotation in content['annotations'] if annotation['image_id'] != 1]
    (tmp_path / 'less.json').write_text(json.dumps(content))
    result = evaluate(InstanceAP(str(tmp_path / 'less.json')), predictions[:1], things(*NAMES))
    assert all(math.isnan(value) for value in result.values())
    with pytest.raises(ValueError, match='InstanceAP: no sample was evaluated'):
        evaluate(InstanceAP(path), [], things(*NAMES))


def test_scores_that_are_no_numbers_are_errors(world: tuple[str, list]) -> None:
    path, predictions = world
    image_id, boxes, labels, scores = predictions[0]
    broken = [(image_id, boxes, labels, [0.5, float('nan'), 0.5, 0.5])]
    with pytest.raises(ValueError, match=r'1: score of instance \[1\] is nan; all must be finite'):
        evaluate(InstanceAP(path), broken, things(*NAMES))


def test_predictions_of_another_kind_are_errors(world: tuple[str, list]) -> None:
    path, predictions = world
    metric = InstanceAP(path)
    metric.dataset_meta = dict(vocabulary=things('dog', 'cat'))
    with pytest.raises(ValueError, match='prediction has label 2, but the vocabulary of the data set has 2 classes'):
        metric.process(None, samples(predictions, NAMES))
    small = samples(predictions, NAMES)
    small[0]['pred_instances']['masks'] = small[0]['pred_instances']['masks'][:, :-1]
    metric.dataset_meta = dict(vocabulary=things(*NAMES))
    with pytest.raises(ValueError, match=r'predicted masks are \(63, 64\) but .* says \(64, 64\)'):
        metric.process(None, small)


def test_mismatches_are_explained(world: tuple[str, list], tmp_path: Path) -> None:
    path, predictions = world
    with pytest.raises(FileNotFoundError, match='nowhere.json: annotation file does not exist'):
        InstanceAP(str(tmp_path / 'nowhere.json'))
    (tmp_path / 'broken.json').write_text('{"images"')
    with pytest.raises(ValueError, match='broken.json: not valid JSON'):
        InstanceAP(str(tmp_path / 'broken.json'))
    with pytest.raises(ValueError, match='no category for the class.*horse; its categories are dog, cat, cow'):
        evaluate(InstanceAP(path), predictions, things(*NAMES, 'horse'))
    with pytest.raises(ValueError, match='image 77'):
        evaluate(InstanceAP(path), [(77, *predictions[0][1:])], things(*NAMES))
