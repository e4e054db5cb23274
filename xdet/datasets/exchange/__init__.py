"""Annotated images in the formats of other tools, read into one structure and written from it."""

from xdet.lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        'annotated': 'AnnotatedImage AnnotatedSet Polygon Segment',
        'check': 'check_set wrong_sizes',
        'kinds': 'KINDS detect_kind is_one_file read_annotations write_annotations',
        'problems': 'Problems',
        'splitting': 'split_set',
    },
)
