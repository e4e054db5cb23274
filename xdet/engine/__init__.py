"""Training machinery; importing this package registers its components."""

from . import hooks
from .joint import JointDataLoader, JointTrainLoop
from .optim.mixed_precision import MixedPrecisionOptimWrapper
from .optim.optim_constructor import XDecoderOptimWrapperConstructor
from .parallel.deepspeed import DeepSpeedModel, ZeroOptimWrapper
from .testing import ResumableTestLoop

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
