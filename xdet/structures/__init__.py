"""Typed data that crosses rooms, and how tasks look from outside. Imports no other room of xdet."""

from typing import Any

from . import templates
from .data_sample import XDetDataSample, described_masks, phrase_names, segment_map
from .decoder_io import DecoderOutput, ImageFeatures, KeysValues, LayerPrediction, Pixels, QueryGroup
from .known_words import KnownWords
from .mask_codes import EncodedMask, MaskResult, decode_mask, encode_mask, mask_results
from .prompts import TextPrompts
from .task_format import FORMATS, TaskFormat, TaskFormats
from .templates import clean_name, training_prompt
from .text_line import TextLine
from .vocabulary import BACKGROUND, Vocabulary, split_prompts

__all__ = [
    'BACKGROUND',
    'DecoderOutput',
    'EncodedMask',
    'FORMATS',
    'ImageFeatures',
    'KeysValues',
    'KnownWords',
    'LayerPrediction',
    'MaskResult',
    'Pixels',
    'QueryGroup',
    'TEMPLATES',
    'TaskFormat',
    'TaskFormats',
    'TextLine',
    'TextPrompts',
    'Vocabulary',
    'XDetDataSample',
    'clean_name',
    'decode_mask',
    'described_masks',
    'encode_mask',
    'mask_results',
    'phrase_names',
    'segment_map',
    'split_prompts',
    'training_prompt',
]


def __getattr__(name: str) -> Any:
    """``TEMPLATES`` takes long to import."""
    if name == 'TEMPLATES':
        return templates.TEMPLATES
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
