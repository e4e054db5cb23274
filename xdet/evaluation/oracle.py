"""Semantic segmentation where every image was given its own classes only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from xdet.registry import METRICS

from .fields import field, name_of
from .semantic_iou import SemanticIoU


@METRICS.register_module()
class OracleSemanticIoU(SemanticIoU):
    """:class:`SemanticIoU` for predictions with the vocabularies of :class:`xdet.datasets.transforms.OracleVocabulary`.

    Predicted labels index the reduced vocabulary of their image; ``vocabulary_labels`` in its meta information says
    what they are in the whole one, which the ground truth uses. Arguments are those of :class:`SemanticIoU`.
    """

    default_prefix = 'semantic'

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Map predictions to the whole vocabulary, and count."""
        super().process(data_batch, [_in_whole_vocabulary(sample) for sample in data_samples])


def _in_whole_vocabulary(sample: dict) -> dict:
    if 'vocabulary_labels' not in sample:
        raise ValueError(
            f'{name_of(sample)}: has no vocabulary_labels; the test pipeline needs OracleVocabulary and '
            "PackXDetInputs with 'vocabulary_labels' among its meta_keys"
        )
    predicted = field(sample, 'pred_sem_seg')
    labels = predicted['sem_seg']
    table = torch.tensor(sample['vocabulary_labels'], device=labels.device)
    return {**sample, 'pred_sem_seg': {**predicted, 'sem_seg': table[labels.long()]}}
