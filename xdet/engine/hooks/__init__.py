"""Hooks of training."""

from .checkpoint import SafeCheckpointHook
from .invalid_loss import InvalidLossHook
from .iteration_seed import IterationSeedHook, seed_everything

__all__ = ['InvalidLossHook', 'IterationSeedHook', 'SafeCheckpointHook', 'seed_everything']
