"""Task adapters: one file and one config line per task."""

from .base import TaskAdapter
from .segmentation import SegmentationTask, vocabulary_of

__all__ = ['SegmentationTask', 'TaskAdapter', 'vocabulary_of']
