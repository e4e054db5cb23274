"""Rates follow the clock, and training ends when the time is up."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from xdet.engine.hooks import TimeBudgetHook, time_budget


class Clock:
    """A training whose iterations take as long as one says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, hook: TimeBudgetHook, first: int = 0) -> None:
        self.now, self.hook = 100.0, hook
        monkeypatch.setattr(time_budget.time, 'monotonic', lambda: self.now)
        self.groups = [dict(lr=1.0), dict(lr=0.1)]
        self.runner = SimpleNamespace(
            iter=first,
            param_schedulers=[],
            optim_wrapper=SimpleNamespace(param_groups=self.groups),
            train_loop=SimpleNamespace(_max_iters=1000, stop_training=False),
        )
        hook.before_run(self.runner)

    def step(self, seconds: float) -> float:
        self.hook.before_train_iter(self.runner, self.runner.iter)
        self.now += seconds
        self.runner.iter += 1
        assert self.groups[1]['lr'] == pytest.approx(0.1 * self.groups[0]['lr'])
        return self.groups[0]['lr']


def test_rates_decay_with_time_and_training_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, TimeBudgetHook(seconds=40, warmup=1))
    assert [clock.step(10) for _ in range(4)] == pytest.approx([1.0, 0.855, 0.505, 0.155], abs=1e-3)
    assert not clock.runner.train_loop.stop_training
    assert clock.step(10) == pytest.approx(0.01)
    assert clock.runner.train_loop.stop_training and clock.runner.train_loop._max_iters == 5


def test_warm_up_counts_iterations(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, TimeBudgetHook(seconds=1e6, warmup=4))
    assert [clock.step(1) for _ in range(5)] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])


def test_resumed_training_has_the_rates_of_the_config(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint brings decayed ones between ``before_run`` and the first iteration."""
    clock = Clock(monkeypatch, TimeBudgetHook(seconds=10, warmup=2), first=70)
    for group in clock.groups:
        group['lr'] *= 0.01
    assert [clock.step(0) for _ in range(2)] == pytest.approx([0.5, 1.0])


def test_other_runs_have_no_rates() -> None:
    config = dict(type='OptimWrapper')
    TimeBudgetHook(seconds=10).before_run(SimpleNamespace(optim_wrapper=config, param_schedulers=[dict(type='StepLR')]))


def test_schedulers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, TimeBudgetHook(seconds=10))
    clock.runner.param_schedulers = [object()]
    with pytest.raises(ValueError, match='param_scheduler'):
        TimeBudgetHook(seconds=10).before_run(clock.runner)
