"""Typed data that crosses rooms. Imports nothing else from xdet."""

from .data_sample import XDetDataSample, segment_map
from .decoder_io import DecoderOutput, ImageFeatures, KeysValues, LayerKeys, LayerPrediction, QueryGroup
from .templates import TEMPLATES, clean_name, training_prompt
from .vocabulary import BACKGROUND, Vocabulary, split_prompts

__all__ = [
    'BACKGROUND',
    'DecoderOutput',
    'ImageFeatures',
    'KeysValues',
    'LayerKeys',
    'LayerPrediction',
    'QueryGroup',
    'TEMPLATES',
    'Vocabulary',
    'XDetDataSample',
    'clean_name',
    'segment_map',
    'split_prompts',
    'training_prompt',
]
