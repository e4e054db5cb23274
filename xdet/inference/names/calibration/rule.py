"""The rule: conformal risk control, which is split conformal prediction where every image has one absent name.

Of names that are absent, on average over images, at most a share alpha is reported. It needs no assumption about the
model, but images that are like those it was learned from.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xdet.io.schema import number

KINDS = dict(names=('semantic', 'instance', 'panoptic'), phrases=('refseg',))
"""What is asked for, and the tasks whose presence is that."""


@dataclass(frozen=True)
class Threshold:
    """What was learned for the tasks of one kind.

    Attributes:
        presence (float): Names and phrases are there when their presence is above this.
        alpha (float): At most this share of absent ones is reported.
        images (int): From which it was learned.
        absent (int): Absent names or phrases in them.
        background (list[str]): Names that competed.
    """

    presence: float
    alpha: float
    images: int
    absent: int
    background: list[str]


@dataclass(frozen=True)
class Finding:
    """What the model says about a case: presence, and whether the task reports it without a threshold of presence."""

    present: NDArray[np.float64]
    absent: NDArray[np.float64]
    present_reported: NDArray[np.bool_]
    absent_reported: NDArray[np.bool_]


def conformal_threshold(absent: Sequence[Sequence[float]], alpha: float) -> float:
    """Least threshold of presence that keeps the share of absent names that are reported at most ``alpha``.

    Of a new image that is exchangeable with these, the expected share of its absent names with a presence above the
    threshold is at most ``alpha`` (conformal risk control with the share as the loss, which falls with the threshold
    and is at most 1).

    Args:
        absent (Sequence[Sequence[float]]): For every image the presence of its absent names; images without any are
            left out.
        alpha (float): Above 0 and below 1.

    Raises:
        ValueError: There are too few images for this rate.
    """
    alpha = number('alpha', alpha, float, 0, 1)
    rows = [np.asarray(row, np.float64) for row in absent if len(row)]
    needed = math.ceil(1 / alpha - 1 - 1e-9) if 0 < alpha < 1 else 0
    if not needed:
        raise ValueError(f'alpha is {alpha}; accepted are numbers between 0 and 1')
    if len(rows) < needed:
        raise ValueError(
            f'{len(rows)} images with absent names are too few for alpha {alpha:g}, which needs {needed}; give more '
            'images or a larger alpha'
        )
    scores = np.concatenate(rows)
    weights = np.concatenate([np.full(len(row), 1 / len(row)) for row in rows])
    order = np.argsort(-scores, kind='stable')
    scores, weights = scores[order], weights[order]
    allowed = alpha * (len(rows) + 1) - 1  # of the sum of the losses of these images
    # The loss at a threshold equal to a score is the weight of all scores above it.
    above = np.searchsorted(-scores, -scores, side='left')
    total = np.concatenate([[0.0], np.cumsum(weights)])
    fitting = scores[total[above] <= allowed + 1e-9]
    return 0.0 if total[-1] <= allowed + 1e-9 else float(fitting.min())


def measure(findings: Sequence[Finding], presence: float | None = None) -> dict[str, float]:
    """Shares of present and of absent names that are reported.

    Args:
        findings (Sequence[Finding]): What the model found.
        presence (float, optional): Report what has a presence above this; None reports what the task reports.

    Returns:
        dict[str, float]: ``recall`` of what is present and ``false`` of what is absent, means over names, and
        ``false_per_image``, the mean of images, which calibration bounds. NaN where there is nothing to count.
    """

    def reported(finding: Finding, side: str) -> NDArray[np.bool_]:
        if presence is None:
            return np.asarray(getattr(finding, f'{side}_reported'))
        return np.asarray(getattr(finding, side) > presence)

    present = np.concatenate([reported(finding, 'present') for finding in findings])
    absent = [reported(finding, 'absent') for finding in findings if len(finding.absent)]
    return dict(
        recall=float(present.mean()) if len(present) else math.nan,
        false=float(np.concatenate(absent).mean()) if absent else math.nan,
        false_per_image=float(np.mean([row.mean() for row in absent])) if absent else math.nan,
    )


def presence_at_recall(findings: Sequence[Finding], recall: float) -> float:
    """Threshold of presence at which at least this share of what is present is reported."""
    present = np.sort(np.concatenate([finding.present for finding in findings]))[::-1]
    kept = max(1, math.ceil(recall * len(present) - 1e-9))
    return float(np.nextafter(present[kept - 1], -np.inf))


def learn(kind: str, findings: Sequence[Finding], alpha: float, background: Sequence[str] | None = None) -> Threshold:
    """Threshold from what the model found, see :func:`conformal_threshold`."""
    rows = [finding.absent.tolist() for finding in findings if len(finding.absent)]
    return Threshold(
        presence=conformal_threshold(rows, alpha),
        alpha=alpha,
        images=len(rows),
        absent=sum(map(len, rows)),
        background=list(background or ()),
    )
