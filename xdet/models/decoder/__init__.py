"""The decoder and its parts."""

from .regions import resize_regions
from .stream import QueryStream
from .xdecoder import IMAGE, OBJECT, XDecoderTransformerDecoder

__all__ = ['IMAGE', 'OBJECT', 'QueryStream', 'XDecoderTransformerDecoder', 'resize_regions']
