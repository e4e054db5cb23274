"""One reader per data set."""

from .base import SegmentationDataset
from .cityscapes import CityscapesPanopticDataset
from .coco_instance import CocoInstanceSegDataset
from .coco_joint import CocoJointDataset
from .coco_panoptic import CocoPanopticSegDataset
from .depth_folder import DepthFolderDataset
from .image_label_folder import ImageLabelFolderDataset
from .image_label_list import ImageLabelListDataset
from .image_text import ImageTextDataset
from .phrasecut import PhraseCutDataset
from .refcoco import RefCocoDataset
from .vqa import QuestionListDataset, VQADataset
from .web_shards import WebShardsDataset

__all__ = [
    'CityscapesPanopticDataset',
    'CocoInstanceSegDataset',
    'CocoJointDataset',
    'CocoPanopticSegDataset',
    'DepthFolderDataset',
    'ImageLabelFolderDataset',
    'ImageLabelListDataset',
    'ImageTextDataset',
    'PhraseCutDataset',
    'QuestionListDataset',
    'RefCocoDataset',
    'SegmentationDataset',
    'VQADataset',
    'WebShardsDataset',
]
