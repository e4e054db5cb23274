"""What users import."""

from importlib.util import find_spec

if find_spec('torch') is None or find_spec('mmengine') is None:
    raise ImportError('xdet.apis needs torch and MMEngine: pip install "xdet[toolkit]" (exported models: xdet.runtime)')

from xdet.bulk.running import BulkResult, run_bulk
from xdet.compat.fitting import load_weights
from xdet.datasets.exchange import AnnotatedImage, AnnotatedSet, Segment, read_annotations, write_annotations
from xdet.editing import REMOVAL_PROMPT, EditResult, edit_image, load_inpainting_pipeline
from xdet.inference.films import FilmFrame
from xdet.inference.inferencer import XDecoderInferencer
from xdet.inference.loaded import EncodedImage
from xdet.inference.outputs.fiftyone import from_fiftyone
from xdet.inference.outputs.journal import ResumeError
from xdet.inference.outputs.reporting import StreamItem
from xdet.inference.outputs.writer import OutputError
from xdet.model_zoo import list_models
from xdet.retrieval.index import ImageHit, ImageIndex, TextHit, TextIndex
from xdet.retrieval.regions import RegionHit, find_regions, segment_phrase
from xdet.retrieval.store import RetrievalIndexError
from xdet.structures import decode_mask
from xdet.video.reading import FilmError

__all__ = [
    'AnnotatedImage',
    'AnnotatedSet',
    'BulkResult',
    'EditResult',
    'EncodedImage',
    'FilmError',
    'FilmFrame',
    'ImageHit',
    'ImageIndex',
    'OutputError',
    'REMOVAL_PROMPT',
    'RegionHit',
    'ResumeError',
    'RetrievalIndexError',
    'Segment',
    'StreamItem',
    'TextHit',
    'TextIndex',
    'XDecoderInferencer',
    'decode_mask',
    'edit_image',
    'find_regions',
    'from_fiftyone',
    'list_models',
    'load_inpainting_pipeline',
    'load_weights',
    'read_annotations',
    'run_bulk',
    'segment_phrase',
    'write_annotations',
]
