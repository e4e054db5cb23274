"""Typed data that crosses rooms, and how tasks look from outside. Imports no other room of xdet.

Names are imported when they are asked for: vocabularies and the settings of generated texts need no torch.
"""

from typing import TYPE_CHECKING

from xdet.lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        'data_sample': 'XDetDataSample described_masks phrase_names segment_map',
        'decoder_io': 'DecoderOutput ImageFeatures KeysValues LayerPrediction Pixels QueryGroup',
        'known_words': 'KnownWords',
        'masks.maps': 'MapMasks expand_masks',
        'masks.codes': 'EncodedMask MaskResult decode_mask encode_mask mask_results',
        'prompts': 'TextPrompts',
        'task_format': 'FORMATS TaskFormat TaskFormats',
        'templates': 'TEMPLATES clean_name training_prompt',
        'text_line': 'TextLine',
        'thresholds': 'Thresholds',
        'vocabulary': 'BACKGROUND Vocabulary split_prompts',
    },
)

if TYPE_CHECKING:  # what `__getattr__` returns has no type
    from .data_sample import XDetDataSample as XDetDataSample
    from .data_sample import described_masks as described_masks
    from .data_sample import phrase_names as phrase_names
    from .data_sample import segment_map as segment_map
    from .decoder_io import DecoderOutput as DecoderOutput
    from .decoder_io import ImageFeatures as ImageFeatures
    from .decoder_io import KeysValues as KeysValues
    from .decoder_io import LayerPrediction as LayerPrediction
    from .decoder_io import Pixels as Pixels
    from .decoder_io import QueryGroup as QueryGroup
    from .known_words import KnownWords as KnownWords
    from .masks.codes import EncodedMask as EncodedMask
    from .masks.codes import MaskResult as MaskResult
    from .masks.codes import decode_mask as decode_mask
    from .masks.codes import encode_mask as encode_mask
    from .masks.codes import mask_results as mask_results
    from .masks.maps import MapMasks as MapMasks
    from .masks.maps import expand_masks as expand_masks
    from .prompts import TextPrompts as TextPrompts
    from .task_format import FORMATS as FORMATS
    from .task_format import TaskFormat as TaskFormat
    from .task_format import TaskFormats as TaskFormats
    from .templates import clean_name as clean_name
    from .templates import training_prompt as training_prompt
    from .text_line import TextLine as TextLine
    from .thresholds import Thresholds as Thresholds
    from .vocabulary import BACKGROUND as BACKGROUND
    from .vocabulary import Vocabulary as Vocabulary
    from .vocabulary import split_prompts as split_prompts

    TEMPLATES: tuple[str, ...]
