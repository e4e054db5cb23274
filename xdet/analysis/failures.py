"""Scores of single images, and sheets of those where a model fails."""

from __future__ import annotations

import contextlib
import heapq
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.logging import MMLogger

from xdet.compat.quiet import hushed
from xdet.structures import XDetDataSample
from xdet.visualization import ranking_sheet

PREFERRED = ('panoptic/PQ', 'semantic/mIoU', 'instance/segm_mAP', 'referring/mIoU', 'vqa/accuracy', 'caption/exact')
"""Values to sort by when nothing is said, the first one that an image has."""


class ImageScorer:
    """Applies the metrics of a test to one image at a time.

    Metrics that compare images with each other (retrieval) have no meaning here and are left out, and so are values
    that are not defined for the first image.

    Args:
        evaluator (Evaluator): Metrics with the meta information of the data set.
        by (str, optional): Value to sort by, such as ``'panoptic/PQ'``; None takes the first of :data:`PREFERRED`.
    """

    def __init__(self, evaluator: Evaluator, by: str | None = None) -> None:
        self._evaluator = evaluator
        self._metrics: list[BaseMetric] | None = None
        self.by = by

    def __call__(self, sample: XDetDataSample) -> dict[str, float]:
        """Values of one image, the one to sort by among them; NaN where it has none.

        Raises:
            ValueError: No metric has the value to sort by.
        """
        if self._metrics is None:
            self._choose(sample)
        values: dict[str, float] = {}
        for metric in self._metrics or ():
            values.update(_alone(metric, sample))
        values.setdefault(str(self.by), math.nan)
        return values

    def _choose(self, sample: XDetDataSample) -> None:
        """Find the metric that has the value to sort by; the others are not computed again."""
        offered: dict[str, BaseMetric] = {}
        problems = []
        for metric in self._evaluator.metrics:
            if type(metric).__name__ == 'RetrievalRecall':
                continue
            try:
                offered.update(dict.fromkeys(_alone(metric, sample), metric))
            except (ValueError, KeyError) as error:
                problems.append(f'{type(metric).__name__}: {error}')
                metric.results.clear()
        if self.by is None:
            self.by = next((key for key in PREFERRED if key in offered), next(iter(offered), None))
        if self.by not in offered:
            known = ', '.join(offered) or 'none (' + '; '.join(problems) + ')'
            raise ValueError(f"cannot sort by '{self.by}'; values of one image are {known}")
        self._metrics = [offered[self.by]]


def _alone(metric: BaseMetric, sample: XDetDataSample) -> dict[str, float]:
    with silence():
        metric.process({}, [sample.to_dict()])
        return {key: float(value) for key, value in metric.evaluate(1).items()}


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Without the tables that some metrics print for every evaluation."""
    with hushed(MMLogger.get_current_instance()), contextlib.redirect_stdout(io.StringIO()):
        yield


@dataclass
class Worst:
    """Keeps the images with the lowest scores.

    Attributes:
        number (int): How many.
    """

    number: int
    _kept: list[tuple[float, int, np.ndarray]] = field(default_factory=list)

    def wants(self, score: float) -> bool:
        """Whether an image of this score is worth drawing."""
        return not math.isnan(score) and (len(self._kept) < self.number or score < -self._kept[0][0])

    def add(self, score: float, index: int, picture: np.ndarray) -> None:
        """Keep an image, RGB uint8, and forget the best one if there are too many; of equal ones the first stay."""
        heapq.heappush(self._kept, (-score, -index, picture))
        if len(self._kept) > self.number:
            heapq.heappop(self._kept)

    def pictures(self) -> dict[int, np.ndarray]:
        """The images by index, worst first."""
        return {-index: picture for _, index, picture in sorted(self._kept, key=lambda item: (-item[0], -item[1]))}


def ranked(scores: Sequence[Mapping[str, Any]], by: str) -> list[dict[str, Any]]:
    """Entries of all images, worst first; those without a score at the end, with None in place of NaN."""
    order = sorted(scores, key=lambda entry: (math.isnan(entry[by]), entry[by]))
    return [
        {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in entry.items()}
        for entry in order
    ]


def sheets(
    title: str, pictures: Sequence[np.ndarray], scores: Sequence[float], names: Sequence[str], per_sheet: int = 6
) -> list[np.ndarray]:
    """Contact sheets, RGB uint8, of two images a row."""
    pages = []
    for start in range(0, len(pictures), per_sheet):
        part = slice(start, start + per_sheet)
        number = f'{title}, {start + 1} to {start + len(pictures[part])}'
        pages.append(
            ranking_sheet(number, pictures[part], scores[part], names[part], columns=2, cell=640, score_format='.1f')
        )
    return pages
