"""Semantic IoU against tables worked out by hand and against mmseg."""

from __future__ import annotations

import math

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.evaluation import IoUMetric

from xdet.evaluation import SemanticIoU, class_areas
from xdet.structures import XDetDataSample


def sample(gt: torch.Tensor, pred: torch.Tensor) -> dict:
    data_sample = XDetDataSample(metainfo=dict(img_path='a.jpg'))
    data_sample.gt_sem_seg = PixelData(sem_seg=gt[None])
    data_sample.pred_sem_seg = PixelData(sem_seg=pred[None])
    return data_sample.to_dict()


def metric(num_classes: int, **kwargs) -> SemanticIoU:
    semantic_iou = SemanticIoU(**kwargs)
    semantic_iou.dataset_meta = dict(classes=tuple(f'class {label}' for label in range(num_classes)))
    return semantic_iou


GT = torch.tensor([[0, 0, 0, 0, 1, 1, -1, -1]])
PRED = torch.tensor([[0, 0, 0, 2, 1, 0, 3, 0]])


def test_table_by_hand() -> None:
    # Unlabelled pixels do not count. Class 0: 3 of 5; class 1: 1 of 2; class 2: 0 of 1; class 3 does not occur.
    assert class_areas(PRED, GT, 4).tolist() == [[3, 1, 0, 0], [4, 1, 1, 0], [4, 2, 0, 0]]
    semantic_iou = metric(4, classwise=True)
    semantic_iou.process(None, [sample(GT, PRED)])
    assert semantic_iou.evaluate(size=1) == pytest.approx(
        {
            'semantic/mIoU': 100 * (3 / 5 + 1 / 2 + 0) / 3,
            'semantic/mAcc': 100 * (3 / 4 + 1 / 2) / 2,
            'semantic/aAcc': 100 * 4 / 6,
            'semantic/fwIoU': 100 * (4 / 6 * 3 / 5 + 2 / 6 * 1 / 2),
            'semantic/IoU_class 0': 60.0,
            'semantic/IoU_class 1': 50.0,
            'semantic/IoU_class 2': 0.0,
        }
    )


def test_pixels_without_prediction_are_wrong() -> None:
    pred = torch.tensor([[-1, 0, 0, 0, 1, 9, 0, 0]])
    assert class_areas(pred, GT, 3).tolist() == [[3, 1, 0], [3, 1, 0], [4, 2, 0]]


@pytest.mark.parametrize('num_classes', [1, 2, 19, 847])
def test_equal_to_mmseg(num_classes: int) -> None:
    generator = torch.Generator().manual_seed(num_classes)
    semantic_iou, areas = metric(num_classes), []
    for _ in range(5):
        gt = torch.randint(-1, num_classes, (40, 50), generator=generator)
        wrong = torch.rand(gt.shape, generator=generator) < 0.3
        pred = torch.where(wrong | (gt < 0), torch.randint(0, num_classes, gt.shape, generator=generator), gt)
        semantic_iou.process(None, [sample(gt, pred)])
        areas.append(IoUMetric.intersect_and_union(pred, gt, num_classes, ignore_index=XDetDataSample.IGNORE))
    reference = IoUMetric.total_area_to_metrics(*(sum(part) for part in zip(*areas, strict=True)), ['mIoU'])
    result = semantic_iou.evaluate(size=5)
    for name, key in (('mIoU', 'IoU'), ('mAcc', 'Acc'), ('aAcc', 'aAcc')):
        values = torch.as_tensor(reference[key])
        assert result[f'semantic/{name}'] == pytest.approx(100 * values.nanmean().item(), rel=1e-5)


@pytest.mark.parametrize('ignore', [255, 65535, 0, (0, 255)])
def test_any_label_may_be_ignored(ignore: int | tuple[int, ...]) -> None:
    hidden = (ignore,) if isinstance(ignore, int) else ignore
    gt, pred = torch.tensor([[1, 2, *hidden]]), torch.tensor([[1, 1, *[2] * len(hidden)]])
    if max(hidden) > 255:
        gt = gt.to(torch.uint16)  # labels of ADE20K-847
    semantic_iou = metric(3, ignore=ignore)
    semantic_iou.process(None, [sample(gt, pred)])
    assert semantic_iou.evaluate(size=1) == dict.fromkeys(('semantic/aAcc', 'semantic/mAcc'), 50.0) | {
        'semantic/mIoU': 25.0,
        'semantic/fwIoU': 25.0,
    }


