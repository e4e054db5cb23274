"""Backbones; those of mmpretrain and mmdet are available through the registry."""

from .focalnet import FocalNet

__all__ = ['FocalNet']
