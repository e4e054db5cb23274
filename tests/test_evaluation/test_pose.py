"""PCK and OKS-AP: by brute force, and against an independent evaluation where one is installed."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from tiny.poses import KEYPOINTS, TinyPoses

from xdet.evaluation import CocoResults, PoseAccuracy, correct_keypoints
from xdet.structures import Vocabulary, XDetDataSample

VOCABULARY = Vocabulary(('chair', 'cat', 'dog'), (True, True, True))
SIGMAS = dict(tail=0.09)
FULL_SIGMAS = np.array([0.025, 0.025, 0.026, 0.09])


class World:
    """Random animals in images of 200x200 pixels, and predictions of them with noise, misses and inventions."""

    def __init__(self, root: Path, seed: int, images: int = 6) -> None:
        self.random = random = np.random.default_rng(seed)
        self.path = root / 'keypoints.json'
        names = dict(keypoints=list(KEYPOINTS), skeleton=[])
        content: dict[str, Any] = dict(
            images=[dict(id=10 + i, file_name=f'{i}.jpg', width=200, height=200) for i in range(images)],
            categories=[dict(id=3, name='dog', **names), dict(id=8, name='cat', **names), dict(id=9, name='chair')],
            annotations=[],
        )
        self.samples, number = [], 1
        for index in range(images):
            rows = []
            for _ in range(random.integers(0, 5)):
                box = np.array([*random.uniform(0, 90, 2), *random.uniform(20, 110, 2)])
                category = int(random.choice([3, 8]))
                points = np.c_[random.uniform(0, 1, (4, 2)) * box[2:] + box[:2], random.choice([0, 1, 2], 4)]
                points[points[:, 2] == 0] = 0
                annotation = dict(
                    id=number, image_id=10 + index, category_id=category, keypoints=points.flatten().tolist(),
                    bbox=box.tolist(), area=float(box[2] * box[3] * random.uniform(0.3, 1)),
                    iscrowd=int(random.random() < 0.1), num_keypoints=int((points[:, 2] > 0).sum()),
                )  # fmt: skip
                content['annotations'].append(annotation)
                number += 1
                for _ in range(random.choice([0, 1, 1, 2])):
                    noise = random.normal(0, random.choice([0.02, 0.1, 0.3]), (4, 2)) * box[2:].max()
                    shifted = box + random.normal(0, 4, 4)
                    rows.append((points[:, :2] + noise, shifted, category, random.uniform()))
            for _ in range(random.integers(0, 2)):
                box = np.array([*random.uniform(0, 90, 2), *random.uniform(20, 110, 2)])
                rows.append((random.uniform(0, 200, (4, 2)), box, int(random.choice([3, 8])), random.uniform()))
            self.samples.append(self.sample(index, rows))
        self.content = content
        self.path.write_text(json.dumps(content))

    @staticmethod
    def sample(index: int, rows: list) -> dict:
        made = XDetDataSample(
            metainfo=dict(img_id=index, img_path=f'/data/{index}.jpg', ori_shape=(200, 200), vocabulary=VOCABULARY)
        )
        boxes = np.array([row[1] for row in rows]).reshape(-1, 4)
        made.pred_poses = InstanceData(
            metainfo=dict(keypoint_names=KEYPOINTS, skeleton=()),
            keypoints=torch.tensor(np.array([row[0] for row in rows]).reshape(-1, 4, 2)),
            keypoint_scores=torch.ones(len(rows), 4),
            bboxes=torch.tensor(np.c_[boxes[:, :2], boxes[:, :2] + boxes[:, 2:]]),
            labels=torch.tensor([{8: 1, 3: 2}[row[2]] for row in rows], dtype=torch.int64),
            scores=torch.tensor([row[3] for row in rows], dtype=torch.float64),
        )
        return made.to_dict()

    def evaluate(self, **options: Any) -> dict[str, float]:
        metric = PoseAccuracy(str(self.path), sigmas=SIGMAS, **options)
        metric.dataset_meta = dict(vocabulary=VOCABULARY)
        for sample in self.samples:
            metric.process(None, [sample])
        return {name.split('/')[1]: value for name, value in metric.evaluate(len(self.samples)).items()}


def iou(a, b) -> float:
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    both = max(width, 0) * max(height, 0)
    return both / (a[2] * a[3] + b[2] * b[3] - both)


def predictions(world: World) -> list[dict]:
    """All predictions with their image, category, box (xywh), points and score."""
    rows = []
    for index, sample in enumerate(world.samples):
        found = sample['pred_poses']
        for row in range(len(found['scores'])):
            x1, y1, x2, y2 = found['bboxes'][row].tolist()
            rows.append(
                dict(image=10 + index, category={1: 8, 2: 3}[int(found['labels'][row])], box=[x1, y1, x2 - x1, y2 - y1],
                     points=found['keypoints'][row].numpy(), score=float(found['scores'][row]))
            )  # fmt: skip
    return rows


def brute_pck(world: World, tolerance: float, score_thr: float, min_iou: float = 0.5) -> dict[str, float]:
    truths = [row for row in world.content['annotations'] if row['num_keypoints'] and not row['iscrowd']]
    owner: dict[int, dict] = {}
    for pred in sorted(predictions(world), key=lambda row: -row['score']):
        fitting = [
            (iou(pred['box'], truth['bbox']), -index)
            for index, truth in enumerate(truths)
            if (truth['image_id'], truth['category_id']) == (pred['image'], pred['category']) and index not in owner
        ]
        fitting = [pair for pair in fitting if pair[0] >= min_iou]
        if fitting and pred['score'] >= score_thr:
            owner[-max(fitting)[1]] = pred
    right = wrong = missed = 0
    for index, truth in enumerate(truths):
        for k in range(4):
            x, y, v = truth['keypoints'][3 * k : 3 * k + 3]
            if v == 0:
                continue
            if index not in owner:
                missed += 1
                continue
            px, py = owner[index]['points'][k]
            near = ((px - x) ** 2 + (py - y) ** 2) ** 0.5 <= tolerance * max(truth['bbox'][2:])
            right, wrong = right + near, wrong + (not near)
    return dict(
        PCK=100 * right / (right + wrong),
        PCK_all=100 * right / (right + wrong + missed),
        found=100 * len(owner) / len(truths),
    )


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize(('tolerance', 'score_thr'), [(0.2, 0.3), (0.1, 0.0)])
def test_pck_by_brute_force(tmp_path: Path, seed: int, tolerance: float, score_thr: float) -> None:
    world = World(tmp_path, seed)
    found = world.evaluate(pck=tolerance, score_thr=score_thr)
    for name, value in brute_pck(world, tolerance, score_thr).items():
        assert found[name] == pytest.approx(value), name


def brute_ap(world: World) -> float:
    """COCO's AP of keypoints, written down from its definition."""
    values = []
    for category in (3, 8):
        truths = [row for row in world.content['annotations'] if row['category_id'] == category]
        preds = sorted(
            (row for row in predictions(world) if row['category'] == category), key=lambda row: -row['score']
        )
        needed = [row for row in truths if row['num_keypoints'] and not row['iscrowd']]
        if not needed:
            continue
        for threshold in np.arange(0.5, 0.96, 0.05):
            taken: set[int] = set()
            hits = []
            for pred in preds:
                best, best_truth = threshold - 1e-10, None
                # Those that count first; what is ignored only if none of them fits.
                for truth in sorted(truths, key=lambda row: not (row['num_keypoints'] and not row['iscrowd'])):
                    counts = truth['num_keypoints'] and not truth['iscrowd']
                    if truth['image_id'] != pred['image'] or (truth['id'] in taken and not truth['iscrowd']):
                        continue
                    if best_truth is not None and best_truth[1] and not counts:
                        break
                    similarity = oks(pred, truth)
                    if similarity >= best:
                        best, best_truth = similarity, (truth, counts)
                if best_truth is not None:
                    taken.add(best_truth[0]['id'])
                    if not best_truth[1]:
                        continue
                hits.append(best_truth is not None)
            precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
            recall = np.cumsum(hits) / len(needed)
            values += [max((p for p, r in zip(precision, recall, strict=True) if r >= at), default=0.0)
                       for at in np.linspace(0, 1, 101)]  # fmt: skip
    return 100 * float(np.mean(values))


