"""Matching and losses: functions of tensors and the registered loss modules."""

from .criteria.answers import AnswerLoss
from .criteria.boxes import BoxMaskLoss
from .criteria.captioning import CaptionLoss
from .criteria.clicks import ClickLoss
from .criteria.contrastive import ImageTextContrastiveLoss, RetrievalLoss, TokenContrastiveLoss
from .criteria.depth import SILogLoss
from .criteria.distillation import DistillationLoss, RelationalDistillationLoss
from .criteria.grounding import GroundingLoss
from .criteria.keypoints import KeypointLoss
from .criteria.nouns import NounContrastiveLoss
from .criteria.segmentation import SegmentationLoss
from .distributed import RowGather
from .identity import text_ids
from .matching.matcher import HungarianMatcher
from .matching.points import sample_points, uncertain_points, uniform_points
from .targets import GroundingTargets, NounTargets, RetrievalTargets, SegmentTargets, TaughtSegments

__all__ = [
    'AnswerLoss',
    'BoxMaskLoss',
    'CaptionLoss',
    'ClickLoss',
    'DistillationLoss',
    'GroundingLoss',
    'GroundingTargets',
    'HungarianMatcher',
    'ImageTextContrastiveLoss',
    'KeypointLoss',
    'NounContrastiveLoss',
    'NounTargets',
    'RelationalDistillationLoss',
    'RetrievalLoss',
    'RetrievalTargets',
    'RowGather',
    'SILogLoss',
    'SegmentTargets',
    'SegmentationLoss',
    'TaughtSegments',
    'TokenContrastiveLoss',
    'sample_points',
    'text_ids',
    'uncertain_points',
    'uniform_points',
]
