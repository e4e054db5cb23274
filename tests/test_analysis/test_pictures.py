import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from xdet.analysis.pictures import FIELDS, comparison, facts, only, predicted_texts, training_picture, true_texts
from xdet.structures import Vocabulary, XDetDataSample, segment_map
from xdet.visualization import XDetLocalVisualizer

WORDS = Vocabulary(('sky', 'ball'), (False, True))
IMAGE = np.full((60, 80, 3), 120, np.uint8)


@pytest.fixture
def sample():
    made = XDetDataSample(metainfo=dict(
        img_path='a.png', img_id=3, ori_shape=(60, 80), vocabulary=WORDS, captions=('a ball',),
        questions=('what is it', 'how many'), answers=(dict(ball=1.0, dot=0.3), {}),
    ))  # fmt: skip
    ids = torch.ones((60, 80), dtype=torch.int32)
    ids[20:40, 20:40] = 2
    infos = [dict(id=1, label=0, is_thing=False, score=1.0), dict(id=2, label=1, is_thing=True, score=1.0)]
    made.gt_panoptic_seg = segment_map(ids, infos)
    made.pred_panoptic_seg = segment_map(ids, infos)
    made.pred_captions = [dict(text='a dot', score=-0.5)]
    made.pred_answers = [[dict(answer='ball', score=0.75)], []]
    return made


def test_texts_of_truth_and_prediction(sample):
    assert [line.text for line in true_texts(sample)] == [
        'caption', 'a ball', 'questions', 'what is it  →  ball, dot (0.3)', 'how many  →  ?'
    ]  # fmt: skip
    assert [line.text for line in predicted_texts(sample)] == [
        'caption', 'a dot', 'true: a ball', 'questions',
        'what is it  →  ball (0.75)    true: ball, dot (0.3)', 'how many  →  -    true: ?',
    ]  # fmt: skip


def test_truth_stands_beside_the_prediction(sample):
    picture = comparison(XDetLocalVisualizer(), IMAGE, sample, fields=FIELDS['panoptic'])
    height, width = picture.shape[:2]
    panel = (width - 6) // 2
    assert panel >= 480 and height > 0.75 * panel
    np.testing.assert_array_equal(picture[:350, :panel], picture[:350, panel + 6 :])  # the same segments
    changed = sample.clone()
    changed.pred_panoptic_seg.segments_info[1]['label'] = 0
    other = comparison(XDetLocalVisualizer(), IMAGE, changed, fields=FIELDS['panoptic'])
    assert (other[:, :panel] == picture[:, :panel]).all() and (other != picture).any()
    assert len(comparison(XDetLocalVisualizer(), IMAGE, sample)) > height, 'texts are below'


def test_training_picture_has_a_panel_per_annotation():
    sample = XDetDataSample(metainfo=dict(vocabulary=WORDS))
    visualizer = XDetLocalVisualizer()
    empty = training_picture(visualizer, IMAGE, sample)
    assert empty.shape == (360, 480, 3)
    masks = torch.zeros((1, 60, 80), dtype=torch.bool)
    masks[0, 10:50, 10:50] = True
    sample.gt_segments = InstanceData(masks=masks, labels=torch.tensor([1]))
    sample.gt_phrases = InstanceData(masks=masks, texts=['the ball'])
    sample.gt_regions = InstanceData(masks=masks, texts=['a round ball'])
    assert training_picture(visualizer, IMAGE, sample).shape[1] == 3 * 480 + 2 * 6
    assert [line.text for line in true_texts(sample)] == ['phrases', 'the ball', 'regions', 'a round ball']


def test_parts_and_facts(sample):
    part = only(sample, 'pred_captions', 'pred_instances')
    assert 'pred_captions' in part and 'pred_panoptic_seg' not in part and part.img_id == 3
    assert facts(sample)['answers'] == [dict(ball=1.0, dot=0.3), {}] and 'vocabulary' not in facts(sample)


def test_keypoints_have_a_panel():
    sample = XDetDataSample(metainfo=dict(vocabulary=WORDS))
    masks = torch.zeros((2, 60, 80), dtype=torch.bool)
    masks[:, 10:50, 10:50] = True
    sample.gt_segments = InstanceData(
        metainfo=dict(keypoint_names=('eye', 'nose'), skeleton=((0, 1),)),
        masks=masks, labels=torch.tensor([1, 1]), posed=torch.tensor([0, 1]),
        keypoints=torch.tensor([[[5.0, 5, 2], [9, 9, 2]], [[30, 30, 2], [60, 50, 1]]]),
    )  # fmt: skip
    picture = training_picture(XDetLocalVisualizer(), IMAGE, sample)
    assert picture.shape[1] == 2 * 480 + 6
    panel = picture[:, -480:]
    assert (panel[180, 180] != 120).any() and (panel[30, 30] == 120).all()
    plain = XDetDataSample(metainfo=dict(vocabulary=WORDS))
    plain.gt_poses = plain.pred_poses = sample.gt_segments[1:]
    assert comparison(XDetLocalVisualizer(), IMAGE, plain, fields=FIELDS['pose']).shape[1] == 2 * 480 + 6
