import random
from types import SimpleNamespace

import numpy as np
import torch

from xdet.engine.hooks import IterationSeedHook, iteration_seed, seed_everything
from xdet.registry import HOOKS


def draw():
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_every_generator_depends_on_every_number():
    seed_everything(1, 0, 5)
    first = draw()
    draw()
    seed_everything(1, 0, 5)
    assert draw() == first
    for other in ((2, 0, 5), (1, 1, 5), (1, 0, 6)):
        seed_everything(*other)
        assert all(a != b for a, b in zip(draw(), first, strict=True))


def test_hook_seeds_from_seed_rank_and_iteration(monkeypatch):
    monkeypatch.setattr(iteration_seed, 'get_rank', lambda: 3)
    hook = HOOKS.build(dict(type='IterationSeedHook'))
    assert isinstance(hook, IterationSeedHook)
    hook.before_train_iter(SimpleNamespace(seed=11, iter=7), 7)
    seen = draw()
    seed_everything(11, 3, 7)
    assert draw() == seen
