"""Class lists by name, and class lists from users' files."""

from .camvid import CAMVID_CLASSES, CAMVID_THINGS
from .coco import COCO_STUFF, COCO_THINGS
from .loading import VOCABULARIES, get_vocabulary, load_class_names, make_vocabulary

__all__ = [
    'CAMVID_CLASSES',
    'CAMVID_THINGS',
    'COCO_STUFF',
    'COCO_THINGS',
    'VOCABULARIES',
    'get_vocabulary',
    'load_class_names',
    'make_vocabulary',
]
