"""Thresholds of presence: the promised rate holds."""

from __future__ import annotations

import numpy as np
import pytest

from xdet.inference.names.calibration import Finding, conformal_threshold, learn, measure, presence_at_recall


def simulated_images(rng: np.random.Generator, count: int) -> list[list[float]]:
    """Absent names of images whose difficulty differs: names of one image are far from independent."""
    difficulty = rng.normal(size=count)
    return [
        list(1 / (1 + np.exp(-(2 * difficulty[image] + rng.normal(size=rng.integers(1, 9)))))) for image in range(count)
    ]


@pytest.mark.parametrize('alpha', [0.05, 0.2])
@pytest.mark.parametrize('count', [30, 100])
def test_promised_rate_holds(alpha: float, count: int) -> None:
    """Over many calibrations, the mean share of absent names of new images that is reported is at most alpha, and not
    much less: a threshold that reports nothing would be of no use."""
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(400):
        threshold = conformal_threshold(simulated_images(rng, count), alpha)
        shares += [np.mean(np.array(row) > threshold) for row in simulated_images(rng, 20)]
    error = np.std(shares) / np.sqrt(400)  # images that share a threshold are not independent
    assert np.mean(shares) <= alpha + 2 * error
    assert np.mean(shares) >= alpha - 1.5 / count - 3 * error


def test_one_name_per_image_is_split_conformal() -> None:
    scores = np.random.default_rng(1).permutation(np.arange(1, 100) / 100)
    # The k-th smallest of 99 scores with k = ceil(0.9 * 100).
    assert conformal_threshold([[score] for score in scores], 0.1) == 0.9


def test_least_threshold_is_chosen() -> None:
    rows = [[0.1, 0.9], [0.5, 0.5], [0.2]]
    threshold = conformal_threshold(rows, 0.5)

    def risk(value: float) -> float:
        return (sum(np.mean(np.array(row) > value) for row in rows) + 1) / (len(rows) + 1)

    assert risk(threshold) <= 0.5 < risk(threshold - 1e-6)


def test_ties_are_not_reported() -> None:
    assert conformal_threshold([[0.5]] * 9, 0.1) == 0.5


@pytest.mark.parametrize(
    'rows, alpha, told',
    [
        ([[0.1]] * 18, 0.05, '18 images with absent names are too few for alpha 0.05, which needs 19'),
        ([[], [0.1]], 0.5, None),
        ([], 0.5, '0 images'),
        ([[0.1]], 0, 'alpha is 0'),
        ([[0.1]], 1.5, 'alpha is 1.5'),
        ([[0.1]], float('nan'), 'alpha is nan'),
    ],
)
def test_impossible_rates(rows: list, alpha: float, told: str | None) -> None:
    if told is None:
        assert conformal_threshold(rows, alpha) == 0.1
        return
    with pytest.raises(ValueError, match=told):
        conformal_threshold(rows, alpha)


def finding(present: list[float], absent: list[float], least: float = 0.5) -> Finding:
    present_scores, absent_scores = np.array(present), np.array(absent)
    return Finding(present_scores, absent_scores, present_scores > least, absent_scores > least)


def test_measures() -> None:
    findings = [finding([0.9, 0.4], [0.6, 0.1]), finding([0.8], [0.1, 0.2, 0.3, 0.7]), finding([0.7], [])]
    own = measure(findings)
    assert own == dict(recall=0.75, false=pytest.approx(2 / 6), false_per_image=pytest.approx(3 / 8))
    assert measure(findings, 0.65)['false'] == pytest.approx(1 / 6)
    equal = presence_at_recall(findings, 0.75)
    assert measure(findings, equal)['recall'] == 0.75 and 0.4 < equal < 0.7
    assert presence_at_recall(findings, 1.0) < 0.4
    threshold = learn('names', findings, 0.4)
    assert (threshold.images, threshold.absent, threshold.background) == (2, 6, [])
