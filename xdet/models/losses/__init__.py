"""Matching and losses: functions of tensors and the registered loss modules."""

from .matcher import HungarianMatcher
from .points import sample_points, uncertain_points, uniform_points
from .segmentation import SegmentationLoss

__all__ = ['HungarianMatcher', 'SegmentationLoss', 'sample_points', 'uncertain_points', 'uniform_points']
