"""X-Decoder and its parts; importing this package registers all of them."""

from .backbones import DaViT, FocalNet
from .data_preprocessor import XDecoderDataPreprocessor
from .decoder import XDecoderTransformerDecoder
from .losses import SegmentationLoss
from .pixel_decoders import DeformablePixelDecoder, FPNTransformerPixelDecoder
from .text import OpenCLIPTextEncoder, VocabularyEmbedder, XDecoderTextEncoder
from .xdecoder import XDecoder

__all__ = [
    'DaViT',
    'DeformablePixelDecoder',
    'FPNTransformerPixelDecoder',
    'FocalNet',
    'OpenCLIPTextEncoder',
    'SegmentationLoss',
    'VocabularyEmbedder',
    'XDecoder',
    'XDecoderDataPreprocessor',
    'XDecoderTextEncoder',
    'XDecoderTransformerDecoder',
]