def oks(pred: dict, truth: dict) -> float:
    points = np.reshape(truth['keypoints'], (4, 3))
    seen = points[:, 2] > 0
    differences = pred['points'] - points[:, :2]
    if not seen.any():  # distance to twice the box, as COCO has it for people without labels
        x, y, width, height = truth['bbox']
        low, high = np.array([x - width, y - height]), np.array([x + 2 * width, y + 2 * height])
        differences = np.maximum(0, low - pred['points']) + np.maximum(0, pred['points'] - high)
        seen[:] = True
    exponents = (differences**2).sum(1) / (2 * FULL_SIGMAS) ** 2 / (truth['area'] + np.spacing(1)) / 2
    return float(np.exp(-exponents[seen]).mean())


@pytest.mark.parametrize('seed', range(4))
def test_average_precision_by_brute_force(tmp_path: Path, seed: int) -> None:
    world = World(tmp_path, seed)
    value = brute_ap(world)
    assert 0 < value < 100
    assert world.evaluate()['AP'] == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize('seed', range(3))
def test_average_precision_against_xtcocotools(tmp_path: Path, seed: int) -> None:
    coco = pytest.importorskip('xtcocotools.coco')
    evaluation = pytest.importorskip('xtcocotools.cocoeval')
    world = World(tmp_path, seed)
    found = world.evaluate(result_file=str(tmp_path / 'results.json'))
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco.COCO(str(world.path))
        other = evaluation.COCOeval(truth, truth.loadRes(str(tmp_path / 'results.json')), 'keypoints', FULL_SIGMAS)
        other.params.catIds = [3, 8]
        other.params.imgIds = [10 + index for index in range(6)]
        other.evaluate()
        other.accumulate()
        other.summarize()
    for name, index in dict(AP=0, AP50=1, AP75=2).items():
        assert found[name] == pytest.approx(100 * other.stats[index], abs=1e-6)


