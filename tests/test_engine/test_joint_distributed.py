"""Joint training on two ranks equals one process with the batches of both."""

import copy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer
from tiny.ranks import needs_ranks, on_two_ranks

from xdet.compat.checkpoint import read_checkpoint
from xdet.engine.parallel.dist import prepare_distributed
from xdet.engine.parallel.sharding import ShardedRunner
from xdet.engine.runner import XDetRunner
from xdet.models.losses.matching import points as point_sampling
from xdet.models.text import vocabulary
from xdet.visualization import XDetLocalVisualizer

pytestmark = needs_ranks
CONFIG = Path(__file__).resolve().parents[1] / 'tiny' / 'joint_run.py'


def comparable_config(work_dir, ranks=1):
    """Only losses for which the mean over ranks is, mathematically, the loss of the whole batch.

    Cross entropies with weights (classes) or a token count (captions) are means per rank, and the fine half of
    retrieval compares the samples of its own rank.
    """
    cfg = Config.fromfile(str(CONFIG))
    cfg.work_dir = str(work_dir)
    del cfg.model.tasks['captioning']
    cfg.model.tasks.segmentation.loss.class_weight = 0.0
    cfg.model.tasks.retrieval.loss.fine_weight = 0.0
    cfg.optim_wrapper.optimizer = dict(type='SGD', lr=0.01, weight_decay=0.0)
    cfg.train_cfg.max_iters = 2
    for source in cfg.train_dataloader.values():
        source.batch_size //= ranks
    return cfg


def train(cfg):
    for manager in (DefaultScope, MessageHub, MMLogger, Visualizer, XDetLocalVisualizer):
        manager._instance_dict.clear()  # as in a new process
    runner = (ShardedRunner if 'fsdp' in cfg else XDetRunner).from_cfg(cfg)
    before = copy.deepcopy(runner.bare_model.state_dict())
    runner.train()
    return before, runner


@pytest.fixture
def deterministic(monkeypatch):
    """What a loss draws at random would differ between the layouts: each rank has its own stream."""

    def points(count, num_points, device, dtype=torch.float32):
        generator = torch.Generator().manual_seed(num_points)
        return torch.rand(1, num_points, 2, generator=generator, dtype=dtype).expand(count, -1, -1)

    monkeypatch.setattr(point_sampling, 'uniform_points', points)
    monkeypatch.setattr(vocabulary, 'TEMPLATES', vocabulary.TEMPLATES[:1])


def change(before, after):
    return {key: after[key] - value for key, value in before.items() if value.is_floating_point()}


@pytest.mark.parametrize('accumulative_counts', [1, 2])
def test_two_ranks_equal_one_process(tmp_path, deterministic, accumulative_counts):
    def run(ranks):
        cfg = comparable_config(tmp_path / str(ranks), ranks)
        cfg.optim_wrapper.accumulative_counts = accumulative_counts
        if ranks > 1:
            prepare_distributed(cfg, 'pytorch')
        before, runner = train(cfg)
        return before, runner.bare_model.state_dict()

    before, after = run(1)
    ranks = on_two_ranks(lambda: run(2), tmp_path)
    expected = change(before, after)
    for start, end in ranks:
        assert all(torch.equal(start[key], before[key]) for key in before)
        for key, value in change(start, end).items():
            torch.testing.assert_close(value, expected[key], rtol=1e-3, atol=1e-6, msg=key)
    moved = {key.split('.')[0] for key, value in expected.items() if value.any()}
    assert moved == {'backbone', 'pixel_decoder', 'decoder', 'text_encoder', 'tasks'}


def test_unused_parameters_must_be_allowed(tmp_path):
    """Otherwise ranks would wait for ever for the gradients of heads that the last source does not use."""

    def run():
        cfg = comparable_config(tmp_path, ranks=2)
        cfg.find_unused_parameters = False
        prepare_distributed(cfg, 'pytorch')
        with pytest.raises(ValueError, match='set find_unused_parameters=True'):
            train(cfg)

    on_two_ranks(run, tmp_path)


def test_sharded_equals_one_process_also_when_resumed(tmp_path, deterministic):
    """Each of two ranks holds half of every weight."""

    def config(folder, **changes):
        cfg = comparable_config(tmp_path / folder, ranks=2)
        # AdamW has a state to save; its steps depend on signs of tiny gradients, so betas and eps keep it tame.
        cfg.optim_wrapper.optimizer = dict(type='AdamW', lr=0.01, betas=(0.5, 0.5), eps=1.0, weight_decay=0.0)
        cfg.default_hooks.checkpoint.interval = 1
        cfg.update(changes)
        return cfg

    def run():
        sharded = dict(fsdp=dict(), launcher='pytorch')
        _, runner = train(config('cut', train_cfg=dict(type='JointTrainLoop', max_iters=1), **sharded))
        weight = runner.model.decoder.layers[0].self_attn.in_proj_weight
        sizes = torch.tensor([weight.to_local().numel(), weight.numel()])
        train(config('cut', train_cfg=dict(type='JointTrainLoop', max_iters=2), resume=True, **sharded))
        return sizes

    single = config('single', train_cfg=dict(type='JointTrainLoop', max_iters=2))
    for source in single.train_dataloader.values():
        source.batch_size *= 2
    before, runner = train(single)
    expected = change(before, runner.model.state_dict())
    for half, whole in on_two_ranks(run, tmp_path):
        assert 2 * half == whole
    resumed = read_checkpoint(tmp_path / 'cut' / 'iter_2.pth')['state_dict']
    assert resumed.keys() == before.keys()
    for key, value in change(before, resumed).items():
        torch.testing.assert_close(value, expected[key], rtol=1e-3, atol=1e-6, msg=key)
    assert expected['text_encoder.logit_scale'].any()