def test_other_labels_are_errors() -> None:
    with pytest.raises(ValueError, match='a.jpg: ground truth has label 255; accepted are 0 to 3, and -1 for'):
        metric(4).process(None, [sample(torch.tensor([[0, 255]]), torch.tensor([[0, 0]]))])


def test_nothing_labelled_is_not_a_number() -> None:
    semantic_iou = metric(4)
    semantic_iou.process(None, [sample(torch.full((1, 5), -1), torch.zeros(1, 5, dtype=torch.int64))])
    assert all(math.isnan(value) for value in semantic_iou.evaluate(size=1).values())
    with pytest.raises(ValueError, match='SemanticIoU: no sample was evaluated'):
        metric(4).evaluate(size=0)


def test_classes_of_one_name_are_told_apart() -> None:
    semantic_iou = metric(3, classwise=True)
    semantic_iou.dataset_meta = dict(classes=('bag', 'pot', 'bag'))
    semantic_iou.process(None, [sample(torch.tensor([[0, 1, 2]]), torch.tensor([[0, 1, 1]]))])
    result = semantic_iou.evaluate(size=1)
    assert result['semantic/IoU_bag (0)'] == 100 and result['semantic/IoU_bag (2)'] == 0
    assert result['semantic/IoU_pot'] == 50


def test_other_sizes_are_errors() -> None:
    with pytest.raises(ValueError, match='a.jpg: predicted labels are .*original resolution'):
        metric(4).process(None, [sample(GT, PRED[:, :-1])])


IGNORE, BACKGROUND = XDetDataSample.IGNORE, XDetDataSample.BACKGROUND


def test_background_is_the_last_class() -> None:
    gt = torch.tensor([[0, 0, BACKGROUND, BACKGROUND, IGNORE, 1]])
    pred = torch.tensor([[0, BACKGROUND, BACKGROUND, 1, BACKGROUND, 1]])
    semantic_iou = metric(2, background=True, classwise=True)
    semantic_iou.process(None, [sample(gt, pred)])
    result = semantic_iou.evaluate(size=1)
    # background: 1 of {false 0, right, missed}; class 0: 1 of 2; class 1: 1 of 2
    assert result['semantic/IoU_background'] == pytest.approx(100 / 3)
    assert result['semantic/mIoU'] == pytest.approx(100 * (1 / 3 + 1 / 2 + 1 / 2) / 3)


def test_means_over_chosen_classes() -> None:
    gt, pred = torch.tensor([[0, 1, 2, BACKGROUND]]), torch.tensor([[0, 2, 2, BACKGROUND]])
    semantic_iou = metric(3, background=True, classwise=True, classes=('background', 'class 2'))
    semantic_iou.process(None, [sample(gt, pred)])
    result = semantic_iou.evaluate(size=1)
    assert result['semantic/mIoU'] == 75.0 and set(result) >= {'semantic/IoU_background', 'semantic/IoU_class 2'}
    assert 'semantic/IoU_class 0' not in result
    semantic_iou = metric(3, classes=['cat'])
    semantic_iou.process(None, [sample(GT, PRED[:, :].clamp(max=2))])
    with pytest.raises(ValueError, match="SemanticIoU: classes has 'cat'; the data set has class 0, class 1, class 2"):
        semantic_iou.evaluate(size=1)
    with pytest.raises(ValueError, match='classes is empty'):
        SemanticIoU(classes=())


def test_background_that_nobody_asked_for_or_looks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    gt = torch.tensor([[0, BACKGROUND]])
    with pytest.raises(ValueError, match=r'label -2.*SemanticIoU\(background=True\) counts background'):
        metric(2).process(None, [sample(gt, torch.tensor([[0, 0]]))])
    said: list[str] = []
    monkeypatch.setattr('xdet.evaluation.semantic_iou.print_log', lambda text, **_: said.append(text))
    semantic_iou = metric(2, background=True)
    semantic_iou.process(None, [sample(gt, torch.tensor([[0, 0]]))])
    assert semantic_iou.evaluate(size=1)['semantic/mIoU'] == 25.0
    assert len(said) == 1 and 'background_score=0.4' in said[0]
