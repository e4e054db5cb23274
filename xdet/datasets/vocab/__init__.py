"""Class lists by name, and class lists from users' files."""

from .class_list import ClassList
from .loading import VOCABULARIES, get_class_list, get_vocabulary, load_class_names, make_vocabulary

__all__ = [
    'VOCABULARIES',
    'ClassList',
    'get_class_list',
    'get_vocabulary',
    'load_class_names',
    'make_vocabulary',
]
