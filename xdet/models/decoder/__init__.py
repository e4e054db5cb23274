"""The decoder and its parts."""

from .stream import QueryStream
from .xdecoder import IMAGE, OBJECT, XDecoderTransformerDecoder

__all__ = ['IMAGE', 'OBJECT', 'QueryStream', 'XDecoderTransformerDecoder']
