"""Training machinery; importing this package registers its components."""

from . import hooks
from .joint import JointDataLoader, JointTrainLoop
from .mixed_precision import MixedPrecisionOptimWrapper
from .optim_constructor import XDecoderOptimWrapperConstructor
from .resumable_test import ResumableTestLoop

__all__ = [
    'JointDataLoader',
    'JointTrainLoop',
    'MixedPrecisionOptimWrapper',
    'ResumableTestLoop',
    'XDecoderOptimWrapperConstructor',
    'hooks',
]
