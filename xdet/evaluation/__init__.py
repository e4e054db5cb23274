"""Metrics of all tasks."""

from .captions.metrics import CaptionMatch, CaptionNames, CaptionQuality, cider_d
from .captions.regions import RegionCaptionMatch
from .coco_results import CocoResults
from .depth import DepthError, depth_errors
from .fields import field
from .instance_ap import InstanceAP
from .oracle import OracleSemanticIoU
from .panoptic_quality import ClassCounts, PanopticQuality, match_segments
from .pose import PoseAccuracy, correct_keypoints
from .predictions import DumpPredictions
from .referring import ReferringIoU
from .retrieval import RetrievalRecall, retrieval_ranks
from .semantic_iou import SemanticIoU, class_areas
from .vqa import VQAAccuracy, answer_score

__all__ = [
    'CaptionMatch',
    'CaptionNames',
    'CaptionQuality',
    'ClassCounts',
    'CocoResults',
    'DepthError',
    'DumpPredictions',
    'InstanceAP',
    'OracleSemanticIoU',
    'PanopticQuality',
    'PoseAccuracy',
    'ReferringIoU',
    'RegionCaptionMatch',
    'RetrievalRecall',
    'SemanticIoU',
    'VQAAccuracy',
    'answer_score',
    'cider_d',
    'correct_keypoints',
    'class_areas',
    'depth_errors',
    'field',
    'match_segments',
    'retrieval_ranks',
]
