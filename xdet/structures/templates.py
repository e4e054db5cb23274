"""Prompt templates that class names are put into: the bare name and CLIP's ImageNet templates."""

from __future__ import annotations

from functools import cache
from typing import Any

_FIRST = 'a photo of a {}.'


@cache
def _templates() -> tuple[str, ...]:
    from open_clip import OPENAI_IMAGENET_TEMPLATES  # slow to import, so only when templates are asked for

    rest = [template('{}') for template in OPENAI_IMAGENET_TEMPLATES]
    return ('{}.', _FIRST, *(template for template in rest if template != _FIRST))


def __getattr__(name: str) -> Any:
    """``TEMPLATES``: the 81 templates of X-Decoder, in its order."""
    if name == 'TEMPLATES':
        return _templates()
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def clean_name(name: str) -> str:
    """Remove the suffixes by which COCO marks merged and residual classes: ``'sky-other-merged'`` -> ``'sky'``."""
    for suffix in ('-other', '-merged', '-stuff'):
        name = name.replace(suffix, '')
    return name


def training_prompt(name: str, template: str) -> str:
    """The prompt of a cleaned class name in training, where punctuation of the name is dropped as in the release."""
    return template.format(name.replace(',', '').replace('+', ' '))