def test_perfect_predictions_and_none(tmp_path: Path) -> None:
    world = World(tmp_path, 0)
    for index, sample in enumerate(world.samples):
        own = [row for row in world.content['annotations'] if row['image_id'] == 10 + index]
        rows = [(np.reshape(row['keypoints'], (4, 3))[:, :2], np.array(row['bbox']), row['category_id'], 0.9)
                for row in own]  # fmt: skip
        sample.update(world.sample(index, rows))
    found = world.evaluate()
    assert {found[name] for name in ('PCK', 'PCK_all', 'PCK_dog', 'PCK_cat', 'found', 'AP', 'AP50')} == {100.0}
    for index, sample in enumerate(world.samples):
        sample.update(world.sample(index, []))
    found = world.evaluate()
    assert found['found'] == found['PCK_all'] == found['AP'] == 0 and np.isnan(found['PCK'])


def test_tolerance_includes_its_end() -> None:
    truth = np.array([[0.0, 0, 2], [0, 0, 1], [0, 0, 0]])
    assert correct_keypoints(np.array([[3.0, 4], [3, 4.01], [0, 0]]), truth, 5.0).tolist() == [True, False, False]


def test_results_have_the_ids_of_the_file(tmp_path: Path) -> None:
    world = World(tmp_path, 1)
    world.evaluate(result_file=str(tmp_path / 'results.json'))
    rows = json.loads((tmp_path / 'results.json').read_text())
    assert len(rows) == len(predictions(world)) > 0
    assert {row['image_id'] for row in rows} <= set(range(10, 16)) and {row['category_id'] for row in rows} <= {3, 8}
    assert all(len(row['keypoints']) == 12 and set(row['keypoints'][2::3]) == {2} for row in rows)


def test_coco_results_writes_keypoints(tmp_path: Path) -> None:
    world = World(tmp_path, 1)
    path = tmp_path / 'panoptic.json'
    images = [dict(id=index, file_name=f'{index}.jpg', width=200, height=200) for index in range(6)]
    path.write_text(json.dumps(dict(images=images, annotations=[], categories=[dict(id=77, name='cat')])))
    writer = CocoResults(ann_file=str(path), out_dir=str(tmp_path / 'out'))
    writer.dataset_meta = dict(vocabulary=VOCABULARY)
    writer.process(None, world.samples)
    cats = [row for row in predictions(world) if row['category'] == 8]
    assert writer.evaluate(6) == {'coco/poses': len(cats)} and cats
    rows = json.loads((tmp_path / 'out/keypoints.json').read_text())
    assert {row['category_id'] for row in rows} == {77}
    assert [row['score'] for row in rows] == [row['score'] for row in cats]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            dict(sigmas=None),
            r'no sigma for the keypoint\(s\) tail; give sigmas=dict\(NAME=...\), or one number for all',
        ),
        (dict(sigmas=dict(tail=-1.0)), 'accepted are positive numbers'),
        (dict(sigmas=float('nan')), 'accepted are positive numbers'),
        (dict(sigmas=0.1, result_file='poses.txt'), "result_file is 'poses.txt'; it must end in .json"),
    ],
)
def test_options_that_cannot_be(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PoseAccuracy(TinyPoses(tmp_path / 'data', 1).write(), **options)


def test_predictions_that_do_not_fit(tmp_path: Path) -> None:
    world = World(tmp_path, 1)
    metric = PoseAccuracy(str(world.path), sigmas=SIGMAS)
    metric.dataset_meta = dict(vocabulary=VOCABULARY)
    sample = next(sample for sample in world.samples if len(sample['pred_poses']['scores']))

    def refused(message: str, **changes: Any) -> None:
        poses = {**sample['pred_poses'], **changes.pop('poses', {})}
        with pytest.raises(ValueError, match=message) as info:
            metric.process(None, [{**sample, 'pred_poses': poses, **changes}])
        assert '\n' not in str(info.value)

    refused('other.jpg: was evaluated but is not in', img_path='other.jpg')
    refused('must be the same, in the same order', poses=dict(keypoint_names=KEYPOINTS[::-1]))
    refused('keypoints of pose .* is nan', poses=dict(keypoints=sample['pred_poses']['keypoints'] * float('nan')))
    with pytest.raises(ValueError, match='has no pred_poses'):
        metric.process(None, [{key: value for key, value in sample.items() if key != 'pred_poses'}])
    with pytest.raises(ValueError, match='no sample was evaluated'):
        metric.compute_metrics([])
