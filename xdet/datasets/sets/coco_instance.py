"""Instance segmentation in COCO's layout."""

from __future__ import annotations

import os.path as osp
from collections import defaultdict
from typing import Any

from xdet.datasets.files.coco_json import coco_classes, label_of, load_coco_json
from xdet.registry import DATASETS

from .base import SegmentationDataset


@DATASETS.register_module()
class CocoInstanceSegDataset(SegmentationDataset):
    """A COCO instance annotation file and a folder of images; masks may overlap.

    The class list is the file's own, sorted by category id (for COCO the official 80 things), or, if given,
    ``metainfo['classes']``; instances of other categories are then left out. Samples have ``instances`` as in mmdet:
    dicts of ``bbox`` (xyxy), ``bbox_label``, ``mask`` (polygons or RLE) and ``ignore_flag`` (1 for a crowd).

    Args:
        ann_file (str): Annotation file.
        data_prefix (dict): Folder ``img``.
        boxes_only (bool): Use boxes and class names, not masks, as of detection data sets, which need not have any;
            such samples have ``boxes_only=True`` and train with ``SegmentationLoss(box_loss=...)``.
        filter_cfg (dict, optional): ``filter_empty_gt=True`` leaves out images without an instance that is no crowd,
            unless in test mode.
        kwargs: Arguments of :class:`SegmentationDataset`.

    Raises:
        FileNotFoundError: The annotation file or listed images are missing.
        ValueError: The annotation file is unusable.
    """

    def __init__(self, *, boxes_only: bool = False, **kwargs: Any) -> None:
        self.boxes_only = boxes_only
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the annotation file."""
        content = load_coco_json(self.ann_file)
        vocabulary, labels = coco_classes(self.ann_file, content, self._metainfo.get('classes'))
        self.set_vocabulary(vocabulary)
        instances = defaultdict(list)
        for annotation in content['annotations']:
            image_id = annotation['image_id']
            if len(annotation.get('bbox', ())) != 4:
                raise ValueError(
                    f'{self.ann_file}: an annotation of image {image_id} has no bbox; it must be [x, y, width, height]'
                )
            label = label_of(self.ann_file, labels, annotation['category_id'], image_id)
            if label >= 0 and _is_usable(annotation, self.boxes_only):
                instances[image_id].append(_instance(annotation, label, self.boxes_only))
        listed = {image['id'] for image in content['images']}
        stray = next((image_id for image_id in instances if image_id not in listed), None)
        if stray is not None:
            raise ValueError(f'{self.ann_file}: an annotation is of image {stray}, which the file does not list')
        return [self._parse(image, instances[image['id']]) for image in content['images']]

    def _parse(self, image: dict, instances: list[dict]) -> dict:
        return dict(
            img_path=osp.join(self.data_prefix['img'], image['file_name']),
            img_id=image['id'],
            height=image['height'],
            width=image['width'],
            instances=instances,
            **(dict(boxes_only=True) if self.boxes_only else {}),
        )

    def filter_data(self) -> list[dict]:
        """Samples whose images exist and, if asked for, that have something to learn."""
        data_list = super().filter_data()
        if self.test_mode or not (self.filter_cfg or {}).get('filter_empty_gt', False):
            return data_list
        kept = [info for info in data_list if any(not instance['ignore_flag'] for instance in info['instances'])]
        if not kept:
            raise ValueError(f'{self.ann_file}: no image has an instance of {", ".join(self.vocabulary.names)}')
        return kept


def _is_usable(annotation: dict, boxes_only: bool) -> bool:
    described = min(annotation['bbox'][2:]) > 0 if boxes_only else bool(annotation.get('segmentation'))
    return described and annotation.get('area', 1) > 0 and not annotation.get('ignore', 0)


def _instance(annotation: dict, label: int, boxes_only: bool) -> dict:
    x, y, width, height = annotation['bbox']
    return dict(
        bbox=[x, y, x + width, y + height],
        bbox_label=label,
        **({} if boxes_only else dict(mask=annotation['segmentation'])),
        ignore_flag=int(annotation.get('iscrowd', 0)),
    )
