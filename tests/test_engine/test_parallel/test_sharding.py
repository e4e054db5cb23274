"""What may be combined with sharded weights, on two ranks against one process."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from test_engine.test_joint_distributed import change, comparable_config, train
from tiny.ranks import needs_ranks, on_two_ranks

from xdet.compat.checkpoint import read_checkpoint
from xdet.models.losses.matching import points as point_sampling
from xdet.models.text import vocabulary

pytestmark = needs_ranks

CHECKPOINTING = {f'model.{part}.with_cp': True for part in ('backbone', 'decoder', 'text_encoder')}
LORA = dict(
    lora=dict(r=2, targets=['decoder.layers.*', 'text_encoder.*']),
    # Steps that depend on signs of tiny gradients would differ; eps keeps them tame.
    optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.01, betas=(0.5, 0.5), eps=1.0)),
)
VARIANTS = {
    'load_from': {},
    'weights stay gathered': dict(fsdp=dict(reshard_after_forward=False)),
    'checkpointing': CHECKPOINTING,
    'accumulation': {'optim_wrapper.accumulative_counts': 2},
    'compile': dict(compile=dict(backend='eager', modules=['pixel_decoder'])),
    'lora': LORA,
}


def config(folder: Path, ranks: int, name: str, weights: Path) -> Config:
    cfg = comparable_config(folder / f'{name} {ranks}', ranks)
    cfg.default_hooks.checkpoint.interval = 1
    cfg.load_from = str(weights)
    changes = dict(VARIANTS[name])
    if ranks > 1:
        cfg.update(launcher='pytorch', fsdp=changes.pop('fsdp', dict()))
    else:
        changes.pop('fsdp', None)
    cfg.merge_from_dict(changes)
    return cfg


@pytest.fixture(scope='module')
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every variant trained on two ranks; ``load_from`` (SGD) and ``lora`` (AdamW) were interrupted."""
    folder = tmp_path_factory.mktemp('sharding')
    weights = folder / 'weights.pth'
    patch = pytest.MonkeyPatch()

    def points(count, num_points, device, dtype=torch.float32):
        generator = torch.Generator().manual_seed(num_points)
        return torch.rand(1, num_points, 2, generator=generator, dtype=dtype).expand(count, -1, -1)

    patch.setattr(point_sampling, 'uniform_points', points)
    patch.setattr(vocabulary, 'TEMPLATES', vocabulary.TEMPLATES[:1])
    cfg = comparable_config(folder / 'start', 1)
    cfg.train_cfg.max_iters = 1
    _, runner = train(cfg)
    torch.save(dict(state_dict=runner.model.state_dict()), weights)

    def run() -> bool:
        for name in VARIANTS:
            cfg = config(folder, 2, name, weights)
            if name in ('lora', 'load_from'):
                cut = copy.deepcopy(cfg)
                cut.train_cfg.max_iters = 1
                train(cut)
                cfg.update(resume=True, load_from=None)
            train(cfg)
        return True

    on_two_ranks(run, folder / 'ranks')
    for name in ('load_from', 'accumulation', 'lora'):
        train(config(folder, 1, name, weights))
    patch.undo()
    return folder


@pytest.mark.parametrize('name', VARIANTS)
def test_equals_one_process(trained: Path, name: str) -> None:
    alone = name if name in ('accumulation', 'lora') else 'load_from'  # the others change nothing
    before = read_checkpoint(trained / 'weights.pth')['state_dict']
    expected = read_checkpoint(trained / f'{alone} 1' / 'iter_2.pth')['state_dict']
    found = read_checkpoint(trained / f'{name} 2' / 'iter_2.pth')['state_dict']
    assert found.keys() == expected.keys()
    for key, value in found.items():
        torch.testing.assert_close(value, expected[key], rtol=1e-3, atol=1e-6, msg=f'{name}: {key}')
    moved = {key for key, value in change(before, {**before, **found}).items() if value.any()}
    if name == 'lora':
        assert not moved
        assert any('lora_B' in key and value.any() for key, value in found.items())
    else:
        assert len(moved) > 100
