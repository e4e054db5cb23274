"""Training for a given time, whatever the machine does in it."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import torch
from mmengine.dist import broadcast
from mmengine.hooks import Hook
from mmengine.runner import Runner

from xdet.registry import HOOKS


@HOOKS.register_module()
class TimeBudgetHook(Hook):
    """Learning rates that warm up over iterations and decay over time, and an end when the time is up.

    Made for machines that are lent for minutes: the rate has decayed when the training ends, however fast it was. Takes
    the place of ``param_scheduler``, which must be empty. A training of this kind cannot be repeated exactly, and a
    resumed one warms up again and gets its whole time again.

    Args:
        seconds (float): Time from the first iteration on.
        warmup (int): Iterations of linear warm-up.
        end_factor (float): Part of the learning rate that is left at the end.

    Raises:
        ValueError: There is a ``param_scheduler`` as well.
    """

    priority = 'LOW'

    def __init__(self, seconds: float, warmup: int = 100, end_factor: float = 0.01) -> None:
        self.seconds = seconds
        self.warmup = warmup
        self.end_factor = end_factor
        self._begun: float | None = None
        self._first = 0
        self._rates: list[float] = []

    def before_run(self, runner: Runner) -> None:
        """Remember the rates of the config, before a checkpoint brings decayed ones."""
        if not hasattr(runner.optim_wrapper, 'param_groups'):  # not a training
            return
        if runner.param_schedulers:
            raise ValueError('TimeBudgetHook sets the learning rates; remove param_scheduler from the config')
        self._rates = [group['lr'] for group in runner.optim_wrapper.param_groups]

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | Sequence | None = None) -> None:
        """Set the rates of this iteration."""
        if self._begun is None:
            self._begun, self._first = time.monotonic(), runner.iter
        passed = torch.tensor(min(1.0, (time.monotonic() - self._begun) / self.seconds))
        broadcast(passed)
        decay = self.end_factor + (1 - self.end_factor) * 0.5 * (1 + math.cos(math.pi * passed.item()))
        factor = min(1.0, (runner.iter - self._first + 1) / max(1, self.warmup)) * decay
        for group, rate in zip(runner.optim_wrapper.param_groups, self._rates, strict=True):
            group['lr'] = rate * factor
        if passed >= 1:
            runner.train_loop._max_iters = runner.iter + 1
            runner.train_loop.stop_training = True
