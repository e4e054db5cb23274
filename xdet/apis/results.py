"""From predictions to plain data: one row of :data:`TASK_FORMATS` per task, nothing task-specific elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from xdet.structures import Vocabulary, XDetDataSample


@dataclass(frozen=True)
class TaskFormat:
    """How the predictions of one task are reported.

    Attributes:
        results (Callable): Sample (on the CPU) -> JSON-ready dict that is merged into the image's prediction.
        maps (Callable): Sample -> PNG images by suffix, uint8/uint16 ``[H, W]`` or RGB uint8 ``[H, W, 3]``.
        summary (Callable): Prediction, score threshold -> lines for people.
    """

    results: Callable[[XDetDataSample], dict[str, Any]]
    maps: Callable[[XDetDataSample], dict[str, np.ndarray]]
    summary: Callable[[dict[str, Any], float], list[str]]


def encode_mask(mask: np.ndarray) -> dict[str, Any]:
    """COCO run-length encoding of a bool mask ``[H, W]``, with ``counts`` as text so that it fits into JSON."""
    rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return dict(size=[int(side) for side in rle['size']], counts=rle['counts'].decode('ascii'))


def decode_mask(segmentation: dict[str, Any]) -> np.ndarray:
    """Inverse of :func:`encode_mask`: bool ``[H, W]``."""
    return coco_mask.decode(segmentation).astype(bool)


def semantic_results(sample: XDetDataSample) -> dict[str, Any]:
    """One segment per class that occurs; semantic segmentation has no scores."""
    labels = _map(sample.pred_sem_seg.sem_seg)
    present = np.unique(labels[labels >= 0]).tolist()
    return dict(segments=[_segment(labels == label, label, sample.vocabulary) for label in present])


def panoptic_results(sample: XDetDataSample) -> dict[str, Any]:
    """One segment per panoptic segment; ``id`` is its value in the id map."""
    ids = _map(sample.pred_panoptic_seg.sem_seg)
    segments = []
    for info in sample.pred_panoptic_seg.segments_info:
        segment = _segment(ids == info['id'], info['label'], sample.vocabulary, info.get('score'))
        segments.append(dict(id=int(info['id']), **segment))
    return dict(segments=segments)


def instance_results(sample: XDetDataSample) -> dict[str, Any]:
    """One segment per instance, best score first; instances may overlap."""
    instances = sample.pred_instances
    order = np.argsort(-instances.scores.numpy(), kind='stable')
    masks, labels, scores = instances.masks.numpy(), instances.labels.tolist(), instances.scores.tolist()
    return dict(segments=[_segment(masks[i], labels[i], sample.vocabulary, scores[i]) for i in order])


def semantic_maps(sample: XDetDataSample) -> dict[str, np.ndarray]:
    """Index map of labels; the largest value of its type (255 or 65535) marks pixels without a label."""
    labels = _map(sample.pred_sem_seg.sem_seg)
    dtype = np.uint8 if len(sample.vocabulary) < 256 else np.uint16
    return dict(semantic=np.where(labels >= 0, labels, np.iinfo(dtype).max).astype(dtype))


def panoptic_maps(sample: XDetDataSample) -> dict[str, np.ndarray]:
    """Segment ids in COCO's panoptic coding ``id = R + 256 G + 65536 B``; 0 is void."""
    ids = _map(sample.pred_panoptic_seg.sem_seg)
    return dict(panoptic=np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8))


def no_maps(sample: XDetDataSample) -> dict[str, np.ndarray]:
    """For results that are no map."""
    return {}


def summarize_segments(prediction: dict[str, Any], score_thr: float) -> list[str]:
    """Name, score and share of the picture of every segment, as a table without a border."""
    pixels = prediction['height'] * prediction['width']
    segments = [segment for segment in prediction['segments'] if segment.get('score', 1.0) >= score_thr]
    if not segments:
        return ['nothing found']
    width = max(len(segment['name']) for segment in segments)
    lines = []
    for segment in sorted(segments, key=lambda item: -item['area']):
        score = f'score {segment["score"]:.2f}  ' if 'score' in segment else ''
        lines.append(f'{segment["name"]:<{width}}  {score}area {100 * segment["area"] / pixels:5.1f} %')
    return lines


TASK_FORMATS: dict[str, TaskFormat] = {
    'semantic': TaskFormat(semantic_results, semantic_maps, summarize_segments),
    'instance': TaskFormat(instance_results, no_maps, summarize_segments),
    'panoptic': TaskFormat(panoptic_results, panoptic_maps, summarize_segments),
}
"""Tasks that can be reported; a new task adds its row here."""


def _segment(mask: np.ndarray, label: int, vocabulary: Vocabulary, score: float | None = None) -> dict[str, Any]:
    """What is reported of one mask; ``bbox`` is COCO's ``x, y, width, height`` in pixels."""
    rle = encode_mask(mask)
    segment: dict[str, Any] = dict(
        label=int(label), name=vocabulary.names[label], is_thing=bool(vocabulary.is_thing[label])
    )
    if score is not None:
        segment['score'] = float(score)
    segment['area'] = int(mask.sum())
    segment['bbox'] = [int(value) for value in coco_mask.toBbox(rle)]
    segment['segmentation'] = rle
    return segment


def _map(data: Any) -> np.ndarray:
    """Integer ``[H, W]`` of a ``[1, H, W]`` tensor on the CPU."""
    return np.asarray(data).astype(np.int64)[0]
