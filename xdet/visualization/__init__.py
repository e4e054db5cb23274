"""Pictures of samples."""

from .local_visualizer import XDetLocalVisualizer
from .palette import class_colors

__all__ = ['XDetLocalVisualizer', 'class_colors']
