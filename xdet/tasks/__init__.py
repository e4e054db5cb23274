"""Tasks of the model, one adapter per file."""

from .base import TaskAdapter
from .captioning import CaptioningTask
from .classification import ClassificationTask
from .referring import ReferringTask
from .retrieval import RetrievalTask
from .segmentation import SegmentationTask
from .vqa import VQATask

__all__ = [
    'CaptioningTask',
    'ClassificationTask',
    'ReferringTask',
    'RetrievalTask',
    'SegmentationTask',
    'TaskAdapter',
    'VQATask',
]
