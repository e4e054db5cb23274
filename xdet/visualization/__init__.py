"""Pictures of samples and results."""

from xdet.structures import TextLine

from .local_visualizer import XDetLocalVisualizer
from .palette import class_colors
from .sheets import ranking_sheet, thumbnail
from .text_strip import add_text_strip

__all__ = ['TextLine', 'XDetLocalVisualizer', 'add_text_strip', 'class_colors', 'ranking_sheet', 'thumbnail']
