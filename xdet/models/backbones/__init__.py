"""Backbones; those of mmpretrain and mmdet are available through the registry."""

from .davit import DaViT
from .focalnet import FocalNet
from .timm_backbone import TimmBackbone

__all__ = ['DaViT', 'FocalNet', 'TimmBackbone']
