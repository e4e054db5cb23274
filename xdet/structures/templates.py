"""Prompt templates that class names are put into: the bare name and CLIP's ImageNet templates."""

from __future__ import annotations

from open_clip import OPENAI_IMAGENET_TEMPLATES

_CLIP_TEMPLATES = [template('{}') for template in OPENAI_IMAGENET_TEMPLATES]
_FIRST = 'a photo of a {}.'

TEMPLATES = ('{}.', _FIRST, *(template for template in _CLIP_TEMPLATES if template != _FIRST))
"""The 81 templates of X-Decoder, in its order."""


def clean_name(name: str) -> str:
    """Remove the suffixes by which COCO marks merged and residual classes: ``'sky-other-merged'`` -> ``'sky'``."""
    for suffix in ('-other', '-merged', '-stuff'):
        name = name.replace(suffix, '')
    return name


def training_prompt(name: str, template: str) -> str:
    """The prompt of a cleaned class name in training, where punctuation of the name is dropped as in the release."""
    return template.format(name.replace(',', '').replace('+', ' '))
