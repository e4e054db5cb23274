"""Randomness of training as a function of the iteration."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner

from xdet.engine.joint import train_loaders
from xdet.registry import HOOKS


def seed_everything(*entropy: int) -> None:
    """Seed the global generators of Python, NumPy and torch (all devices) with a combination of integers."""
    words = np.random.SeedSequence(entropy).generate_state(8)
    random.seed(words[:4].tobytes())
    np.random.seed(words[4:6])
    torch.manual_seed(int(words[6]) << 31 | int(words[7]) >> 1)


@HOOKS.register_module()
class IterationSeedHook(Hook):
    """Seeds everything from (seed, rank, iteration) before each training iteration.

    What a model draws (dropout, prompt templates, points of the losses) then depends on nothing that happened before,
    neither on validation nor on an interruption: a resumed training equals an uninterrupted one bit for bit. The data
    are :class:`~xdet.datasets.ResumableSampler`'s part.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """Hand the seed of a resumed checkpoint to the samplers, which were built before the checkpoint was read."""
        for loader, cfg in train_loaders(runner):
            if hasattr(loader.sampler, 'seed') and (cfg.get('sampler') or {}).get('seed') is None:
                loader.sampler.seed = runner.seed

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | Sequence | None = None) -> None:
        """Seed before anything of this iteration is computed."""
        seed_everything(runner.seed, get_rank(), runner.iter)
