"""Training machinery; importing this package registers its components."""

from . import hooks
from .joint import JointDataLoader, JointTrainLoop
from .optim.mixed_precision import MixedPrecisionOptimWrapper
from .optim.optim_constructor import XDecoderOptimWrapperConstructor
from .testing import ResumableTestLoop

__all__ = [
    'JointDataLoader',
    'JointTrainLoop',
    'MixedPrecisionOptimWrapper',
    'ResumableTestLoop',
    'XDecoderOptimWrapperConstructor',
    'hooks',
]
