"""The decoder and its parts."""

from .heads import cosine_logits, normalize
from .xdecoder import IMAGE, OBJECT, XDecoderTransformerDecoder

__all__ = ['IMAGE', 'OBJECT', 'XDecoderTransformerDecoder', 'cosine_logits', 'normalize']
