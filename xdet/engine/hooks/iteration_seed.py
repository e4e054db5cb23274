"""Randomness of training as a function of the iteration."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner

from xdet.datasets import ResumableSampler
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
    are :class:`~xdet.datasets.ResumableSampler`'s part, for which this hook keeps in checkpoints how many samples all
    processes together have drawn: a training may go on with another number of processes, or another batch size, and
    still takes the next sample.
    """

    priority = 'VERY_HIGH'
    _drawn: Sequence[int] | None = None  # by the resumed training, of every source

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Add the numbers of samples that the sources have given so far."""
        iterations = checkpoint['meta']['iter']
        drawn = [_drawn(loader, iterations) for loader, _ in train_loaders(runner)]
        if None not in drawn:
            checkpoint['meta']['samples_drawn'] = drawn

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Note these numbers."""
        self._drawn = checkpoint.get('meta', {}).get('samples_drawn')

    def before_train(self, runner: Runner) -> None:
        """Hand seed and place of a resumed checkpoint to the samplers, which were built before it was read."""
        loaders = train_loaders(runner)
        for loader, cfg in loaders:
            if hasattr(loader.sampler, 'seed') and (cfg.get('sampler') or {}).get('seed') is None:
                loader.sampler.seed = runner.seed
        if runner.iter and self._drawn is not None and len(self._drawn) == len(loaders):
            for (loader, _), drawn in zip(loaders, self._drawn, strict=True):
                # What the loop is going to skip are the samples of as many iterations of the present size.
                if (present := _drawn(loader, runner.iter)) is not None:
                    loader.sampler.offset += drawn - present

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | Sequence | None = None) -> None:
        """Seed before anything of this iteration is computed."""
        seed_everything(runner.seed, get_rank(), runner.iter)


def _drawn(loader: Any, iterations: int) -> int | None:
    """Samples that all processes take in so many iterations, and before; None if the sampler is of another kind."""
    sampler = loader.sampler
    if not isinstance(sampler, ResumableSampler) or loader.batch_size is None:
        return None
    return sampler.offset + iterations * loader.batch_size * sampler.world_size
