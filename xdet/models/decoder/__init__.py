"""The decoder and its parts."""

from .xdecoder import IMAGE, OBJECT, XDecoderTransformerDecoder

__all__ = ['IMAGE', 'OBJECT', 'XDecoderTransformerDecoder']
