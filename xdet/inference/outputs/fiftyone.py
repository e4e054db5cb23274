"""FiftyOne's labels, made of segments and read back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from xdet.datasets.exchange import AnnotatedImage, AnnotatedSet, Segment
from xdet.datasets.exchange.entries import checked_name, image_size_of
from xdet.lazy import import_optional
from xdet.structures import encode_mask

from .annotations import placed


def to_detections(image: AnnotatedImage) -> Any:
    """Segments as ``fiftyone.Detections``.

    Boxes are x, y, width and height relative to the size of the image; masks are bool, each as large as its box.

    Raises:
        ImportError: FiftyOne is not installed.
    """
    fiftyone = import_optional('fiftyone', 'to_fiftyone')
    height, width = image.size
    detections = []
    for segment in image.segments:
        # Whole pixels, as FiftyOne stretches a mask over its box.
        if segment.rle is None:
            x1, y1, x2, y2 = np.clip(segment.bounds, 0, [width, height, width, height]).tolist()
            mask = None
        else:
            covered = segment.array()
            if not covered.any():
                continue
            (y1, y2), (x1, x2) = (_extent(covered.any(axis=axis)) for axis in (1, 0))
            mask = covered[y1:y2, x1:x2]
        detections.append(
            fiftyone.Detection(
                label=segment.name,
                bounding_box=[x1 / width, y1 / height, (x2 - x1) / width, (y2 - y1) / height],
                mask=mask,
                confidence=segment.score,
                iscrowd=segment.iscrowd,
            )
        )
    return fiftyone.Detections(detections=detections)


def from_fiftyone(samples: Iterable[Any], field: str = 'ground_truth') -> AnnotatedSet:
    """Samples of a FiftyOne data set or view as annotations, to be checked, divided and written in any format.

    Args:
        samples (Iterable): With ``filepath`` and detections; a whole data set is one.
        field (str): Field of the detections. Samples in which it is empty are images without segments.

    Raises:
        ImageReadError: A file is no image.
        ValueError: A field is missing or is not of detections, or a box or a mask is damaged.
    """
    names: dict[str, None] = {}
    images = []
    for sample in samples:
        path = str(sample.filepath)
        size = image_size_of(path)
        try:
            found = sample[field]
        except (KeyError, AttributeError):
            raise ValueError(f'{path}: has no field {field!r}') from None
        rows = [] if found is None else getattr(found, 'detections', None)
        if rows is None:
            raise ValueError(f'{path}: {field!r} is {type(found).__name__}; accepted are Detections')
        segments = [_segment(row, size, f'{path}: detection {place}') for place, row in enumerate(rows)]
        names.update(dict.fromkeys(segment.name for segment in segments))
        images.append(AnnotatedImage(path, size, tuple(segments), path=path))
    return AnnotatedSet(tuple(names), tuple(placed(images)))


def _segment(row: Any, size: tuple[int, int], where: str) -> Segment:
    height, width = size
    name = checked_name(str(row.label or ''), where)
    box = np.asarray(row.bounding_box, float)
    if box.shape != (4,) or not np.isfinite(box).all() or (box[2:] <= 0).any():
        raise ValueError(f'{where}: its box is {row.bounding_box}; accepted are x, y, width and height from 0 to 1')
    x1, y1 = box[:2] * [width, height]
    x2, y2 = (box[:2] + box[2:]) * [width, height]
    common: dict[str, Any] = dict(score=row.confidence)
    mask = row.mask if row.mask is not None or not getattr(row, 'mask_path', None) else row.get_mask()
    if mask is None:
        return Segment(name, size, box=(x1, y1, x2, y2), **common)
    left, top, right, bottom = (round(value) for value in (x1, y1, x2, y2))
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    inner = np.asarray(mask) > 0
    if inner.ndim != 2 or not inner.size or max(right - left, bottom - top) > 4 * max(size):
        raise ValueError(f'{where}: its mask has the shape {inner.shape}; accepted is one value per pixel of the box')
    # The nearest pixel of the mask; nothing changes where the mask has the size of its box.
    rows = ((np.arange(bottom - top) + 0.5) * inner.shape[0] / (bottom - top)).astype(int)
    columns = ((np.arange(right - left) + 0.5) * inner.shape[1] / (right - left)).astype(int)
    covered = np.zeros(size, bool)
    part = inner[np.ix_(rows, columns)]
    inside = part[max(-top, 0) : max(height - top, 0), max(-left, 0) : max(width - left, 0)]
    covered[max(top, 0) : max(top, 0) + inside.shape[0], max(left, 0) : max(left, 0) + inside.shape[1]] = inside
    return Segment(name, size, mask=encode_mask(covered), **common)


def _extent(covered: Any) -> tuple[int, int]:
    places = np.flatnonzero(covered)
    return int(places[0]), int(places[-1]) + 1
