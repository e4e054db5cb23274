"""Transforms of data pipelines; those of mmcv, mmdet and mmseg that the configs name work as well."""

from .depth import LoadDepth
from .describe_segments import DescribeSegments
from .flipping import RandomFlipWithTexts
from .formatting import PackXDetInputs
from .keypoints import LoadKeypoints
from .large_scale_jitter import LargeScaleJitter
from .loading import LoadSegments, LoadXDetImage
from .oracle import OracleVocabulary
from .questions import ChooseQuestions
from .resizing import ResizeShortestEdge
from .texts import ChooseCaption, ChoosePhrases

__all__ = [
    'ChooseCaption',
    'ChoosePhrases',
    'ChooseQuestions',
    'DescribeSegments',
    'LargeScaleJitter',
    'LoadDepth',
    'LoadKeypoints',
    'LoadSegments',
    'LoadXDetImage',
    'OracleVocabulary',
    'PackXDetInputs',
    'RandomFlipWithTexts',
    'ResizeShortestEdge',
]
