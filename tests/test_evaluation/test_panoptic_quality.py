"""Panoptic quality against tables worked out by hand, and against its definition on random maps."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from xdet.evaluation import ClassCounts, PanopticQuality, match_segments
from xdet.structures import Vocabulary, XDetDataSample, segment_map

VOCABULARY = Vocabulary(('person', 'car', 'sky', 'road'), (True, True, False, False))
PERSON, CAR, SKY, ROAD = range(4)


def row(*runs: tuple[int, int]) -> torch.Tensor:
    """A one-row map from ``(id, length)`` runs."""
    return torch.tensor([[segment_id for segment_id, length in runs for _ in range(length)]], dtype=torch.int32)


def segments(**labels: int | tuple[int, bool]) -> list[dict]:
    """``s5=CAR`` is segment 5 of class car, ``s5=(CAR, True)`` a crowd."""
    described = []
    for name, label in labels.items():
        label, iscrowd = label if isinstance(label, tuple) else (label, False)
        described.append(dict(id=int(name[1:]), label=label, iscrowd=iscrowd))
    return described


def table(gt, gt_segments, pred, pred_segments) -> dict[int, tuple]:
    counts = match_segments(gt, gt_segments, pred, pred_segments)
    return {label: (count.iou, count.tp, count.fp, count.fn) for label, count in counts.items()}


def test_match_miss_and_false_alarm() -> None:
    # Person 1 (10 px) is found with 8 px: IoU 0.8. Car 2 (10 px) is called road: one miss, one false alarm.
    result = table(
        row((1, 10), (2, 10)), segments(s1=PERSON, s2=CAR), row((7, 8), (9, 12)), segments(s7=PERSON, s9=ROAD)
    )
    assert result == {PERSON: (0.8, 1, 0, 0), CAR: (0, 0, 0, 1), ROAD: (0, 0, 1, 0)}


def test_iou_of_exactly_one_half_is_no_match() -> None:
    # 10 of 20 pixels: intersection 10, union 20. One pixel more matches.
    gt, described = row((1, 20)), segments(s1=CAR)
    assert table(gt, described, row((3, 10), (0, 10)), segments(s3=CAR)) == {CAR: (0, 0, 1, 1)}
    assert table(gt, described, row((3, 11), (0, 9)), segments(s3=CAR)) == {CAR: (0.55, 1, 0, 0)}


def test_void_does_not_count_towards_the_union() -> None:
    # The prediction covers the car's 6 px and 6 px of void: IoU 6/6, not 6/12.
    assert table(row((1, 6), (0, 6)), segments(s1=CAR), row((2, 12)), segments(s2=CAR)) == {CAR: (1.0, 1, 0, 0)}


def test_predictions_mostly_in_void_are_forgiven() -> None:
    gt, described = row((0, 10), (1, 30)), segments(s1=SKY)
    forgiven = row((5, 11), (6, 29))  # car 5: 10 px void, 1 px sky
    assert table(gt, described, forgiven, segments(s5=CAR, s6=SKY)) == {SKY: (29 / 30, 1, 0, 0)}
    half = row((5, 20), (6, 20))  # exactly half in void is not forgiven
    assert table(gt, described, half, segments(s5=CAR, s6=SKY))[CAR] == (0, 0, 1, 0)


def test_crowds_are_not_missed_and_forgive_their_own_class() -> None:
    gt, described = row((1, 20), (2, 20)), segments(s1=(CAR, True), s2=SKY)
    pred = row((3, 8), (4, 12), (5, 20))
    assert table(gt, described, pred, segments(s3=CAR, s4=PERSON, s5=SKY)) == {
        SKY: (1.0, 1, 0, 0),
        PERSON: (0, 0, 1, 0),  # a crowd of cars forgives no person
    }
    # A prediction that equals the crowd does not match it either.
    assert table(gt, described, row((3, 20), (5, 20)), segments(s3=CAR, s5=SKY)) == {SKY: (1.0, 1, 0, 0)}


def test_void_and_crowd_forgive_together() -> None:
    # Car 3 covers 3 px void, 3 px crowd, 4 px sky: 6 of 10 are forgiven.
    gt = row((0, 3), (1, 3), (2, 14))
    pred, described = row((3, 10), (4, 10)), segments(s3=CAR, s4=SKY)
    assert CAR not in table(gt, segments(s1=(CAR, True), s2=SKY), pred, described)
    assert table(gt, segments(s1=CAR, s2=SKY), pred, described)[CAR] == (0, 0, 1, 1)


def test_crowd_pixels_count_towards_the_union() -> None:
    # Car 2 (6 px) beside a crowd of cars (4 px), predicted as one of 10 px: IoU 6/10.
    result = table(row((1, 4), (2, 6)), segments(s1=(CAR, True), s2=CAR), row((3, 10)), segments(s3=CAR))
    assert result == {CAR: (0.6, 1, 0, 0)}


def test_nothing_predicted_and_nothing_there() -> None:
    assert table(row((1, 4)), segments(s1=CAR), row((0, 4)), []) == {CAR: (0, 0, 0, 1)}
    assert table(row((0, 4)), [], row((1, 4)), segments(s1=CAR)) == {}
    assert table(row((0, 4)), [], row((0, 4)), []) == {}


def test_contradictions_of_a_prediction_are_errors() -> None:
    gt, described = row((1, 4)), segments(s1=CAR)
    with pytest.raises(ValueError, match='segment id 6 is in the map but not'):
        match_segments(gt, described, row((6, 4)), segments(s5=CAR))
    with pytest.raises(ValueError, match=r'\[6\] are listed but have no pixel'):
        match_segments(gt, described, row((5, 4)), segments(s5=CAR, s6=CAR))
    with pytest.raises(ValueError, match='original resolution'):
        match_segments(gt, described, row((5, 5)), segments(s5=CAR))


def definition(gt: np.ndarray, gt_segments: list[dict], pred: np.ndarray, pred_segments: list[dict]) -> dict:
    """Panoptic quality of one image straight from its definition, one pair of masks at a time."""
    counts: dict[int, list] = {}
    void, matched_gt, matched_pred = gt == 0, set(), set()
    for g in gt_segments:
        for p in pred_segments:
            a, b = gt == g['id'], pred == p['id']
            iou = (a & b).sum() / ((a | b) & ~(void & b)).sum()
            if g['label'] == p['label'] and not g['iscrowd'] and iou > 0.5:
                entry = counts.setdefault(g['label'], [0.0, 0, 0, 0])
                entry[0], entry[1] = entry[0] + iou, entry[1] + 1
                matched_gt.add(g['id']), matched_pred.add(p['id'])
    for g in gt_segments:
        if g['id'] not in matched_gt and not g['iscrowd']:
            counts.setdefault(g['label'], [0.0, 0, 0, 0])[3] += 1
    for p in pred_segments:
        crowd = [gt == g['id'] for g in gt_segments if g['iscrowd'] and g['label'] == p['label']]
        forgiven = void | crowd[-1] if crowd else void
        b = pred == p['id']
        if p['id'] not in matched_pred and (b & forgiven).sum() / b.sum() <= 0.5:
            counts.setdefault(p['label'], [0.0, 0, 0, 0])[2] += 1
    return counts


@pytest.mark.parametrize('seed', range(40))
def test_random_maps_agree_with_the_definition(seed: int) -> None:
    generator = np.random.default_rng(seed)
    gt = np.kron(generator.integers(0, 7, (4, 4)), np.ones((6, 6))).astype(np.int32)
    pred = np.where(generator.random(gt.shape) < 0.2, generator.integers(0, 7, gt.shape), np.roll(gt, 1, 0)) * 1000
    gt_segments = [
        dict(id=i, label=int(generator.integers(0, 3)), iscrowd=bool(generator.random() < 0.2))
        for i in np.unique(gt[gt > 0]).tolist()
    ]
    pred_segments = [
        dict(id=i, label=int(generator.integers(0, 3)) if generator.random() < 0.5 else gt_segments[0]['label'])
        for i in np.unique(pred[pred > 0]).tolist()
    ]
    generator.shuffle(pred_segments)
    result = table(torch.from_numpy(gt), gt_segments, torch.from_numpy(pred), pred_segments)
    expected = definition(gt, gt_segments, pred, pred_segments)
    assert {label: pytest.approx(tuple(count)) for label, count in expected.items()} == result


def sample(gt, gt_segments, pred, pred_segments) -> dict:
    data_sample = XDetDataSample(metainfo=dict(img_path='a.jpg'))
    data_sample.gt_panoptic_seg = segment_map(gt, gt_segments)
    data_sample.pred_panoptic_seg = segment_map(pred, pred_segments)
    return data_sample.to_dict()


def metric(**kwargs) -> PanopticQuality:
    panoptic_quality = PanopticQuality(**kwargs)
    panoptic_quality.dataset_meta = dict(vocabulary=VOCABULARY)
    return panoptic_quality


IMAGES = [
    # person: IoU 0.8; sky: IoU 1
    (row((1, 10), (2, 10)), segments(s1=PERSON, s2=SKY), row((1, 8), (0, 2), (2, 10)), segments(s1=PERSON, s2=SKY)),
    # person missed, a car that is not there; sky: IoU 0.6
    (
        row((1, 10), (2, 10)),
        segments(s1=PERSON, s2=SKY),
        row((3, 10), (4, 4), (2, 6)),
        segments(s3=CAR, s4=CAR, s2=SKY),
    ),
]


def test_means_over_classes_that_occur() -> None:
    # person: iou .8, tp 1, fn 1 -> PQ .8/1.5, SQ .8, RQ 1/1.5; car: fp 2 -> 0; sky: iou 1.6, tp 2 -> PQ .8; no road.
    panoptic_quality = metric(classwise=True)
    panoptic_quality.process(None, [sample(*image) for image in IMAGES])
    result = panoptic_quality.evaluate(size=2)
    person, sky = 0.8 / 1.5, 0.8
    assert result == pytest.approx(
        {
            'panoptic/PQ': 100 * (person + sky) / 3,
            'panoptic/SQ': 100 * (0.8 + 0.8) / 3,
            'panoptic/RQ': 100 * (1 / 1.5 + 1) / 3,
            'panoptic/PQ_th': 100 * person / 2,
            'panoptic/SQ_th': 100 * 0.8 / 2,
            'panoptic/RQ_th': 100 / 1.5 / 2,
            'panoptic/PQ_st': 100 * sky,
            'panoptic/SQ_st': 100 * 0.8,
            'panoptic/RQ_st': 100.0,
            'panoptic/PQ_person': 100 * person,
            'panoptic/PQ_car': 0.0,
            'panoptic/PQ_sky': 100 * sky,
        }
    )


def test_recall_of_things_alone_and_among_others() -> None:
    """Alone, one person of two is found; of two cars in one image, one; the sky is no thing."""
    cars = (row((3, 10), (4, 10)), segments(s3=CAR, s4=CAR), row((3, 14), (0, 6)), segments(s3=CAR))
    judged = metric(classwise=True, company=True)
    judged.process(None, [sample(*image) for image in (*IMAGES, cars)])
    result = judged.evaluate(size=3)
    assert {key: value for key, value in result.items() if 'recall' in key} == {
        'panoptic/recall_alone': 50.0,
        'panoptic/recall_among': 50.0,
        'panoptic/recall_alone_person': 50.0,
        'panoptic/recall_among_car': 50.0,
    }
    alone = metric(company=True)
    alone.process(None, [sample(*image) for image in IMAGES])
    assert math.isnan(alone.evaluate(size=2)['panoptic/recall_among'])


def test_groups_without_classes() -> None:
    panoptic_quality = metric()
    panoptic_quality.process(None, [sample(row((1, 4)), segments(s1=SKY), row((1, 4)), segments(s1=SKY))])
    result = panoptic_quality.evaluate(size=1)
    assert result['panoptic/PQ'] == 100 and math.isnan(result['panoptic/PQ_th'])
    panoptic_quality.dataset_meta = dict(vocabulary=Vocabulary(('a', 'b', 'c'), (False,) * 3))
    panoptic_quality.process(None, [sample(row((1, 4)), segments(s1=SKY), row((1, 4)), segments(s1=SKY))])
    assert 'panoptic/PQ_th' not in panoptic_quality.evaluate(size=1)


def test_batches_and_padding_do_not_matter() -> None:
    """Distributed samplers repeat images to fill up; one result per image lets MMEngine drop the repetitions."""
    together, repeated = metric(), metric()
    together.process(None, [sample(*image) for image in IMAGES])
    for image in (*IMAGES, IMAGES[0]):
        repeated.process(None, [sample(*image)])
    assert len(repeated.results) == 3
    assert together.evaluate(size=2) == repeated.evaluate(size=2)


def test_errors_name_the_image() -> None:
    with pytest.raises(ValueError, match='a.jpg: predicted segment id 9'):
        metric().process(None, [sample(row((1, 4)), segments(s1=SKY), row((9, 4)), [])])


def test_all_void_and_empty_predictions_are_defined() -> None:
    void, nothing = metric(), metric()
    void.process(None, [sample(row((0, 4)), [], row((1, 4)), segments(s1=SKY))])
    assert math.isnan(void.evaluate(size=1)['panoptic/PQ'])
    nothing.process(None, [sample(row((1, 4)), segments(s1=SKY), row((0, 4)), [])])
    assert nothing.evaluate(size=1)['panoptic/PQ'] == 0
    with pytest.raises(ValueError, match='PanopticQuality: no sample was evaluated'):
        metric().evaluate(size=0)


def test_labels_beyond_the_vocabulary_are_errors() -> None:
    for gt, pred, name in ((SKY, 4, 'prediction'), (7, SKY, 'ground truth')):
        with pytest.raises(
            ValueError, match=f'a.jpg: {name} has label {max(gt, pred)}, but the vocabulary .* 4 classes'
        ):
            metric().process(None, [sample(row((1, 4)), segments(s1=gt), row((1, 4)), segments(s1=pred))])


def test_missing_fields_say_who_forgot_them() -> None:
    complete = sample(*IMAGES[0])
    for name, advice in (('gt_panoptic_seg', 'LoadSegments'), ('pred_panoptic_seg', 'not asked for it')):
        incomplete = {key: value for key, value in complete.items() if key != name}
        with pytest.raises(ValueError, match=f'a.jpg: has no {name}: .*{advice}'):
            metric().process(None, [incomplete])


def test_large_ids() -> None:
    gt, pred = row((16777215, 4), (5, 4)), row((70000, 4), (1, 4))
    result = table(gt, segments(s16777215=CAR, s5=SKY), pred, segments(s1=SKY, s70000=CAR))
    assert result == {CAR: (1.0, 1, 0, 0), SKY: (1.0, 1, 0, 0)}


def test_counts_add_up() -> None:
    total = ClassCounts(0.5, 1, 2, 3)
    total += ClassCounts(0.7, 1, 0, 1)
    assert total == ClassCounts(1.2, 2, 2, 4)
