"""From predicted segments, and masks found for phrases, to plain data."""

from __future__ import annotations

from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from xdet.structures import Vocabulary, XDetDataSample


def encode_mask(mask: np.ndarray) -> dict[str, Any]:
    """COCO run-length encoding of a bool mask ``[H, W]``, with ``counts`` as text so that it fits into JSON."""
    rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return dict(size=[int(side) for side in rle['size']], counts=rle['counts'].decode('ascii'))


def decode_mask(segmentation: dict[str, Any]) -> np.ndarray:
    """Inverse of :func:`encode_mask`: bool ``[H, W]``."""
    return coco_mask.decode(segmentation).astype(bool)


def mask_results(mask: np.ndarray) -> dict[str, Any]:
    """``area``, ``bbox`` (COCO's ``x, y, width, height`` in pixels) and ``segmentation`` of a bool mask ``[H, W]``."""
    rle = encode_mask(mask)
    return dict(area=int(mask.sum()), bbox=[int(value) for value in coco_mask.toBbox(rle)], segmentation=rle)


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


def phrase_results(sample: XDetDataSample) -> dict[str, Any]:
    """One segment per phrase, in order; ``area`` 0 when nothing was found."""
    found = sample.pred_phrases
    rows = zip(sample.phrases, found.scores.tolist(), found.similarities.tolist(), found.masks.numpy(), strict=True)
    return dict(
        segments=[
            dict(phrase=phrase, score=score, similarity=similarity, **mask_results(mask))
            for phrase, score, similarity, mask in rows
        ]
    )


def semantic_maps(sample: XDetDataSample) -> dict[str, np.ndarray]:
    """Index map of labels; the largest value of its type (255 or 65535) marks pixels without a label."""
    labels = _map(sample.pred_sem_seg.sem_seg)
    dtype = np.uint8 if len(sample.vocabulary) < 256 else np.uint16
    return dict(semantic=np.where(labels >= 0, labels, np.iinfo(dtype).max).astype(dtype))


def panoptic_maps(sample: XDetDataSample) -> dict[str, np.ndarray]:
    """Segment ids in COCO's panoptic coding ``id = R + 256 G + 65536 B``; 0 is void."""
    ids = _map(sample.pred_panoptic_seg.sem_seg)
    return dict(panoptic=np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8))


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


def summarize_phrases(prediction: dict[str, Any], score_thr: float) -> list[str]:
    """Score and share of the picture of every phrase, also of those that were not found."""
    pixels = prediction['height'] * prediction['width']
    width = max(len(segment['phrase']) for segment in prediction['segments'])
    lines = []
    for segment in prediction['segments']:
        found = f'score {segment["score"]:.2f}  area {100 * segment["area"] / pixels:5.1f} %'
        if not segment['area'] or segment['score'] < score_thr:
            found = 'not found'
        lines.append(f'{segment["phrase"]:<{width}}  {found}')
    return lines


def _segment(mask: np.ndarray, label: int, vocabulary: Vocabulary, score: float | None = None) -> dict[str, Any]:
    """What is reported of the mask of a class."""
    segment: dict[str, Any] = dict(
        label=int(label), name=vocabulary.names[label], is_thing=bool(vocabulary.is_thing[label])
    )
    if score is not None:
        segment['score'] = float(score)
    return dict(segment, **mask_results(mask))


def _map(data: Any) -> np.ndarray:
    """Integer ``[H, W]`` of a ``[1, H, W]`` tensor on the CPU."""
    return np.asarray(data).astype(np.int64)[0]
