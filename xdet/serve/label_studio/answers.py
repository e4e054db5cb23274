"""From what Label Studio asks to prompts of the model, and from what the model finds to results of Label Studio."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from xdet.datasets.exchange import Segment
from xdet.datasets.exchange.formats.label_studio import read_result, refuse_turned, result_of
from xdet.inference.outputs.annotations import annotated_image
from xdet.io.schema import require

from ..refusal import Refused
from .label_config import LabelConfig

_REGIONS = ('brushlabels', 'polygonlabels', 'rectanglelabels')


@dataclass(frozen=True)
class Shown:
    """An object that was shown in Label Studio.

    Attributes:
        label (str): What its result shall be called.
        options (dict[str, Any]): Of the task ``interactive``.
    """

    label: str
    options: dict[str, Any]


def shown_objects(context: Any, size: tuple[int, int], most: int) -> list[Shown]:
    """Objects that the context of a request shows by points, boxes, polygons or brushes.

    All points are about one object: that of the only region, if there is one.

    Args:
        context (Any): ``params.context`` of the request.
        size (tuple[int, int]): Height and width of the image.
        most (int): Results that it may have.

    Raises:
        Refused, ValueError: It is damaged, for another image, or shows nothing.
    """
    results = require(context, 'result', list, 'context')
    if len(results) > most:
        raise Refused(413, f'context: {len(results)} results; accepted are {most}')
    points: list[list[float]] = []
    label = ''
    objects: list[Shown] = []
    for place, result in enumerate(results):
        where = f'context: result {place} (counted from 0)'
        kind = require(result, 'type', str, where)
        height, width = (require(result, f'original_{side}', int, where, None) for side in ('height', 'width'))
        if (height or size[0], width or size[1]) != size:
            raise ValueError(f'{where}: is for {width}x{height} pixels; the image has {size[1]}x{size[0]}')
        refuse_turned(result, where)
        if kind == 'keypointlabels':
            positive = require(result, 'is_positive', bool, where, True)
            value = require(result, 'value', dict, where)
            x, y = (_pixel(require(value, axis, float, where), side) for axis, side in (('x', size[1]), ('y', size[0])))
            points.append([x, y, int(positive)])
            if positive or not label:
                label = _label(value, kind, where)
        elif kind in _REGIONS:
            segment = read_result(result, kind, size, where)
            if segment is None:
                continue
            boxed = kind == 'rectanglelabels'  # also a turned one
            region = dict(boxes=[list(segment.bounds)]) if boxed else dict(masks=[segment.array()])
            objects.append(Shown(segment.name, region))
    if points and len(objects) == 1:
        return [Shown(objects[0].label, dict(objects[0].options, points=points))]
    if points:
        objects.append(Shown(label, dict(points=points)))
    if not objects:
        raise Refused(422, 'context: shows nothing; accepted are points, rectangles, polygons and brushes with a label')
    return objects


def _pixel(percent: float, side: int) -> float:
    """A coordinate of a click in pixels; one on the last edge belongs to the last pixel."""
    if not -1 <= percent <= 101:
        raise ValueError(f'context: a point lies at {percent:g} percent; accepted are numbers from 0 to 100')
    return min(max(percent / 100 * side, 0.0), side - 0.5)


def _label(value: Mapping[str, Any], kind: str, where: str) -> str:
    labels = require(value, kind, list, where)
    if not labels or not isinstance(labels[0], str):
        raise ValueError(f'{where}: has no label; choose one before you click')
    return labels[0]


def object_result(prediction: Mapping[str, Any], label: str, config: LabelConfig) -> Iterator[dict[str, Any]]:
    """The best answer of the task ``interactive``, as a result of Label Studio."""
    rows = prediction['segments'][:1]
    for row in rows:
        if row['area']:
            size = (int(prediction['height']), int(prediction['width']))
            segment = Segment(label, size, mask=row['segmentation'], score=row['score'])
            yield from _results([segment], config, regions=True)


def found_results(prediction: Mapping[str, Any], config: LabelConfig, least_score: float) -> Iterator[dict[str, Any]]:
    """Segments that were found for the class names of a config, as results of Label Studio."""
    segments = annotated_image(prediction).segments
    kept = [segment for segment in segments if segment.score is None or segment.score >= least_score]
    labels = config.names
    yield from _results([replace(segment, name=labels[segment.name]) for segment in kept], config, regions=False)


def _results(segments: Sequence[Segment], config: LabelConfig, regions: bool) -> Iterator[dict[str, Any]]:
    for segment in segments:
        control = config.control_of(segment.name, regions)
        result = result_of(segment, control.kind, uuid.uuid4().hex[:10], control.name, config.image)
        if result is not None:
            yield result


def prediction_of(results: list[dict[str, Any]], version: str) -> dict[str, Any]:
    """A prediction of Label Studio; its score is the mean of those of its results."""
    scores = [result['score'] for result in results if 'score' in result]
    mean = math.fsum(scores) / len(scores) if scores else 0.0
    return dict(result=results, score=mean, model_version=version)
