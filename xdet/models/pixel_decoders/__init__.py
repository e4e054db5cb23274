"""Pixel decoders: backbone maps to mask features and decoder memory."""

from .deformable import DeformablePixelDecoder
from .fpn_transformer import FPNTransformerPixelDecoder

__all__ = ['DeformablePixelDecoder', 'FPNTransformerPixelDecoder']
