"""Instance segmentation in COCO's layout."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from xdet.datasets.files.coco_json import coco_classes, file_name, load_coco_json
from xdet.datasets.files.coco_objects import read_objects
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
        images, objects = read_objects(self.ann_file, content, boxes_only=self.boxes_only)
        instances = defaultdict(list)
        for found in objects:
            label = labels[found['category_id']]
            if label >= 0:
                instances[found['image_id']].append(_instance(found, label))
        return [self._parse(image, instances[number]) for number, image in images.items()]

    def _parse(self, image: dict, instances: list[dict]) -> dict:
        return dict(
            img_path=self.image_path(file_name(self.ann_file, image)),
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


def _instance(found: dict, label: int) -> dict:
    x, y, width, height = found['bbox']
    outline = dict(mask=found['segmentation']) if 'segmentation' in found else {}
    return dict(bbox=[x, y, x + width, y + height], bbox_label=label, **outline, ignore_flag=found['iscrowd'])
