"""How tasks are asked and reported, by the name of the task; each stands beside its adapter in ``xdet/tasks``."""

from xdet.structures import FORMATS as TASK_FORMATS
from xdet.structures import TaskFormat

__all__ = ['TASK_FORMATS', 'TaskFormat']
