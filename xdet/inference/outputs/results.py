"""How tasks are asked and reported: one row of :data:`TASK_FORMATS` per task, nothing task-specific elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from xdet.structures import XDetDataSample

from . import segment_results as segments
from . import text_results as texts


def no_maps(sample: XDetDataSample) -> dict[str, np.ndarray]:
    """For results that are no map."""
    return {}


@dataclass(frozen=True)
class TaskFormat:
    """How one task is asked and reported.

    Attributes:
        results (Callable): Sample (on the CPU) -> JSON-ready dict that is merged into the image's prediction.
        summary (Callable): Prediction, score threshold -> lines for people.
        maps (Callable): Sample -> PNG images by suffix, uint8/uint16 ``[H, W]`` or RGB uint8 ``[H, W, 3]``.
        prompts (tuple[str, ...]): Prompts it takes, see :class:`~xdet.inference.inputs.options.Prompts`.
        one_of (tuple[str, ...]): Prompts of which it needs exactly one.
        writes (bool): Whether it takes settings of generated texts.
        ranks (bool): Whether its scores rank the images of a call (:mod:`xdet.inference.outputs.ranking`).
    """

    results: Callable[[XDetDataSample], dict[str, Any]]
    summary: Callable[[dict[str, Any], float], list[str]]
    maps: Callable[[XDetDataSample], dict[str, np.ndarray]] = no_maps
    prompts: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()
    writes: bool = False
    ranks: bool = False


_NAMES = ('things', 'stuff', 'classes', 'vocabulary')
_REGIONS = ('phrases', 'boxes', 'masks')

TASK_FORMATS: dict[str, TaskFormat] = {
    'semantic': TaskFormat(
        segments.semantic_results, segments.summarize_segments, segments.semantic_maps, prompts=_NAMES
    ),
    'instance': TaskFormat(segments.instance_results, segments.summarize_segments, prompts=_NAMES),
    'panoptic': TaskFormat(
        segments.panoptic_results, segments.summarize_segments, segments.panoptic_maps, prompts=_NAMES
    ),
    'refseg': TaskFormat(
        segments.phrase_results, segments.summarize_phrases, prompts=('phrases',), one_of=('phrases',)
    ),
    'caption': TaskFormat(texts.caption_results, texts.summarize_captions, writes=True),
    'refcaption': TaskFormat(
        texts.region_results, texts.summarize_regions, prompts=_REGIONS, one_of=_REGIONS, writes=True
    ),
    'vqa': TaskFormat(texts.answer_results, texts.summarize_answers, prompts=('questions',), one_of=('questions',)),
    'classification': TaskFormat(texts.class_results, texts.summarize_classes, prompts=_NAMES),
    'retrieval': TaskFormat(
        texts.similarity_results, texts.summarize_similarities, prompts=('texts',), one_of=('texts',), ranks=True
    ),
}
"""Tasks that can be reported; a new task adds its row here."""
