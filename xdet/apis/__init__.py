"""What users import."""

from xdet.compat.checkpoint import load_weights

from .inferencer import EncodedImage, XDecoderInferencer
from .model_zoo import list_models
from .segment_results import decode_mask
from .writer import OutputError

__all__ = ['EncodedImage', 'OutputError', 'XDecoderInferencer', 'decode_mask', 'list_models', 'load_weights']
