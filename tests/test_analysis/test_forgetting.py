"""Weights between two trainings, the table, and the whole tool on a small model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from tiny.tools import run_tool

from xdet.analysis.forgetting import between, forgetting_table, weights_for
from xdet.compat.checkpoint import write_state_dict
from xdet.registry import MODELS

BEFORE = dict(a=torch.tensor([1.0, 2.0]), head=torch.zeros(2), count=torch.tensor(3), old=torch.ones(1))
AFTER = dict(a=torch.tensor([2.0, 0.0]), head=torch.ones(3), count=torch.tensor(5), new=torch.ones(1))


@pytest.mark.parametrize(('strength', 'a'), [(0, [1.0, 2.0]), (0.25, [1.25, 1.5]), (1, [2.0, 0.0]), (2, [3.0, -2.0])])
def test_weights_lie_on_the_line(strength: float, a: list[float]) -> None:
    mixed = between(BEFORE, AFTER, strength)
    assert mixed['a'].tolist() == a and mixed['count'] == 5 and len(mixed['head']) == 3
    assert set(mixed) == {'a', 'head', 'count', 'old', 'new'}


def test_the_ends_are_exact() -> None:
    before, after = (dict(x=torch.randn(1000, generator=torch.Generator().manual_seed(seed)).half()) for seed in (0, 1))
    assert torch.equal(between(before, after, 0)['x'], before['x'])
    assert torch.equal(between(before, after, 1)['x'], after['x'])


def test_old_models_keep_their_own_shapes() -> None:
    mixed = between(BEFORE, AFTER, 0.5)
    old = weights_for(dict(a=torch.empty(2), head=torch.empty(2)), mixed, BEFORE)
    assert torch.equal(old['head'], BEFORE['head']) and old['a'].tolist() == [1.5, 1.0]
    with pytest.raises(ValueError, match=r'have strange \(4,\)'):
        weights_for(dict(strange=torch.empty(4)), mixed, BEFORE)


def test_table() -> None:
    results = {'new': {0.0: dict(AP=10.0), 1.0: dict(AP=50.0)}, 'old': {0.0: dict(PQ=40.0, n=1.0), 1.0: dict(PQ=30.0)}}
    header, rows = forgetting_table(results, ['AP', 'PQ'])
    assert header == ['test', 'value', '0', '1', 'change']
    assert rows == [['new', 'AP', 10.0, 50.0, 40.0], ['old', 'PQ', 40.0, 30.0, -10.0]]


def test_the_tool(tiny_config: Config, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Two tests of one model: the values at the ends are those of the weights there."""
    cfg = tiny_config.copy()
    pipeline = [dict(type='RenderScene', size=64), dict(type='PackXDetInputs', test_mode=True, tasks=('panoptic',))]
    cfg.test_dataloader = dict(
        batch_size=1,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(type='ScenesDataset', split='val', num_scenes=2, pipeline=pipeline),
    )
    cfg.test_evaluator = [dict(type='PanopticQuality')]
    for name in ('new', 'old'):
        cfg.dump(str(tmp_path / f'{name}.py'))
    for seed, name in enumerate(('before', 'after')):
        torch.manual_seed(seed)
        write_state_dict(MODELS.build(cfg.model).state_dict(), tmp_path / f'{name}.pth')
    new, old, before, after = (str(tmp_path / f) for f in ('new.py', 'old.py', 'before.pth', 'after.pth'))
    common = ('--before', before, '--old', old, '--strengths', '0', '0.5', '1', '--device', 'cpu')
    run_tool(
        'analysis_tools/forgetting',
        new,
        after,
        *common,
        '--save',
        '1',
        str(tmp_path / 'same.pth'),
        '--out-dir',
        str(tmp_path),
    )
    found = json.loads((tmp_path / 'forgetting.json').read_text())
    assert found['new'] == found['old'] and set(found['new']) == {'0.0', '0.5', '1.0'}
    same = torch.load(tmp_path / 'same.pth', weights_only=True)
    assert all(torch.equal(value, same[key]) for key, value in torch.load(after, weights_only=True).items())
    assert 'panoptic/PQ' in capsys.readouterr().out
