"""Sharded weights together with bfloat16 and channels-last images, on two ranks."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer
from tiny.ranks import needs_ranks, on_two_ranks

from xdet.compat.checkpoint import read_checkpoint
from xdet.engine.parallel.sharding import ShardedRunner
from xdet.engine.runner import XDetRunner
from xdet.visualization import XDetLocalVisualizer

pytestmark = needs_ranks
CONFIG = Path(__file__).resolve().parents[2] / 'tiny' / 'joint_run.py'


def config(work_dir: Path, ranks: int) -> Config:
    cfg = Config.fromfile(str(CONFIG))
    cfg.work_dir = str(work_dir)
    cfg.model.channels_last = ranks > 1
    # Losses whose mean over ranks is that of the whole batch, and none that is drawn at random.
    del cfg.model.tasks['captioning']
    cfg.model.tasks.retrieval.loss.fine_weight = 0.0
    cfg.train_dataloader.pop('segments')
    cfg.optim_wrapper = dict(
        type='MixedPrecisionOptimWrapper', dtype='bfloat16', optimizer=dict(type='SGD', lr=0.01, weight_decay=0.0)
    )
    cfg.train_cfg.max_iters = 2
    cfg.train_dataloader.captions.batch_size //= ranks
    return cfg


def train(cfg: Config) -> dict:
    """Returns the weights before the training."""
    for manager in (DefaultScope, MessageHub, MMLogger, Visualizer, XDetLocalVisualizer):
        manager._instance_dict.clear()  # as in a new process
    runner = (ShardedRunner if 'fsdp' in cfg else XDetRunner).from_cfg(cfg)
    before = {} if 'fsdp' in cfg else copy.deepcopy(runner.bare_model.state_dict())
    runner.train()
    return before


def test_equals_one_process_in_bfloat16(tmp_path: Path) -> None:
    def sharded() -> bool:
        cfg = config(tmp_path / 'sharded', ranks=2)
        cfg.update(fsdp=dict(), launcher='pytorch')
        train(cfg)
        return True

    assert on_two_ranks(sharded, tmp_path) == [True, True]
    before = train(config(tmp_path / 'alone', ranks=1))
    weights = [read_checkpoint(tmp_path / folder / 'iter_2.pth')['state_dict'] for folder in ('sharded', 'alone')]
    together = weights[0]
    assert together.keys() == before.keys()
    assert all(together[key].dtype == value.dtype for key, value in before.items())
    for part in ('backbone', 'pixel_decoder', 'decoder', 'text_encoder', 'tasks'):
        names = [key for key, value in before.items() if key.startswith(part) and value.is_floating_point()]
        step, expected = (torch.cat([(after[key] - before[key]).flatten() for key in names]) for after in weights)
        # Rounding to eight bits depends on the batch; gradients that are lost or counted twice would be off by half.
        assert 0 < torch.linalg.vector_norm(step - expected) < 0.1 * torch.linalg.vector_norm(expected), part
