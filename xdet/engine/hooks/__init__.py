"""Hooks of training."""

from .checkpoint import SafeCheckpointHook
from .invalid_loss import InvalidLossHook
from .iteration_seed import IterationSeedHook, seed_everything
from .visualization import DrawPredictionsHook

__all__ = ['DrawPredictionsHook', 'InvalidLossHook', 'IterationSeedHook', 'SafeCheckpointHook', 'seed_everything']
