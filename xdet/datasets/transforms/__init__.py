"""Transforms of data pipelines; those of mmcv, mmdet and mmseg that are named in the configs work as well."""

from .formatting import PackXDetInputs
from .loading import LoadSegments, LoadXDetImage

__all__ = ['LoadSegments', 'LoadXDetImage', 'PackXDetInputs']
