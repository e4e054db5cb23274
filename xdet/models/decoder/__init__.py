"""The decoder and its parts."""

from .stream import QueryStream, resize_regions
from .xdecoder import IMAGE, OBJECT, XDecoderTransformerDecoder

__all__ = ['IMAGE', 'OBJECT', 'QueryStream', 'XDecoderTransformerDecoder', 'resize_regions']
