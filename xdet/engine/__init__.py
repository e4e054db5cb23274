"""Training machinery; importing this package registers its components."""

from . import hooks
from .mixed_precision import MixedPrecisionOptimWrapper
from .optim_constructor import XDecoderOptimWrapperConstructor

__all__ = ['MixedPrecisionOptimWrapper', 'XDecoderOptimWrapperConstructor', 'hooks']
