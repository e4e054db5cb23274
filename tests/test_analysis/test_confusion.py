import numpy as np
import pytest
import torch
from mmengine.structures import PixelData

from xdet.analysis.confusion import (
    Confusion,
    draw_matrix,
    matrix_table,
    most_confused,
    pixel_confusion,
    predicted_labels,
    segment_confusion,
)
from xdet.structures import Vocabulary, XDetDataSample, segment_map

WORDS = Vocabulary(('sky', 'grass', 'ball'), (False, False, True))


def test_pixels_by_hand():
    gt = torch.tensor([[0, 0, 1], [1, -1, 2]])
    pred = torch.tensor([[0, 1, 1], [7, 0, -1]])
    assert pixel_confusion(pred, gt, 3).tolist() == [[1, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]]


def test_pixels_agree_with_scikit_learn():
    metrics = pytest.importorskip('sklearn.metrics')
    generator = torch.Generator().manual_seed(0)
    gt, pred = (torch.randint(5, (40, 30), generator=generator) for _ in range(2))
    expected = metrics.confusion_matrix(gt.flatten(), pred.flatten(), labels=range(6))
    np.testing.assert_array_equal(pixel_confusion(pred, gt, 5).numpy(), expected)


def segments(*labels, **more):
    return [dict(id=number, label=label, **more) for number, label in enumerate(labels, start=1)]


def test_segments_pair_by_overlap_whatever_their_class():
    gt = torch.tensor([[1, 1, 1, 1], [2, 2, 3, 3], [0, 0, 0, 0]])
    pred = torch.tensor([[1, 1, 1, 1], [2, 3, 4, 4], [5, 5, 5, 0]])
    matrix = segment_confusion(gt, segments(0, 1, 2), pred, segments(0, 1, 1, 0, 2), 3)
    expected = torch.zeros(4, 4, dtype=torch.int64)
    expected[0, 0] = 1  # the same
    expected[2, 0] = 1  # the right place, another class
    expected[1, 3] = 1  # no half of it is more than half
    expected[3, 1] = 2  # the halves; what lies in void is left out
    assert torch.equal(matrix, expected)


def test_crowds_are_neither_missed_nor_found():
    gt = torch.tensor([[1, 1, 2, 2]])
    infos = [dict(id=1, label=0), dict(id=2, label=2, iscrowd=True)]
    matrix = segment_confusion(gt, infos, torch.tensor([[0, 0, 1, 1]]), segments(2), 3)
    assert matrix.nonzero().tolist() == [[0, 3]]


def sample(gt, pred, labels=(0, 1, 2), pred_labels=None, semantic=False):
    made = XDetDataSample(metainfo=dict(img_path='a.png'))
    gt, pred = torch.tensor(gt), torch.tensor(pred)
    infos = [dict(item, is_thing=item['label'] == 2, iscrowd=False) for item in segments(*labels)]
    made.gt_panoptic_seg = segment_map(gt, infos)
    made.gt_sem_seg = PixelData(sem_seg=torch.tensor([-1, *labels])[gt][None])
    made.pred_panoptic_seg = segment_map(pred, segments(*(pred_labels or labels)))
    if semantic:
        made.pred_sem_seg = PixelData(sem_seg=torch.full_like(gt, 2)[None])
    return made


def test_label_map_prefers_the_semantic_prediction():
    assert predicted_labels(sample([[1, 2]], [[0, 2]])).tolist() == [[-1, 1]]
    assert predicted_labels(sample([[1, 2]], [[0, 2]], semantic=True)).tolist() == [[2, 2]]
    with pytest.raises(ValueError, match='neither pred_sem_seg nor pred_panoptic_seg'):
        predicted_labels(XDetDataSample())


def test_table_of_classes():
    confusion = Confusion(WORDS)
    confusion.add(sample([[1, 1, 1, 2], [1, 3, 3, 0]], [[1, 1, 1, 1], [1, 2, 2, 2]], pred_labels=(0, 1)))
    header, rows = confusion.class_table()
    found = {row[0]: dict(zip(header, row, strict=True)) for row in rows}
    assert found['sky']['IoU'] == 100 * 4 / 5 and found['sky']['most often taken for'] is None
    assert found['ball']['accuracy'] == 0 and found['ball']['most often taken for'] == 'grass'
    assert found['ball']['(%)'] == 100 and found['ball']['FN'] == 1 and found['ball']['PQ'] == 0
    assert found['grass']['FP'] == 1 and found['grass']['precision'] == 0
    assert found['sky']['PQ'] == pytest.approx(100 * 4 / 5)


def test_perfect_predictions_score_100():
    confusion = Confusion(WORDS)
    confusion.add(sample([[1, 2, 3, 0]], [[1, 2, 3, 0]]))
    _, rows = confusion.class_table()
    assert all(row[3:9] == [100.0] * 6 for row in rows)
    assert torch.equal(confusion.matrix('segments'), torch.eye(4, dtype=torch.int64) * torch.tensor([1, 1, 1, 0]))


def test_mistakes_name_the_picture():
    confusion = Confusion(WORDS)
    with pytest.raises(ValueError, match='a.png: prediction is .1, 2. but ground truth .1, 3. pixels'):
        confusion.add(sample([[1, 2, 3]], [[1, 2]]))
    with pytest.raises(ValueError, match='b.png: has no gt_sem_seg'):
        confusion.add(XDetDataSample(metainfo=dict(img_path='b.png')))
    with pytest.raises(ValueError, match='there are no segments to compare; use --level pixels'):
        confusion.matrix('segments')


def test_picture_shows_the_most_confused_classes(tmp_path):
    matrix = torch.eye(51, dtype=torch.int64) * 10
    matrix[7, 20] = 30
    assert most_confused(matrix, 2) == [7, 20]
    names = [f'class {number}' for number in range(50)]
    draw_matrix(matrix, names, tmp_path / 'a' / 'matrix.png', 'title', number=12)
    assert (tmp_path / 'a' / 'matrix.png').stat().st_size > 5000
    header, rows = matrix_table(matrix, names)
    assert header[-1] == rows[-1][0] == '(nothing)' and rows[7][21] == 30
