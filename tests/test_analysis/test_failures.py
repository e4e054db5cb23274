import math

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.structures import PixelData

from xdet.analysis.failures import ImageScorer, Worst, ranked, sheets
from xdet.structures import Vocabulary, XDetDataSample

WORDS = Vocabulary(('sky', 'ball'), (False, True))


def evaluator(*metrics):
    made = Evaluator([dict(type=metric) for metric in metrics])
    made.dataset_meta = dict(vocabulary=WORDS, classes=WORDS.names)
    return made


def sample(pred, gt=((0, 0, 1, 1),)):
    made = XDetDataSample(metainfo=dict(img_path='a.png'))
    made.gt_sem_seg = PixelData(sem_seg=torch.tensor(gt)[None])
    made.pred_sem_seg = PixelData(sem_seg=torch.tensor(pred)[None])
    return made


def test_scores_are_those_of_the_picture_alone():
    score = ImageScorer(evaluator('SemanticIoU', 'CaptionMatch', 'RetrievalRecall'))
    assert score(sample([[0, 0, 1, 1]]))['semantic/mIoU'] == 100
    assert score(sample([[0, 1, 0, 1]]))['semantic/mIoU'] == pytest.approx(100 / 3)
    assert score(sample([[0, 0, 1, 1]]))['semantic/mIoU'] == 100, 'pictures are not summed up'
    assert score.by == 'semantic/mIoU'


def test_unknown_value():
    with pytest.raises(ValueError, match="cannot sort by 'PQ'; values of one image are semantic/mIoU"):
        ImageScorer(evaluator('SemanticIoU'), 'PQ')(sample([[0, 0, 1, 1]]))
    with pytest.raises(ValueError, match='none .PanopticQuality: a.png: has no gt_panoptic_seg'):
        ImageScorer(evaluator('PanopticQuality'))(sample([[0, 0, 1, 1]]))


def test_the_worst_are_kept_in_order():
    worst = Worst(2)
    for index, score in enumerate([50.0, 10.0, math.nan, 30.0, 70.0, 10.0]):
        if worst.wants(score):
            worst.add(score, index, np.full((2, 2, 3), index))
    assert list(worst.pictures()) == [1, 3] or list(worst.pictures()) == [1, 5]
    assert not worst.wants(90.0) and not worst.wants(math.nan)


def test_list_is_sorted_and_has_no_nan():
    entries = [dict(name='a', PQ=math.nan), dict(name='b', PQ=50.0), dict(name='c', PQ=2.0)]
    assert ranked(entries, 'PQ') == [dict(name='c', PQ=2.0), dict(name='b', PQ=50.0), dict(name='a', PQ=None)]


def test_sheets():
    pictures = [np.full((40, 60, 3), 200, np.uint8)] * 5
    pages = sheets('title', pictures, [1.0, 2.0, 3.0, 4.0, 5.0], ['a.png'] * 5, per_sheet=4)
    assert len(pages) == 2 and pages[0].shape[0] > pages[1].shape[0] > 640
