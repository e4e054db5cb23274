"""Results as plain data, equal to those of the toolkit's task formats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdet.structures import Vocabulary
from xdet.structures.masks.panoptic import panoptic_pixels

from .masks import mask_results, overlaps

Array = NDArray[Any]
IGNORE, BACKGROUND = -1, -2
"""In label maps, as in ``XDetDataSample``."""


def segment(mask: Array, label: int, vocabulary: Vocabulary, score: float | None = None) -> dict[str, Any]:
    """A segment with its class."""
    scored = {} if score is None else dict(score=float(score))
    names = dict(label=int(label), name=vocabulary.names[label], is_thing=bool(vocabulary.is_thing[label]))
    return {**names, **scored, **mask_results(mask)}


def semantic(labels: Array, vocabulary: Vocabulary) -> dict[str, Any]:
    """A segment per class."""
    present = np.unique(labels[labels >= 0]).tolist()
    return dict(segments=[segment(labels == label, label, vocabulary) for label in present])


def panoptic(ids: Array, labels: Array, scores: Array, vocabulary: Vocabulary) -> dict[str, Any]:
    """A segment per id, from 1."""
    rows = enumerate(zip(labels.tolist(), scores.tolist(), strict=True), start=1)
    return dict(segments=[{'id': i, **segment(ids == i, label, vocabulary, score)} for i, (label, score) in rows])


def instance(
    labels: Array, scores: Array, queries: Array, masks: Array, vocabulary: Vocabulary, selection: Mapping[str, Any]
) -> dict[str, Any]:
    """A segment per instance, best first, of those that a user wants (``nms_iou``, ``min_area``, ``max_per_image``)."""
    rows: Array = np.arange(len(labels))
    if selection.get('min_area'):
        rows = rows[masks.sum(axis=(1, 2))[queries] >= selection['min_area']]
    if selection.get('nms_iou') is not None and len(rows):
        shared = overlaps(masks)[np.ix_(queries[rows], queries[rows])] > selection['nms_iou']
        shared &= labels[rows][:, None] == labels[rows][None]
        kept: list[int] = []
        for row in range(len(rows)):
            if not shared[row, kept].any():
                kept.append(row)
        rows = rows[kept]
    rows = rows[: selection.get('max_per_image')]
    return dict(segments=[segment(masks[queries[row]], int(labels[row]), vocabulary, scores[row]) for row in rows])


def phrases(texts: Sequence[str], masks: Array, scores: Array, similarities: Array) -> dict[str, Any]:
    """A segment per phrase, in order."""
    presence = phrase_presence(similarities.astype(np.float64))
    rows = zip(texts, masks, scores.tolist(), similarities.tolist(), presence.tolist(), strict=True)
    return dict(
        segments=[
            dict(phrase=text, score=score, similarity=similarity, presence=there, **mask_results(mask))
            for text, mask, score, similarity, there in rows
        ]
    )


def phrase_presence(similarities: Array) -> Array:
    """Whether what phrases mean is in an image at all, from 0 to 1."""
    return np.clip((1 + similarities) / 2, 0, 1)


def best(probabilities: Array, names: Sequence[str], count: int) -> list[tuple[int, str, float]]:
    """The most probable names: number, name and probability."""
    order = np.argsort(-probabilities, kind='stable')[:count].tolist()
    return [(number, names[number], float(probabilities[number])) for number in order]


def id_map(ids: Array) -> Array:
    """Segment ids in COCO's panoptic coding."""
    return panoptic_pixels(ids)


def label_map(labels: Array, vocabulary: Vocabulary) -> Array:
    """Index map of labels; the largest value of its type marks pixels without one."""
    kind = np.uint8 if len(vocabulary) < 256 else np.uint16
    return np.where(labels >= 0, labels, np.iinfo(kind).max).astype(kind)


def rankings(predictions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For every text, all images by falling score."""
    if not predictions or 'texts' not in predictions[0]:
        return []
    found = []
    for column, text in enumerate(row['text'] for row in predictions[0]['texts']):
        scored = [(one['texts'][column]['score'], one['index'], one['image']) for one in predictions]
        scored.sort(key=lambda row: (-row[0], row[1]))
        images = [
            dict(rank=rank, index=index, image=image, score=score)
            for rank, (score, index, image) in enumerate(scored, start=1)
        ]
        found.append(dict(text=text, images=images))
    return found
