"""Panoptic segmentation in COCO's layout."""

from __future__ import annotations

import os.path as osp
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from xdet.datasets.files.coco_json import (
    check_category,
    coco_classes,
    field,
    file_name,
    index_images,
    known_classes,
    load_coco_json,
)
from xdet.datasets.files.left_out import LeftOut
from xdet.io.schema import ID, require, shown
from xdet.registry import DATASETS

from .base import SegmentationDataset

_SEM_MAP_VALUES = ('ignore_label', 'label_offset', 'background_label')


@DATASETS.register_module()
class CocoPanopticSegDataset(SegmentationDataset):
    """A COCO panoptic annotation file, a folder of images, and a folder of PNGs with ``id = R + 256 G + 65536 B``.

    The class list is the file's own (for COCO the official 133, things first) or, if given, ``classes`` or
    ``metainfo['classes']``; segments of other categories then count as void. Samples have ``seg_map_path`` and
    ``segments_info``, dicts of ``id, label, is_thing, iscrowd`` with ``label`` -1 for void.

    Some benchmarks have semantic ground truth of its own, which is not what the segments add up to. With the folder
    ``sem`` samples also have ``sem_map_path`` and ``sem_map_values``, which ``LoadSegments`` reads.

    Args:
        ann_file (str): Annotation file.
        data_prefix (dict): Folders ``img``, ``seg`` and optionally ``sem``, of label images named like the images.
        classes (str | Mapping, optional): Name of a class list that comes with xdet, or
            ``dict(name=..., synonyms=True)``.
        filter_cfg (dict, optional): ``several_of=['cat', 'dog']`` keeps images with two or more segments of one of
            these classes, crowds apart, unless in test mode. A training can so see them oftener than there are.
        sem_map_values (Mapping): ``ignore_label``, ``label_offset`` and, where pixels of a value are known to show none
            of the classes, ``background_label`` of the label images in ``sem``, which are PNG.
        kwargs: Arguments of :class:`SegmentationDataset`.

    Raises:
        FileNotFoundError: The annotation file or listed images are missing.
        ValueError: The annotation file is unusable, ``sem_map_values`` has another key, or ``several_of`` names no
            class or leaves nothing.
    """

    def __init__(
        self,
        *,
        classes: str | Mapping | None = None,
        sem_map_values: Mapping = MappingProxyType(dict(ignore_label=255, label_offset=0)),
        **kwargs: Any,
    ) -> None:
        self.classes = classes
        self.sem_map_values = dict(sem_map_values)
        unknown = sorted(self.sem_map_values.keys() - _SEM_MAP_VALUES)
        if unknown:
            raise ValueError(f"sem_map_values has '{unknown[0]}'; accepted are {', '.join(_SEM_MAP_VALUES)}")
        super().__init__(**kwargs)

    def filter_data(self) -> list[dict]:
        """Samples whose images exist and, if asked for, that show several things of a class."""
        data_list = super().filter_data()
        names = (self.filter_cfg or {}).get('several_of')
        if self.test_mode or names is None:
            return data_list
        known = self.vocabulary.names
        if unknown := [name for name in names if name not in known]:
            raise ValueError(f'{self.ann_file}: several_of names {unknown[0]!r}; the classes are {", ".join(known)}')
        kept = [info for info in data_list if _has_several(info['segments_info'], {known.index(n) for n in names})]
        if not kept:
            raise ValueError(f'{self.ann_file}: no image has several segments of {", ".join(names)}')
        return kept

    def load_data_list(self) -> list[dict]:
        """Read the annotation file."""
        content = load_coco_json(self.ann_file)
        if self.classes is not None:
            vocabulary, labels = known_classes(self.ann_file, content, self.classes)
        else:
            vocabulary, labels = coco_classes(self.ann_file, content, self._metainfo.get('classes'))
        self.set_vocabulary(vocabulary)
        images = index_images(self.ann_file, content)
        samples: dict[Any, dict] = {}
        for position, annotation in enumerate(content['annotations']):
            image_id = require(annotation, 'image_id', ID, f'{self.ann_file}: annotation {position} (counted from 0)')
            if image_id not in images:
                raise ValueError(f'{self.ann_file}: an annotation is of image {image_id}, which the file does not list')
            if image_id in samples:
                raise ValueError(f'{self.ann_file}: image {image_id} is annotated more than once')
            samples[image_id] = self._parse(annotation, images[image_id], labels)
        left_out = LeftOut(self.ann_file, 'images')
        for number in images.keys() - samples.keys():
            left_out.add('have no annotation', f'image {number}')
        left_out.report(len(images))
        return list(samples.values())

    def _parse(self, annotation: dict, image: dict, labels: dict[int, int]) -> dict:
        where = f'{self.ann_file}: image {image["id"]}'
        segments = [
            self._segment(segment, labels, where) for segment in field(annotation, 'segments_info', list, where)
        ]
        if len({segment['id'] for segment in segments}) < len(segments):
            raise ValueError(f'{where}: an id of a segment appears more than once')
        info = dict(
            img_path=self.image_path(self.image_file(image)),
            img_id=image['id'],
            height=image['height'],
            width=image['width'],
            seg_map_path=osp.join(self.folder('seg'), require(annotation, 'file_name', str, where)),
            segments_info=segments,
        )
        if self.data_prefix.get('sem'):
            name = osp.splitext(self.image_file(image))[0] + '.png'
            info.update(sem_map_path=osp.join(self.data_prefix['sem'], name), sem_map_values=self.sem_map_values)
        return info

    def image_file(self, image: dict) -> str:
        """Path of an image in its folder, from its entry of the annotation file."""
        return file_name(self.ann_file, image)

    def _segment(self, segment: dict, labels: dict[int, int], where: str) -> dict:
        number = require(segment, 'id', int, f'{where}: a segment')
        if not 0 < number < 1 << 24:
            raise ValueError(f'{where}: a segment has the id {shown(number)}; a PNG has ids from 1 to {(1 << 24) - 1}')
        where = f'{where}: segment {number}'
        label = labels[check_category(where, labels, require(segment, 'category_id', ID, where))]
        return dict(
            id=number,
            label=label,
            is_thing=label >= 0 and self.vocabulary.is_thing[label],
            iscrowd=require(segment, 'iscrowd', bool, where, False),
        )


def _has_several(segments: Sequence[dict], labels: Collection[int]) -> bool:
    """Whether one of the labels has two segments that are no crowds."""
    found = Counter(segment['label'] for segment in segments if not segment['iscrowd'])
    return any(found[label] > 1 for label in labels)
