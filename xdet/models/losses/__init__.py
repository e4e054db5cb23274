"""Matching and losses: functions of tensors and the registered loss modules."""

from .answers import AnswerLoss
from .boxes import BoxMaskLoss
from .captioning import CaptionLoss
from .clicks import ClickLoss
from .contrastive import ImageTextContrastiveLoss, RetrievalLoss, TokenContrastiveLoss
from .depth import SILogLoss
from .distillation import DistillationLoss, RelationalDistillationLoss
from .distributed import RowGather
from .grounding import GroundingLoss
from .identity import text_ids
from .keypoints import KeypointLoss
from .matcher import HungarianMatcher
from .nouns import NounContrastiveLoss
from .points import sample_points, uncertain_points, uniform_points
from .segmentation import SegmentationLoss
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
