"""What users import."""

from xdet.compat.checkpoint import load_weights

from .editing import REMOVAL_PROMPT, EditResult, edit_image, load_inpainting_pipeline
from .inferencer import EncodedImage, XDecoderInferencer
from .model_zoo import list_models
from .region_search import RegionHit, find_regions, segment_phrase
from .retrieval import ImageHit, ImageIndex, TextHit, TextIndex
from .retrieval_store import RetrievalIndexError
from .segment_results import decode_mask
from .writer import OutputError

__all__ = [
    'EditResult',
    'EncodedImage',
    'ImageHit',
    'ImageIndex',
    'OutputError',
    'REMOVAL_PROMPT',
    'RegionHit',
    'RetrievalIndexError',
    'TextHit',
    'TextIndex',
    'XDecoderInferencer',
    'decode_mask',
    'edit_image',
    'find_regions',
    'list_models',
    'load_inpainting_pipeline',
    'load_weights',
    'segment_phrase',
]
