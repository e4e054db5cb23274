"""Panoptic segmentation in COCO's layout."""

from __future__ import annotations

import os.path as osp

from xdet.registry import DATASETS

from .base import SegmentationDataset
from .coco_json import coco_classes, label_of, load_coco_json


@DATASETS.register_module()
class CocoPanopticSegDataset(SegmentationDataset):
    """A COCO panoptic annotation file, a folder of images, and a folder of PNGs with ``id = R + 256 G + 65536 B``.

    The class list is the file's own (for COCO the official 133, things first) or, if given, ``metainfo['classes']``;
    segments of other categories then count as void. Samples have ``seg_map_path`` and ``segments_info``, dicts of
    ``id, label, is_thing, iscrowd`` with ``label`` -1 for void.

    Args:
        ann_file (str): Annotation file.
        data_prefix (dict): Folders ``img`` and ``seg``.
        kwargs: Arguments of :class:`SegmentationDataset`.

    Raises:
        FileNotFoundError: The annotation file or listed images are missing.
        ValueError: The annotation file is unusable.
    """

    def load_data_list(self) -> list[dict]:
        """Read the annotation file."""
        content = load_coco_json(self.ann_file)
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
        return dict(
            img_path=osp.join(self.data_prefix['img'], image['file_name']),
            img_id=image_id,
            height=image['height'],
            width=image['width'],
            seg_map_path=osp.join(self.data_prefix['seg'], annotation['file_name']),
            segments_info=segments,
        )

    def _segment(self, segment: dict, labels: dict[int, int], image_id: int) -> dict:
        label = label_of(self.ann_file, labels, segment['category_id'], image_id)
        return dict(
            id=segment['id'],
            label=label,
            is_thing=label >= 0 and self.vocabulary.is_thing[label],
            iscrowd=bool(segment.get('iscrowd', 0)),
        )
