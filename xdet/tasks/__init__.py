"""Tasks of the model: one adapter and one format each."""

from xdet.structures import FORMATS, TaskFormat

# In the order in which lists name the tasks.
# isort: off
from . import segmentation_format, referring_format, captioning_format  # noqa: F401
from . import vqa_format, classification_format, retrieval_format, pose_format, interactive_format  # noqa: F401
from . import depth_format  # noqa: F401
# isort: on

from .base import TaskAdapter
from .captioning import CaptioningTask
from .classification import ClassificationTask
from .clicks import ClickTask
from .depth import DepthTask
from .interactive import InteractiveTask
from .pose import PoseTask
from .referring import ReferringTask
from .retrieval import RetrievalTask
from .segmentation import SegmentationTask
from .vqa import VQATask

__all__ = [
    'CaptioningTask',
    'ClassificationTask',
    'ClickTask',
    'DepthTask',
    'FORMATS',
    'InteractiveTask',
    'PoseTask',
    'ReferringTask',
    'RetrievalTask',
    'SegmentationTask',
    'TaskAdapter',
    'TaskFormat',
    'VQATask',
]
