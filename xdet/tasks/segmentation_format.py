"""How segmentation with class names is asked and reported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, TypedDict, cast

import numpy as np
from numpy.typing import NDArray
from typing_extensions import NotRequired

from xdet.registry import TASK_FORMATS
from xdet.structures import MaskResult, TaskFormat, Vocabulary, XDetDataSample, mask_results
from xdet.structures.masks.panoptic import panoptic_pixels

NAMES = ('things', 'stuff', 'classes', 'vocabulary', 'background')
"""Prompts by which classes are named."""


class Segment(MaskResult):
    """A segment with its class; ``semantic`` has no scores, only ``panoptic`` has ids.

    ``entropy``, ``confidence`` and ``agreement`` are there if they were asked for: means over the pixels of the mask.
    """

    label: int
    name: str
    is_thing: bool
    score: NotRequired[float]
    id: NotRequired[int]
    entropy: NotRequired[float]
    confidence: NotRequired[float]
    agreement: NotRequired[float]


class SegmentResult(TypedDict):
    """Result of ``semantic``, ``instance`` and ``panoptic``.

    ``presence`` is that of every class, in their order; ``absent`` are those that a threshold of presence left out.
    """

    segments: list[Segment]
    presence: NotRequired[list[float]]
    absent: NotRequired[list[str]]


class SegmentFormat(TaskFormat):
    """What the three tasks have in common."""

    prompts: ClassVar[tuple[str, ...]] = (*NAMES, 'score', 'mask', 'presence', 'uncertainty')

    def summary(self, prediction: Mapping[str, Any], score_thr: float) -> list[str]:
        """Name, score and share of the image of every segment, as a table without a border."""
        absent = prediction.get('absent')
        told = [f'not there: {", ".join(absent)}'] if absent else []
        return [*summarize_segments(prediction, score_thr), *told]

    def maps(self, sample: XDetDataSample) -> dict[str, NDArray[Any]]:
        """Where it was asked for, entropy and agreement as grey values: 255 is 1."""
        if 'pred_uncertainty' not in sample:
            return {}
        found = sample.pred_uncertainty
        return {key: np.rint(255 * found.get(key)[0].numpy()).astype(np.uint8) for key in ('entropy', 'agreement')}


@TASK_FORMATS.register_module(name='semantic')
class SemanticFormat(SegmentFormat):
    """One segment per class that occurs; semantic segmentation has no scores."""

    field = 'pred_sem_seg'
    prompts = (*NAMES, 'score', 'presence', 'uncertainty')

    def results(self, sample: XDetDataSample) -> SegmentResult:
        """A segment per class, by falling label."""
        labels = _map(sample.pred_sem_seg.sem_seg)
        present = np.unique(labels[labels >= 0]).tolist()
        masks = _masks(labels, present)
        return _result(sample, [_segment(sample, mask, label) for mask, label in zip(masks, present, strict=True)])

    def maps(self, sample: XDetDataSample) -> dict[str, NDArray[Any]]:
        """Index map of labels; the largest value of its type (255 or 65535) marks pixels without a label."""
        labels = _map(sample.pred_sem_seg.sem_seg)
        dtype = np.uint8 if len(sample.vocabulary) < 256 else np.uint16
        own = dict(semantic=np.where(labels >= 0, labels, np.iinfo(dtype).max).astype(dtype))
        return own | super().maps(sample)


@TASK_FORMATS.register_module(name='instance')
class InstanceFormat(SegmentFormat):
    """One segment per instance, best score first; instances may overlap."""

    field = 'pred_instances'

    def results(self, sample: XDetDataSample) -> SegmentResult:
        """A segment per instance, best score first."""
        instances = sample.pred_instances
        order = np.argsort(-instances.scores.numpy(), kind='stable')
        masks, labels, scores = instances.masks.numpy(), instances.labels.tolist(), instances.scores.tolist()
        return _result(sample, [_segment(sample, masks[i], labels[i], scores[i]) for i in order])


@TASK_FORMATS.register_module(name='panoptic')
class PanopticFormat(SegmentFormat):
    """Segments without overlap."""

    field = 'pred_panoptic_seg'
    prompts = (*NAMES, 'score', 'mask', 'overlap', 'presence', 'uncertainty')

    def results(self, sample: XDetDataSample) -> SegmentResult:
        """One segment per panoptic segment; ``id`` is its value in the id map."""
        ids = _map(sample.pred_panoptic_seg.sem_seg)
        segments: list[Segment] = []
        infos = sample.pred_panoptic_seg.segments_info
        for info, mask in zip(infos, _masks(ids, [int(info['id']) for info in infos]), strict=True):
            segment = _segment(sample, mask, info['label'], info.get('score'))
            segments.append({'id': int(info['id']), **segment})
        return _result(sample, segments)

    def maps(self, sample: XDetDataSample) -> dict[str, NDArray[Any]]:
        """Segment ids in COCO's panoptic coding ``id = R + 256 G + 65536 B``; 0 is void."""
        ids = _map(sample.pred_panoptic_seg.sem_seg)
        return dict(panoptic=panoptic_pixels(ids)) | super().maps(sample)


