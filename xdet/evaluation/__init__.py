"""Metrics of segmentation."""

from .instance_ap import InstanceAP
from .panoptic_quality import ClassCounts, PanopticQuality, match_segments
from .semantic_iou import SemanticIoU, class_areas

__all__ = ['ClassCounts', 'InstanceAP', 'PanopticQuality', 'SemanticIoU', 'class_areas', 'match_segments']
