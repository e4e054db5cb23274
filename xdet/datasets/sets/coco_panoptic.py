"""Panoptic segmentation in COCO's layout."""

from __future__ import annotations

import os.path as osp
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from xdet.datasets.files.coco_json import coco_classes, known_classes, label_of, load_coco_json
from xdet.registry import DATASETS

from .base import SegmentationDataset


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
        sem_map_values (Mapping): ``ignore_label`` and ``label_offset`` of the label images in ``sem``, which are PNG.
        kwargs: Arguments of :class:`SegmentationDataset`.

    Raises:
        FileNotFoundError: The annotation file or listed images are missing.
        ValueError: The annotation file is unusable.
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
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the annotation file."""
        content = load_coco_json(self.ann_file)
        if self.classes is not None:
            vocabulary, labels = known_classes(self.ann_file, content, self.classes)
        else:
            vocabulary, labels = coco_classes(self.ann_file, content, self._metainfo.get('classes'))
        self.set_vocabulary(vocabulary)
        images = {image['id']: image for image in content['images']}
        return [self._parse(annotation, images, labels) for annotation in content['annotations']]

    def _parse(self, annotation: dict, images: dict[int, dict], labels: dict[int, int]) -> dict:
        image_id = annotation['image_id']
        if image_id not in images:
            raise ValueError(f'{self.ann_file}: an annotation is of image {image_id}, which the file does not list')
        image = images[image_id]
        segments = [self._segment(segment, labels, image_id) for segment in annotation['segments_info']]
        info = dict(
            img_path=osp.join(self.data_prefix['img'], self.image_file(image)),
            img_id=image_id,
            height=image['height'],
            width=image['width'],
            seg_map_path=osp.join(self.data_prefix['seg'], annotation['file_name']),
            segments_info=segments,
        )
        if self.data_prefix.get('sem'):
            name = osp.splitext(self.image_file(image))[0] + '.png'
            info.update(sem_map_path=osp.join(self.data_prefix['sem'], name), sem_map_values=self.sem_map_values)
        return info

    def image_file(self, image: dict) -> str:
        """Path of an image in its folder, from its entry of the annotation file."""
        return image['file_name']

    def _segment(self, segment: dict, labels: dict[int, int], image_id: int) -> dict:
        label = label_of(self.ann_file, labels, segment['category_id'], image_id)
        return dict(
            id=segment['id'],
            label=label,
            is_thing=label >= 0 and self.vocabulary.is_thing[label],
            iscrowd=bool(segment.get('iscrowd', 0)),
        )
