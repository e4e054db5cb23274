"""Schedules whose lengths are fractions of the training."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import PARAM_SCHEDULERS

from xdet.engine.optim.schedules import fit_schedule, resolve_fractions

CONFIGS = Path(__file__).resolve().parents[3] / 'configs'


def test_floats_are_fractions_and_integers_iterations():
    schedule = [
        dict(type='LinearLR', by_epoch=False, begin=0, end=100, start_factor=0.02),
        dict(type='CosineAnnealingLR', by_epoch=False, begin=100, end=1.0, eta_min=1e-5),
        dict(type='MultiStepLR', by_epoch=False, milestones=[0.5, 900], gamma=0.1),
    ]
    linear, cosine, steps = resolve_fractions(schedule, 1000)
    assert linear == schedule[0]
    assert cosine == dict(schedule[1], end=1000) and isinstance(cosine['end'], int)
    assert steps['milestones'] == [500, 900] and steps['gamma'] == 0.1
    assert schedule[1]['end'] == 1.0


def test_schedules_by_optimizer_and_by_epoch():
    by_epoch = dict(type='MultiStepLR', milestones=[3])
    assert resolve_fractions(dict(a=by_epoch, b=[by_epoch]), 10) == dict(a=by_epoch, b=[by_epoch])
    assert resolve_fractions(None, 10) is None


@pytest.mark.parametrize('fraction', [1.5, -0.1, 100.0])
def test_not_a_fraction(fraction):
    with pytest.raises(ValueError, match=f'LinearLR: end is {fraction}; .* from 0 to 1'):
        resolve_fractions(dict(type='LinearLR', by_epoch=False, end=fraction), 10)


def test_fractions_of_epochs():
    with pytest.raises(ValueError, match='milestones is .* set by_epoch=False'):
        resolve_fractions(dict(type='MultiStepLR', milestones=[0.5]), 10)


def test_official_milestones():
    cfg = Config.fromfile(CONFIGS / '_base_/schedules/xdecoder_50e.py')
    assert resolve_fractions(cfg.param_scheduler, cfg.train_cfg.max_iters)['milestones'] == [164311, 178003]


@pytest.mark.parametrize('max_iters', [1, 2, 3, 6, 20, 50, 99, 100, 101, 102, 150])
@pytest.mark.parametrize('path', sorted((CONFIGS / '_base_/schedules').glob('*.py')), ids=lambda path: path.stem)
def test_shipped_schedules_work_for_any_length(path, max_iters):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    plan = resolve_fractions(Config.fromfile(path).param_scheduler, max_iters)
    schedule, _ = fit_schedule([plan] if isinstance(plan, dict) else plan, max_iters)
    schedulers = [PARAM_SCHEDULERS.build(dict(step, optimizer=optimizer)) for step in schedule]
    rates = []
    for _ in range(max_iters):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    assert all(0 < rate < 1.001 for rate in rates)
    if max_iters > 1:
        assert max(rates) > 0.9, 'the full rate is reached'


def test_what_a_training_is_too_short_for():
    plan = [
        dict(type='LinearLR', by_epoch=False, begin=0, end=100),
        dict(type='CosineAnnealingLR', by_epoch=False, begin=100, end=1.0),
    ]
    assert fit_schedule(resolve_fractions(plan, 300), 300) == ([plan[0], dict(plan[1], end=300)], [])
    assert fit_schedule(resolve_fractions(plan, 20), 20) == ([dict(plan[0], end=20)], ['CosineAnnealingLR'])
    short = [dict(type='LinearLR', by_epoch=False, begin=0, end=0.05), dict(plan[1], begin=0.05)]
    assert fit_schedule(resolve_fractions(short, 6), 6) == ([dict(plan[1], begin=0, end=6)], ['LinearLR'])
    by_epoch = dict(type='MultiStepLR', milestones=[3])
    for kept in (by_epoch, [by_epoch], None, [], dict(a=[by_epoch])):
        assert fit_schedule(kept, 1) == (kept, [])


def test_lengths_that_are_divided_by_stay_positive():
    step = dict(type='StepLR', by_epoch=False, step_size=0.1, begin=0.1)
    assert resolve_fractions(step, 3) == dict(step, step_size=1, begin=0)
    assert resolve_fractions(dict(type='CosineAnnealingLR', by_epoch=False, T_max=0.01), 3)['T_max'] == 1
