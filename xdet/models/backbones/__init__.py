"""Backbones; those of mmpretrain and mmdet are available through the registry."""

from .davit import DaViT
from .focalnet import FocalNet

__all__ = ['DaViT', 'FocalNet']
