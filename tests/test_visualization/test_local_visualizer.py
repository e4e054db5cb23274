import cv2
import numpy as np
import pytest
import torch
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData, PixelData

from xdet.registry import VISUALIZERS
from xdet.structures import Vocabulary, XDetDataSample, segment_map
from xdet.visualization import XDetLocalVisualizer, class_colors

SIZE = (240, 320)
VOCABULARY = Vocabulary(('dog', 'cat', 'grass'), (True, True, False))


@pytest.fixture
def image():
    return np.full((*SIZE, 3), 128, dtype=np.uint8)


@pytest.fixture
def visualizer():
    return XDetLocalVisualizer(min_size=0)


def sample_of(task, vocabulary=VOCABULARY, size=SIZE):
    height, width = size
    sample = XDetDataSample(metainfo=dict(vocabulary=vocabulary) if vocabulary else {})
    left = torch.zeros(size, dtype=torch.bool)
    left[:, : width // 2] = True
    if task == 'semantic':
        sample.pred_sem_seg = PixelData(sem_seg=torch.where(left, 0, 2)[None])
    elif task == 'instance':
        sample.pred_instances = InstanceData(
            masks=torch.stack([left, ~left]),
            labels=torch.tensor([0, 1]),
            scores=torch.tensor([0.9, 0.1]),
            bboxes=torch.tensor([[0.0, 0, width // 2, height], [width // 2, 0, width, height]]),
        )
    else:
        infos = [dict(id=7, label=1, is_thing=True, score=0.9)]
        sample.pred_panoptic_seg = segment_map(torch.where(left, 7, 0).to(torch.int32), infos)
    return sample


def far_from_label(drawn, row, left):
    """A pixel of the left or right half that no label, box or border covers."""
    return drawn[row, 20 if left else drawn.shape[1] - 20].astype(int)


@pytest.mark.parametrize('task, label, right_is_painted', [('semantic', 0, True), ('panoptic', 1, False)])
def test_maps_have_the_colours_of_their_names(image, visualizer, task, label, right_is_painted):
    drawn = visualizer.draw(image, sample_of(task))
    assert drawn.shape == image.shape
    expected = (class_colors(VOCABULARY.names)[label].astype(int) + 128) / 2
    assert np.abs(far_from_label(drawn, 20, True) - expected).max() <= 1
    assert (far_from_label(drawn, 20, False) != 128).any() == right_is_painted


def test_instances_below_the_threshold_are_not_drawn(image, visualizer):
    drawn = visualizer.draw(image, sample_of('instance'), pred_score_thr=0.3)
    assert (far_from_label(drawn, 20, True) != 128).any()
    assert (far_from_label(drawn, 20, False) == 128).all()
    both = visualizer.draw(image, sample_of('instance'), pred_score_thr=0.0)
    assert (far_from_label(both, 20, False) != 128).any()


def test_siblings_differ(image, visualizer):
    sample = sample_of('instance')
    sample.pred_instances.labels[:] = 0
    drawn = visualizer.draw(image, sample, pred_score_thr=0.0)
    assert (far_from_label(drawn, 20, True) != far_from_label(drawn, 20, False)).any()


@pytest.mark.parametrize('task', ['semantic', 'instance', 'panoptic'])
@pytest.mark.parametrize('size', [(1, 1), (1, 3000), (2000, 30), (100, 80)])
def test_odd_sizes(task, size):
    drawn = XDetLocalVisualizer().draw(np.zeros((*size, 3), np.uint8), sample_of(task, size=size))
    factor = drawn.shape[0] // size[0]
    assert drawn.shape == (size[0] * factor, size[1] * factor, 3)
    assert max(drawn.shape) >= 480


def test_nothing_found(image, visualizer):
    sample = XDetDataSample(metainfo=dict(vocabulary=VOCABULARY))
    sample.pred_instances = sample_of('instance').pred_instances[torch.zeros(2, dtype=torch.bool)]
    sample.pred_panoptic_seg = segment_map(torch.zeros(SIZE, dtype=torch.int32), [])
    sample.pred_sem_seg = PixelData(sem_seg=torch.full((1, *SIZE), -1))
    drawn = visualizer.draw(image, sample)
    assert (np.unique(drawn) == [128, 255]).all()  # three plain panels and the gaps between them


def test_many_classes(image, visualizer):
    vocabulary = Vocabulary(tuple(f'thing {index}' for index in range(1203)), (True,) * 1203)
    sample = XDetDataSample(metainfo=dict(vocabulary=vocabulary))
    sample.pred_sem_seg = PixelData(sem_seg=torch.full((1, *SIZE), 1202))
    drawn = visualizer.draw(image, sample)
    expected = (class_colors(vocabulary.names)[1202].astype(int) + 128) / 2
    assert np.abs(drawn[5, 5] - expected).max() <= 1


def test_samples_without_vocabulary(image, visualizer):
    visualizer.draw(image, sample_of('semantic', vocabulary=None))
    visualizer.dataset_meta = dict(classes=VOCABULARY.names, palette=[(0, 0, 0), (1, 1, 1), (2, 2, 2)])
    drawn = visualizer.draw(image, sample_of('semantic', vocabulary=None))
    assert (far_from_label(drawn, 20, True) == 64).all()


def test_size_mismatch_is_an_error_that_names_both(visualizer):
    with pytest.raises(ValueError, match=r'\(240, 320\).*\(100, 100\)'):
        visualizer.draw(np.zeros((100, 100, 3), np.uint8), sample_of('panoptic'))
    with pytest.raises(ValueError, match=r'\(240, 320\).*\(100, 100\)'):
        visualizer.draw(np.zeros((100, 100, 3), np.uint8), sample_of('instance'))


def test_what_hooks_call(image, visualizer, tmp_path):
    sample = sample_of('panoptic')
    sample.gt_instances = InstanceData(
        masks=BitmapMasks(np.ones((1, *SIZE), np.uint8), *SIZE),
        labels=torch.tensor([2]),
        bboxes=torch.tensor([[0.0, 0, 320, 240]]),
    )
    visualizer.add_datasample('val_img', image, sample, out_file=str(tmp_path / 'out.png'), step=3)
    assert cv2.imread(str(tmp_path / 'out.png')).shape == (240, 2 * 320 + 6, 3)
    visualizer.add_datasample('plain', image, None, out_file=str(tmp_path / 'plain.png'))
    assert (cv2.imread(str(tmp_path / 'plain.png')) == 128).all()


def test_built_from_a_config(tmp_path, image):
    cfg = dict(
        type='XDetLocalVisualizer',
        name='from_config',
        vis_backends=[dict(type='LocalVisBackend')],
        save_dir=str(tmp_path),
    )
    VISUALIZERS.build(cfg).add_datasample('val_img', image, sample_of('semantic'), step=5)
    assert (tmp_path / 'vis_data' / 'vis_image' / 'val_img_5.png').is_file()


def test_wrong_alpha():
    with pytest.raises(ValueError, match='alpha is 2'):
        XDetLocalVisualizer(alpha=2)


def test_instances_of_one_class_can_have_colours_of_their_own(image, visualizer):
    halves = sample_of('instance')
    halves.pred_instances.labels = torch.tensor([0, 0])
    distances = {}
    for color_by in ('class', 'instance'):
        drawn = visualizer.draw(image, halves, pred_score_thr=0, color_by=color_by)
        distances[color_by] = np.abs(far_from_label(drawn, 20, True) - far_from_label(drawn, 20, False)).max()
    assert distances['instance'] > distances['class']


def test_stuff_keeps_the_colour_of_its_class(image, visualizer):
    left = torch.zeros(SIZE, dtype=torch.int32)
    left[:, : SIZE[1] // 2] = 300
    sample = XDetDataSample(metainfo=dict(vocabulary=VOCABULARY))
    sample.pred_panoptic_seg = segment_map(left, [dict(id=300, label=2, is_thing=False)])
    drawn = [visualizer.draw(image, sample, color_by=color_by) for color_by in ('class', 'instance')]
    assert (drawn[0] == drawn[1]).all()


def poses(**fields):
    points = torch.tensor([[[100.0, 60], [200, 60], [150, 120]]])
    return InstanceData(
        metainfo=dict(keypoint_names=('a', 'b', 'c'), skeleton=((0, 2), (1, 2))),
        labels=torch.tensor([0]),
        bboxes=torch.tensor([[50.0, 30, 250, 200]]),
        **{'keypoints': points, **fields},
    )


@pytest.mark.parametrize('truth', [True, False])
def test_poses_are_drawn_where_points_can_be_seen(image, visualizer, truth):
    sample = XDetDataSample(metainfo=dict(vocabulary=VOCABULARY))
    seen = torch.tensor([[2.0, 0.0, 1.0]])
    if truth:
        sample.gt_poses = poses(keypoints=torch.cat([poses().keypoints, seen[..., None]], dim=-1))
    else:
        sample.pred_poses = poses(keypoint_scores=seen / 2, scores=torch.tensor([0.9]))
    drawn = visualizer.draw(image, sample)
    changed = (drawn != image).any(-1)
    assert changed[60, 100] and changed[120, 150] and not changed[60, 200]
    assert changed[90, 125] and not changed[90, 175]  # lines have two ends
    assert changed[30, 150]  # the box


def test_poses_below_the_threshold_or_outside_of_the_picture(image, visualizer):
    sample = XDetDataSample(metainfo=dict(vocabulary=VOCABULARY))
    far = torch.tensor([[[1e9, -1e9], [-5.0, 400], [3, 3]]])
    sample.pred_poses = poses(keypoints=far, keypoint_scores=torch.ones(1, 3), scores=torch.tensor([0.2]))
    assert (visualizer.draw(image, sample) == image).all()
    assert (visualizer.draw(image, sample, pred_score_thr=0.1) != image).any()
