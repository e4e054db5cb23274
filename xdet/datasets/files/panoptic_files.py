"""Writes annotations in COCO's layouts, for converters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xdet.io.writing import write_json
from xdet.structures import Vocabulary
from xdet.structures.masks.boxes import mask_xywh
from xdet.structures.masks.codes import encode_mask


def describe_segments(
    indices: np.ndarray, category_ids: Sequence[int], crowds: Sequence[bool] | None = None
) -> list[dict]:
    """``segments_info`` of a map in which ``i + 1`` means segment ``i`` and 0 void; segments without a pixel are left
    out.

    Args:
        indices (np.ndarray): Integer ``[H, W]``.
        category_ids (Sequence[int]): Of each segment.
        crowds (Sequence[bool], optional): Whether each stands for a group of things.
    """
    described = []
    for index in np.unique(indices[indices > 0]).tolist():
        mask = indices == index
        described.append(
            dict(
                id=index,
                category_id=int(category_ids[index - 1]),
                area=int(mask.sum()),
                bbox=mask_xywh(mask),
                iscrowd=int(bool(crowds is not None and crowds[index - 1])),
            )
        )
    return described


def instance_annotation(mask: np.ndarray, image_id: int | str, category_id: int, crowd: bool = False) -> dict:
    """Annotation, still without ``id``, of an object of the instance task; ``mask`` is bool ``[H, W]``."""
    return dict(
        image_id=image_id,
        category_id=int(category_id),
        segmentation=encode_mask(mask),
        area=int(mask.sum()),
        bbox=mask_xywh(mask),
        iscrowd=int(crowd),
    )


def categories_of(vocabulary: Vocabulary, ids: Sequence[int] = (), only_things: bool = False) -> list[dict]:
    """``categories`` of an annotation file; ids are labels unless given."""
    numbers = ids or range(len(vocabulary))
    return [
        dict(id=int(number), name=name, isthing=int(thing))
        for number, name, thing in zip(numbers, vocabulary.names, vocabulary.is_thing, strict=True)
        if thing or not only_things
    ]


def annotation_file(images: Iterable[dict], annotations: Iterable[dict], categories: Iterable[dict]) -> dict[str, Any]:
    """Content of an annotation file of the instance task, whose annotations get their ids here."""
    numbered = [dict(annotation, id=number) for number, annotation in enumerate(annotations, start=1)]
    return dict(images=list(images), annotations=numbered, categories=list(categories))


def write_annotation_files(
    root: Path,
    name: str,
    vocabulary: Vocabulary,
    records: Mapping[str, Mapping[str, Any]],
    ids: Sequence[int] = (),
    suffix: str = '.png',
) -> list[str]:
    """Write the panoptic annotation file of a conversion, and that of the instance task if records have ``instances``.

    Args:
        root (Path): Folder of the files.
        name (str): Their name, with ``{}`` for ``panoptic`` or ``instance``.
        vocabulary (Vocabulary): Of all records.
        records (Mapping[str, Mapping[str, Any]]): By id, the ``image``, its ``segments_info`` and maybe ``instances``;
            the label image is called by the id.
        ids (Sequence[int]): Ids of the categories; labels unless given.
        suffix (str): What follows the id in the names of label images.

    Returns:
        list[str]: Names of the files.
    """
    images = [record['image'] for record in records.values()]
    segments = [
        dict(image_id=key, file_name=f'{key}{suffix}', segments_info=record['segments_info'])
        for key, record in records.items()
    ]
    files = dict(panoptic=dict(images=images, annotations=segments, categories=categories_of(vocabulary, ids)))
    if all('instances' in record for record in records.values()):
        instances = (instance for record in records.values() for instance in record['instances'])
        files['instance'] = annotation_file(images, instances, categories_of(vocabulary, ids, only_things=True))
    for kind, content in files.items():
        write_json(root / name.format(kind), content)
    return [name.format(kind) for kind in files]
