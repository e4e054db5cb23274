"""ZeRO on two ranks is the training of one process; its checkpoints are those of any other training."""

from __future__ import annotations

import copy
import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer
from tiny.ranks import needs_ranks, on_two_ranks
from torch import Tensor, nn

from xdet.cli.launch import choose_runner
from xdet.compat.checkpoint import read_checkpoint
from xdet.engine.parallel.deepspeed import DeepSpeedModel, LossScale, ZeroOptimWrapper, check_config, import_deepspeed
from xdet.engine.runner import XDetRunner
from xdet.models.losses import points as point_sampling
from xdet.models.text import vocabulary
from xdet.visualization import XDetLocalVisualizer

CONFIG = Path(__file__).resolve().parents[2] / 'tiny' / 'joint_run.py'
needs_deepspeed = pytest.mark.skipif(
    importlib.util.find_spec('deepspeed') is None,
    reason='deepspeed is not installed (pip install -e ".[deepspeed]")',
)
ITERS = 3


@pytest.fixture
def deterministic(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a loss draws at random would differ between one process and two."""

    def points(count: int, num_points: int, device: Any, dtype: torch.dtype = torch.float32) -> Tensor:
        generator = torch.Generator().manual_seed(num_points)
        return torch.rand(1, num_points, 2, generator=generator, dtype=dtype).expand(count, -1, -1)

    monkeypatch.setattr(point_sampling, 'uniform_points', points)
    monkeypatch.setattr(vocabulary, 'TEMPLATES', vocabulary.TEMPLATES[:1])


def config(work_dir: Path, stage: int = 0, max_iters: int = ITERS, **changes: Any) -> Config:
    """Joint training whose losses are means over the batch; with a stage for two ranks, else for one process."""
    cfg = Config.fromfile(str(CONFIG))
    cfg.work_dir = str(work_dir)
    del cfg.model.tasks['captioning']
    cfg.model.tasks.segmentation.loss.class_weight = 0.0
    cfg.model.tasks.retrieval.loss.fine_weight = 0.0
    # An update per two iterations and one for the last, both clipped. The steps of AdamW depend on signs of tiny
    # gradients, so betas and eps keep it tame. Without weight decay, as ZeRO decays what was not used, too.
    cfg.optim_wrapper.accumulative_counts = 2
    cfg.optim_wrapper.clip_grad.max_norm = 1.0
    cfg.optim_wrapper.optimizer = dict(type='AdamW', lr=0.01, betas=(0.5, 0.5), eps=1.0, weight_decay=0.0)
    cfg.param_scheduler = dict(type='LinearLR', by_epoch=False, begin=0, end=4, start_factor=0.5)
    cfg.train_cfg.max_iters = max_iters
    cfg.default_hooks.checkpoint = dict(type='SafeCheckpointHook', by_epoch=False, interval=2, save_last=True)
    if stage:
        cfg.launcher = 'pytorch'
        cfg.deepspeed = dict(zero_optimization=dict(stage=stage, reduce_bucket_size=20_000))
        for source in cfg.train_dataloader.values():
            source.batch_size //= 2
    cfg.update(changes)
    return cfg


def train(cfg: Config) -> XDetRunner:
    for manager in (DefaultScope, MessageHub, MMLogger, Visualizer, XDetLocalVisualizer):
        manager._instance_dict.clear()  # as in a new process
    runner = choose_runner(cfg).from_cfg(cfg)
    runner.train()
    return runner


def start_weights(cfg: Config) -> dict[str, Tensor]:
    for manager in (DefaultScope, MessageHub, MMLogger, Visualizer, XDetLocalVisualizer):
        manager._instance_dict.clear()
    runner = XDetRunner.from_cfg(cfg)
    runner.bare_model.init_weights()
    return copy.deepcopy(runner.bare_model.state_dict())


def assert_equal(first: Any, second: Any) -> None:
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def assert_close(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Weights and states of the optimizer agree as sums in another order do; both checkpoints have one format."""
    assert first['state_dict'].keys() == second['state_dict'].keys()
    torch.testing.assert_close(first['state_dict'], second['state_dict'], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(first['optimizer']['state'], second['optimizer']['state'], rtol=1e-3, atol=1e-5)
    assert first['optimizer']['param_groups'] == second['optimizer']['param_groups']
    assert first['param_schedulers'] == second['param_schedulers']


@needs_ranks
@needs_deepspeed
@pytest.mark.parametrize('stage', [1, 2])
def test_equals_one_process_also_when_resumed(tmp_path: Path, deterministic: None, stage: int) -> None:
    train(config(tmp_path / 'plain'))

    def run() -> float:
        runner = train(config(tmp_path / 'zero', stage))
        train(config(tmp_path / 'cut', stage, max_iters=2))
        for folder, checkpoint in (('cut', 'cut/iter_2.pth'), ('from_plain', 'plain/iter_2.pth')):
            train(config(tmp_path / folder, stage, resume=True, load_from=str(tmp_path / checkpoint)))
        part = runner.optim_wrapper.optimizer.param_groups[0]['params'][0].numel()
        return part / sum(parameter.numel() for parameter in runner.optim_wrapper.zero.bit16_groups[0])

    for share in on_two_ranks(run, tmp_path):
        assert share == pytest.approx(0.5, abs=0.01), 'each process keeps half of the state'
    cut = tmp_path / 'cut' / 'iter_2.pth'
    train(config(tmp_path / 'to_plain', resume=True, load_from=str(cut)))
    plain, zero, resumed, from_plain, to_plain = (
        read_checkpoint(tmp_path / folder / f'iter_{ITERS}.pth')
        for folder in ('plain', 'zero', 'cut', 'from_plain', 'to_plain')
    )
    assert_close(zero, plain)
    assert_close(from_plain, plain)
    assert_close(to_plain, plain)
    for part in ('state_dict', 'optimizer'):
        assert_equal(resumed[part], zero[part])
    norms = [checkpoint['message_hub']['log_scalars']['train/grad_norm'].data[0] for checkpoint in (plain, zero)]
    torch.testing.assert_close(*map(torch.as_tensor, norms), rtol=1e-4, atol=0.0)
    for part in ('backbone', 'pixel_decoder', 'decoder', 'text_encoder', 'tasks'):
        before = start_weights(config(tmp_path / 'start'))
        assert any(not torch.equal(zero['state_dict'][key], before[key]) for key in before if key.startswith(part))


@needs_ranks
@needs_deepspeed
@pytest.mark.parametrize(('dtype', 'scale'), [('bfloat16', {}), ('float16', dict(loss_scale=dict(init_scale=128.0)))])
def test_mixed_precision_with_validation(tmp_path: Path, deterministic: None, dtype: str, scale: dict) -> None:
    """One source, whose loop is the usual one; the weights stay in float32."""

    def single_source(folder: str, stage: int = 0) -> Config:
        cfg = config(tmp_path / folder, stage)
        cfg.optim_wrapper.update(type='MixedPrecisionOptimWrapper', dtype=dtype, **scale)
        cfg.train_dataloader = cfg.train_dataloader.captions
        cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=ITERS, val_interval=2)
        cfg.val_cfg, cfg.val_evaluator = dict(type='ValLoop'), dict(type='SemanticIoU')
        pipeline = [
            dict(type='RenderScene', size=64),
            dict(type='PackXDetInputs', test_mode=True, tasks=('semantic',)),
        ]
        cfg.val_dataloader = dict(
            batch_size=1,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=dict(type='ScenesDataset', split='val', num_scenes=2, pipeline=pipeline),
        )
        return cfg

    def run() -> bool:
        train(single_source('zero', stage=1))
        return True

    assert on_two_ranks(run, tmp_path) == [True, True]
    train(single_source('plain'))
    plain, zero = (read_checkpoint(tmp_path / folder / f'iter_{ITERS}.pth') for folder in ('plain', 'zero'))
    before = start_weights(single_source('start'))
    for part in ('backbone', 'text_encoder', 'tasks'):
        names = [key for key, value in before.items() if key.startswith(part) and value.is_floating_point()]
        step, expected = (
            torch.cat([(checkpoint['state_dict'][key] - before[key]).flatten() for key in names])
            for checkpoint in (zero, plain)
        )
        assert step.dtype == torch.float32
        assert 0 < torch.linalg.vector_norm(step - expected) < 0.1 * torch.linalg.vector_norm(expected), part
    assert any(key.startswith('val/') for key in zero['message_hub']['log_scalars'])
    if scale:
        assert zero['optimizer']['loss_scaler'] == plain['optimizer']['loss_scaler']


class Branches(nn.Module):
    """Two parameters, of which a process uses those it is told to, in that order."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))

    def forward(self, names: str, mode: str = 'loss') -> Tensor:
        loss = torch.ones(())
        for name in names:
            loss = loss * getattr(self, name).sum()
        return loss


def wrapped(stage: int) -> tuple[DeepSpeedModel, ZeroOptimWrapper]:
    model = DeepSpeedModel(Branches())
    wrapper = ZeroOptimWrapper(torch.optim.SGD(model.parameters(), lr=1.0))
    wrapper.start(model, dict(zero_optimization=dict(stage=stage, reduce_bucket_size=100)))
    return model, wrapper


@needs_ranks
@needs_deepspeed
def test_processes_may_use_other_parameters(tmp_path: Path) -> None:
    """Stage 1 takes the missing gradients for zero; stage 2 would mix them up and says so."""

    def run() -> Tensor:
        names = 'a' if dist.get_rank() else 'b'
        model, wrapper = wrapped(stage=1)
        wrapper.update_params(model.run_engine(names))
        divided, refusing = wrapped(stage=2)
        with pytest.raises(ValueError, match='same parameters in every process.*stage=1'):
            refusing.update_params(divided.run_engine(names))
        return torch.cat([model.module.a.detach(), model.module.b.detach()])

    for weights in on_two_ranks(run, tmp_path):
        assert_equal(weights, torch.full((6,), 0.5))


def test_scale_follows_overflows() -> None:
    scale = LossScale.from_config(dict(init_scale=8.0, growth_interval=2))
    for overflow, value in ((True, 4.0), (False, 4.0), (False, 8.0), (False, 8.0)):
        scale.update(overflow)
        assert scale.value == value
    other = LossScale.from_config('dynamic')
    other.load_state_dict(scale.state_dict())
    assert (other.value, other.updates) == (8.0, 1)
    constant = LossScale.from_config(32.0)
    constant.update(overflow=True)
    assert constant.value == 32.0
    assert scale.state_dict().keys() == torch.amp.GradScaler('cpu').state_dict().keys()


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(deepspeed=dict()), r'deepspeed is \{\}; it must have zero_optimization, as in deepspeed=dict'),
        (dict(deepspeed=dict(zero_optimization=dict(stage=3))), 'stage is 3; accepted are 1 and 2. fsdp=dict'),
        (dict(deepspeed=dict(zero_optimization=dict())), 'stage is None; accepted are 1 and 2'),
        (dict(bf16=dict(enabled=True)), 'deepspeed.bf16 would be said twice; use --amp bf16'),
        (dict(gradient_clipping=1.0), 'deepspeed.gradient_clipping would be said twice; use optim_wrapper.clip_grad'),
        (dict(custom_hooks=[dict(type='EMAHook')]), 'does not go together with averaged weights'),
        (dict(optim_wrapper=dict(type='ApexOptimWrapper')), 'optim_wrapper is ApexOptimWrapper; accepted are'),
        (dict(optim_wrapper=dict(clip_grad=dict(type='value', clip_value=1.0))), 'clips by norm only'),
        (dict(optim_wrapper=dict(clip_grad=dict(max_norm=1.0, norm_type=1))), 'norm of type 2, not 1'),
    ],
)
def test_what_does_not_go_together_is_named(changes: dict, message: str) -> None:
    deepspeed: dict = dict(zero_optimization=dict(stage=1))
    keys = ('deepspeed', 'custom_hooks', 'optim_wrapper')
    deepspeed.update((key, value) for key, value in changes.items() if key not in keys)
    cfg = dict(optim_wrapper=dict(clip_grad=dict(max_norm=1.0)), deepspeed=deepspeed)
    cfg.update((key, value) for key, value in changes.items() if key in keys)
    with pytest.raises(ValueError, match=message):
        check_config(Config(cfg))


@pytest.mark.parametrize('key', ['offload_optimizer', 'overlap_comm'])
def test_unsupported_options_of_zero_are_named(key: str) -> None:
    with pytest.raises(ValueError, match=f'deepspeed.zero_optimization.{key} '):
        check_config(Config(dict(deepspeed=dict(zero_optimization={'stage': 1, key: dict(device='cpu')}))))


@pytest.mark.parametrize(
    ('cfg', 'message'),
    [
        (dict(strategy=dict(type='DeepSpeedStrategy')), 'strategy is for a runner of MMEngine.*accepted are fsdp'),
        (dict(runner_type='FlexibleRunner'), 'runner_type is for a runner of MMEngine.*deepspeed=dict.*DDP'),
        (dict(fsdp=dict(), deepspeed=dict()), 'fsdp and deepspeed do not go together'),
    ],
)
def test_other_ways_of_dividing_are_refused(cfg: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choose_runner(Config(cfg))


def test_training_needs_processes(tmp_path: Path) -> None:
    cfg = config(tmp_path, stage=1, launcher='none')
    with pytest.raises(ValueError, match='several processes; start them with tools/dist_train.sh'):
        train(cfg)


def test_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'deepspeed', None)
    with pytest.raises(ImportError, match=r"pip install -e '.\[deepspeed\]'"):
        import_deepspeed()
