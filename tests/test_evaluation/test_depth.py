"""Errors of depth maps, against formulas written down again."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from xdet.evaluation import DepthError, depth_errors


def sample(found: object, true: object) -> dict:
    def map_of(values: object) -> dict:
        return dict(depth=torch.as_tensor(np.asarray(values, np.float32))[None])

    return dict(img_path='a.png', pred_depth=map_of(found), gt_depth=map_of(true))


def evaluated(metric: DepthError, *samples: dict) -> dict[str, float]:
    metric.process(None, list(samples))
    return metric.compute_metrics(metric.results)


def by_hand(found: list[float], true: list[float]) -> dict[str, float]:
    n = len(true)
    logs = [math.log(f) - math.log(t) for f, t in zip(found, true, strict=True)]
    result = dict(
        AbsRel=sum(abs(f - t) / t for f, t in zip(found, true, strict=True)) / n,
        RMSE=math.sqrt(sum((f - t) ** 2 for f, t in zip(found, true, strict=True)) / n),
        log10=sum(abs(math.log10(f) - math.log10(t)) for f, t in zip(found, true, strict=True)) / n,
        SILog=100 * math.sqrt(sum(d * d for d in logs) / n - (sum(logs) / n) ** 2),
    )
    for power in (1, 2, 3):
        near = sum(max(f / t, t / f) < 1.25**power for f, t in zip(found, true, strict=True))
        result[f'delta{power}'] = 100 * near / n
    return result


def test_errors_are_those_of_the_formulas() -> None:
    rng = np.random.RandomState(0)
    true = rng.uniform(0.5, 9, 50)
    found = true * np.exp(rng.normal(0, 0.3, 50))
    expected = by_hand(found.tolist(), true.tolist())
    assert depth_errors(found, true) == pytest.approx(expected)
    assert 0 < expected['delta1'] < expected['delta2'] < 100


def test_a_common_factor_is_invisible_to_silog_only() -> None:
    true = np.array([1.0, 2, 4])
    errors = depth_errors(1.5 * true, true)
    assert errors['SILog'] == pytest.approx(0, abs=1e-9) and errors['AbsRel'] == pytest.approx(0.5)
    assert (errors['delta1'], errors['delta2']) == (0, 100)


def test_means_over_images_and_only_known_pixels() -> None:
    first = sample([[1.0, 2], [3, 99]], [[2.0, 2], [0, float('nan')]])
    second = sample([[5.0]], [[4.0]])
    expected = [by_hand([1, 2], [2, 2]), by_hand([5], [4])]
    result = evaluated(DepthError(), first, second)
    assert result == pytest.approx({name: (expected[0][name] + expected[1][name]) / 2 for name in expected[0]})


def test_range_median_and_constant() -> None:
    maps = sample([[2.0, 4, 6, 1]], [[1.0, 2, 3, 50]])
    assert evaluated(DepthError(max_depth=10, median_scaling=True), maps)['AbsRel'] == pytest.approx(0)
    assert evaluated(DepthError(max_depth=3), maps)['RMSE'] == pytest.approx(math.sqrt((1 + 1 + 0) / 3))
    result = evaluated(DepthError(max_depth=10, constant=2.0), maps)
    expected = by_hand([2, 2, 2], [1, 2, 3])
    assert {name: result[f'constant_{name}'] for name in expected} == pytest.approx(expected)


def test_images_without_known_depth_do_not_count() -> None:
    holes, known = sample([[1.0]], [[0.0]]), sample([[1.0]], [[1.0]])
    assert evaluated(DepthError(), holes, known)['AbsRel'] == 0
    with pytest.raises(ValueError, match='none of the 1 depth maps has a pixel .* is depth_scale right'):
        evaluated(DepthError(), holes)


@pytest.mark.parametrize(
    ('make', 'told'),
    [
        (lambda: evaluated(DepthError(), sample([[1.0, 1]], [[1.0]])), r'a.png: predicted depth is \(1, 2\) but'),
        (lambda: evaluated(DepthError(), sample([[-1.0]], [[1.0]])), 'a.png: predicted depth has values that are not'),
        (lambda: evaluated(DepthError(), sample([[float('nan')]], [[1.0]])), 'not positive numbers'),
        (lambda: evaluated(DepthError(), dict(img_path='a.png')), 'a.png: has no pred_depth'),
        (lambda: DepthError(min_depth=3, max_depth=2), 'min_depth is 3 and max_depth 2'),
        (lambda: DepthError(constant=0.0), 'constant is 0.0'),
        (lambda: DepthError().compute_metrics([]), 'no sample was evaluated'),
    ],
)
def test_mistakes_are_one_line(make, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        make()
