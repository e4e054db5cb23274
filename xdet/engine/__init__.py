"""Training machinery; importing this package registers its components."""

from . import hooks
from .deepspeed import DeepSpeedModel, ZeroOptimWrapper
from .joint import JointDataLoader, JointTrainLoop
from .mixed_precision import MixedPrecisionOptimWrapper
from .optim_constructor import XDecoderOptimWrapperConstructor
from .resumable_test import ResumableTestLoop

__all__ = [
    'DeepSpeedModel',
    'JointDataLoader',
    'JointTrainLoop',
    'MixedPrecisionOptimWrapper',
    'ResumableTestLoop',
    'XDecoderOptimWrapperConstructor',
    'ZeroOptimWrapper',
    'hooks',
]
