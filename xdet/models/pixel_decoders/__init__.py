"""Pixel decoders: backbone maps to mask features and decoder memory."""

from .fpn_transformer import FPNTransformerPixelDecoder

__all__ = ['FPNTransformerPixelDecoder']
