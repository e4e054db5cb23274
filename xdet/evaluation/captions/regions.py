"""Captions of regions against references."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.evaluator import BaseMetric

from xdet.evaluation.fields import field, name_of, require_results
from xdet.registry import METRICS

from .metrics import match_scores


@METRICS.register_module()
class RegionCaptionMatch(BaseMetric):
    """The best of each of ``pred_region_captions`` against ``region_captions``, one reference per region, in percent.

    See :class:`~xdet.evaluation.captions.metrics.CaptionMatch` for the values.

    Args:
        kwargs: Arguments of :class:`mmengine.evaluator.BaseMetric`.
    """

    default_prefix = 'region_caption'

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the texts of a batch of images, those of an image together: MMEngine expects one result per sample."""
        for sample in data_samples:
            captions, references = field(sample, 'pred_region_captions'), field(sample, 'region_captions')
            if len(captions) != len(references):
                raise ValueError(
                    f'{name_of(sample)}: {len(captions)} regions are described but {len(references)} are known; '
                    'there must be one description per region'
                )
            self.results.append(
                [
                    (texts[0]['text'] if texts else '', [reference])
                    for texts, reference in zip(captions, references, strict=True)
                ]
            )

    def compute_metrics(self, results: Sequence[list[tuple[str, list[str]]]]) -> dict[str, float]:
        """Compare the captions of all regions of all images.

        Raises:
            ValueError: There is no region.
        """
        regions = [region for image in results for region in image]
        require_results(self, regions)
        return match_scores(regions)
