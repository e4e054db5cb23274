"""Schedules whose lengths are fractions of the training."""

from pathlib import Path

import pytest
from mmengine.config import Config

from xdet.engine.optim.schedules import resolve_fractions

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
