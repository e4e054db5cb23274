"""Hooks of training."""

from .broken_samples import BrokenSamplesHook
from .checkpoint import SafeCheckpointHook
from .invalid_loss import InvalidLossHook
from .iteration_seed import IterationSeedHook, seed_everything
from .known_words import KnownWordsHook
from .logger import LoggerHook
from .time_budget import TimeBudgetHook
from .visualization import DrawPredictionsHook

__all__ = [
    'BrokenSamplesHook',
    'DrawPredictionsHook',
    'InvalidLossHook',
    'IterationSeedHook',
    'KnownWordsHook',
    'LoggerHook',
    'SafeCheckpointHook',
    'TimeBudgetHook',
    'seed_everything',
]