def summarize_segments(prediction: Mapping[str, Any], score_thr: float) -> list[str]:
    """Name, score and share of the image of every segment, in their order, as a table without a border."""
    pixels = prediction['height'] * prediction['width']
    segments = [segment for segment in prediction['segments'] if segment.get('score', 1.0) >= score_thr]
    if not segments:
        return ['nothing found']
    width = max(len(segment['name']) for segment in segments)
    lines = []
    for segment in segments:
        score = f'score {segment["score"]:.2f}  ' if 'score' in segment else ''
        for key in ('entropy', 'agreement'):
            score += f'{key} {segment[key]:.2f}  ' if key in segment else ''
        lines.append(f'{segment["name"]:<{width}}  {score}area {100 * segment["area"] / pixels:5.1f} %')
    return lines


def _result(sample: XDetDataSample, segments: list[Segment]) -> SegmentResult:
    result = SegmentResult(segments=segments)
    if 'pred_presence' in sample:
        result['presence'] = sample.pred_presence.tolist()
        least = sample.prompts.thresholds.presence
        if least is not None:
            pairs = zip(sample.vocabulary.names, result['presence'], strict=True)
            result['absent'] = [name for name, presence in pairs if presence <= least]
    return result


def _masks(ids: NDArray[Any], values: Sequence[int]) -> Iterator[NDArray[np.bool_]]:
    """Where ``ids`` has each of the values; pixels are compared in the box of the value only."""
    from scipy.ndimage import find_objects  # slow to import

    least = min(values, default=0)
    boxes = find_objects(np.asarray(ids, np.int32) - (least - 1), max(values, default=0) - least + 1)
    for value in values:
        mask, box = np.zeros(ids.shape, bool), boxes[value - least]
        if box is not None:
            mask[box] = ids[box] == value
        yield mask


def _segment(sample: XDetDataSample, mask: NDArray[np.bool_], label: int, score: float | None = None) -> Segment:
    """What is reported of the mask of a class."""
    vocabulary: Vocabulary = sample.vocabulary
    names: dict[str, Any] = dict(
        label=int(label), name=vocabulary.names[label], is_thing=bool(vocabulary.is_thing[label])
    )
    if score is not None:
        names['score'] = float(score)
    if 'pred_uncertainty' in sample and mask.any():
        for key, values in sample.pred_uncertainty.items():
            names[key] = float(values[0].numpy()[mask].mean())
    return cast(Segment, {**names, **mask_results(mask)})


def _map(data: Any) -> NDArray[np.int64]:
    """Integer ``[H, W]`` of a ``[1, H, W]`` tensor on the CPU."""
    result: NDArray[np.int64] = np.asarray(data).astype(np.int64)[0]
    return result
