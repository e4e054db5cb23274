"""Datasets, transforms, samplers and class lists."""

from . import transforms, vocab
from .base import SegmentationDataset
from .cityscapes import CityscapesPanopticDataset
from .coco_instance import CocoInstanceSegDataset
from .coco_joint import CocoJointDataset
from .coco_panoptic import CocoPanopticSegDataset
from .image_io import ImageReadError, as_bgr, decode_image, read_image
from .image_label_folder import ImageLabelFolderDataset
from .image_label_list import ImageLabelListDataset
from .image_text import ImageTextDataset
from .phrasecut import PhraseCutDataset
from .refcoco import RefCocoDataset
from .samplers import ResumableSampler, ShardSampler
from .scene_texts import DescribeScene
from .scenes import NameThingsByAttribute, RenderScene, ScenesDataset
from .seeding import Draw, SeededDataset, seeded_rng
from .vqa import QuestionListDataset, VQADataset
from .web_shards import WebShardsDataset

__all__ = [
    'CityscapesPanopticDataset',
    'CocoInstanceSegDataset',
    'CocoJointDataset',
    'CocoPanopticSegDataset',
    'DescribeScene',
    'Draw',
    'ImageLabelFolderDataset',
    'ImageLabelListDataset',
    'ImageReadError',
    'ImageTextDataset',
    'NameThingsByAttribute',
    'PhraseCutDataset',
    'QuestionListDataset',
    'RefCocoDataset',
    'RenderScene',
    'ResumableSampler',
    'ScenesDataset',
    'SeededDataset',
    'SegmentationDataset',
    'ShardSampler',
    'VQADataset',
    'WebShardsDataset',
    'as_bgr',
    'decode_image',
    'read_image',
    'seeded_rng',
    'transforms',
    'vocab',
]
