"""Hooks of training."""

from .broken_samples import BrokenSamplesHook
from .checkpoint import SafeCheckpointHook
from .invalid_loss import InvalidLossHook
from .iteration_seed import IterationSeedHook, seed_everything
from .visualization import DrawPredictionsHook

__all__ = [
    'BrokenSamplesHook',
    'DrawPredictionsHook',
    'InvalidLossHook',
    'IterationSeedHook',
    'SafeCheckpointHook',
    'seed_everything',
]
