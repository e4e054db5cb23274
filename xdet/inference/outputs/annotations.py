"""Results in the formats of annotation tools."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from xdet.datasets.exchange import AnnotatedImage, AnnotatedSet, Segment, write_annotations
from xdet.datasets.exchange.entries import one_line
from xdet.datasets.exchange.kinds import kind_named
from xdet.datasets.files.image_io import IMAGE_SUFFIXES

from .writer import unique_stems

_ALL_SCORES = ('coco-results',)
"""Formats to measure results by, which hold also those with low scores."""

_NEEDED = ('image', 'height', 'width', 'classes', 'segments')


def annotated_image(prediction: Mapping[str, Any]) -> AnnotatedImage:
    """What was found in an image, in all scores; phrases of which nothing was found are left out."""
    size = (int(prediction['height']), int(prediction['width']))
    segments = [
        Segment(one_line(row.get('name') or row['phrase']), size, mask=row['segmentation'], score=row.get('score'))
        for row in prediction['segments']
        if row['area']
    ]
    name = str(prediction['image'])
    return AnnotatedImage(name, size, tuple(segments), path=name if os.path.isfile(name) else '')


def annotated_set(predictions: Sequence[Mapping[str, Any]]) -> AnnotatedSet:
    """Results of several images. Files keep their paths below the folder that they share, others get a file name."""
    images = [annotated_image(prediction) for prediction in predictions]
    names: dict[str, None] = {}
    stuff: set[str] = set()
    for prediction in predictions:
        rows = prediction['segments']
        own = prediction.get('classes') or [row['phrase'] for row in rows if 'phrase' in row]
        names.update(dict.fromkeys(map(one_line, own)))
        stuff |= {one_line(row['name']) for row in rows if row.get('is_thing') is False}
    return AnnotatedSet(tuple(names), tuple(placed(images)), frozenset(stuff))


def placed(images: Sequence[AnnotatedImage]) -> Iterable[AnnotatedImage]:
    """Images whose names are paths, with their paths below the folder that they share."""
    paths = [os.path.abspath(image.path) for image in images if image.path]
    if len(set(paths)) == len(images):
        shared = os.path.commonpath([os.path.dirname(path) for path in paths])
        return [
            replace(image, file=Path(os.path.relpath(path, shared)).as_posix())
            for image, path in zip(images, paths, strict=True)
        ]
    stems = unique_stems(image.file for image in images)
    suffixes = [Path(image.path).suffix.lower() for image in images]
    return [
        replace(image, file=stem + (suffix if suffix in IMAGE_SUFFIXES else '.png'))
        for image, stem, suffix in zip(images, stems, suffixes, strict=True)
    ]


def write_results(predictions: Sequence[Mapping[str, Any]], kind: str, out: Path, score_thr: float) -> None:
    """Write results in a format, see :func:`~xdet.datasets.exchange.write_annotations`.

    Args:
        predictions (Sequence[Mapping]): Plain results of tasks that find masks.
        kind (str): Format.
        out (Path): New or empty folder, or file where the format has one.
        score_thr (float): Least score of what is written; in ``coco-results`` everything is.

    Raises:
        OSError, ValueError: See :func:`~xdet.datasets.exchange.write_annotations`.
    """
    data = annotated_set(predictions)
    if kind not in _ALL_SCORES:
        data = replace(data, images=tuple(_without_low(image, score_thr) for image in data.images))
    there = all(image.path for image in data.images)
    write_annotations(data, kind, out, copy_images=kind_named(kind).beside and there)


def _without_low(image: AnnotatedImage, score_thr: float) -> AnnotatedImage:
    return replace(image, segments=tuple(s for s in image.segments if s.score is None or s.score >= score_thr))


@dataclass
class AnnotationWriter:
    """Writes the results of a run at its end, a folder per format.

    Attributes:
        formats (Sequence[str]): Their names.
        out_dir (Path): Where the folders go.
        score_thr (float): See :func:`write_results`.
    """

    formats: Sequence[str]
    out_dir: Path
    score_thr: float
    predictions: dict[int, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises FileExistsError before any image is looked at, not after all of them."""
        for name in self.formats:
            folder = self.out_dir / name
            if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
                raise FileExistsError(f"'{folder}' exists and is not empty; remove it or choose another --out-dir")

    def add(self, index: int, prediction: Mapping[str, Any]) -> None:
        """Take the result of the image at a position of the run; masks stay encoded."""
        self.predictions[index] = {key: prediction[key] for key in _NEEDED if key in prediction}

    def write(self) -> None:
        """Write what was added since the last time."""
        found = [self.predictions[index] for index in sorted(self.predictions)]
        self.predictions.clear()
        if found:
            for name in self.formats:
                write_results(found, name, self.out_dir / name, self.score_thr)
