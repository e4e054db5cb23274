"""Captions of regions against references."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xdet.registry import METRICS

from .captioning import CaptionMatch
from .fields import field


@METRICS.register_module()
class RegionCaptionMatch(CaptionMatch):
    """The best of each of ``pred_region_captions`` against ``region_captions``, one reference per region, in percent.

    See :class:`CaptionMatch` for the values.
    """

    default_prefix = 'region_caption'

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the texts of a batch of images."""
        for sample in data_samples:
            captions, references = field(sample, 'pred_region_captions'), field(sample, 'region_captions')
            for texts, reference in zip(captions, references, strict=True):
                self.results.append((texts[0]['text'] if texts else '', [reference]))
