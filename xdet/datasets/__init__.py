"""Data sets, transforms, samplers and class lists."""

from importlib import import_module

from . import transforms, vocab
from .files.image_io import ImageReadError, as_bgr, decode_image, read_image
from .order.samplers import ResumableSampler, ShardSampler
from .order.seeding import Draw, SeededDataset, seeded_rng
from .sets import *  # noqa: F403  their list is the room's own
from .sets import __all__ as _sets

__all__ = [
    *_sets,
    'Draw',
    'ImageReadError',
    'ResumableSampler',
    'SeededDataset',
    'ShardSampler',
    'as_bgr',
    'decode_image',
    'read_image',
    'seeded_rng',
    'transforms',
    'vocab',
]


def __getattr__(name: str):
    """The generated world's classes, which lived here before version 0.2."""
    if name in ('DescribeScene', 'NameThingsByAttribute', 'RenderScene', 'ScenesDataset'):
        return getattr(import_module('xdet.scenes'), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
