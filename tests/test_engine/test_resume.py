"""A training that was interrupted and resumed ends bit for bit like one that was not."""

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import nn

from xdet.compat.checkpoint import read_checkpoint as load
from xdet.registry import DATASETS, HOOKS, MODELS
from xdet.structures import Vocabulary

MAX_ITERS, INTERVAL = 8, 4


class Killed(Exception):
    """Stands for the end of the process."""


@pytest.fixture(autouse=True, scope='module')
def components():
    """Register what the test's config names, for this file only."""

    class NoisyNumbers(BaseDataset):
        METAINFO = dict(classes=('a',), vocabulary=Vocabulary(('a',), (True,)))

        def load_data_list(self):
            return [dict(value=float(i)) for i in range(10)]

        def prepare_data(self, idx):
            noise = random.random() + np.random.rand() + torch.rand(1).item()
            return dict(inputs=torch.full((6,), self.get_data_info(idx)['value'] / 10 + noise))

    class Dropping(BaseModel):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Linear(16, 6))

        def forward(self, inputs, mode='loss'):
            noise = random.random() + np.random.rand()
            inputs = torch.stack(inputs)
            return dict(loss=F.mse_loss(self.layers(inputs) * noise, inputs))

    class KillHook(Hook):
        priority = 'LOWEST'

        def __init__(self, at):
            self.at = at

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            if runner.iter + 1 == self.at:
                raise Killed

    added = [(DATASETS, NoisyNumbers), (MODELS, Dropping), (HOOKS, KillHook)]
    for registry, component in added:
        registry.register_module(module=component)
    yield
    for registry, component in added:
        registry._module_dict.pop(component.__name__)


@pytest.fixture(autouse=True)
def scope():
    """A runner changes the default scope of the process; put it back."""
    with DefaultScope.overwrite_default_scope('xdet'):
        yield


def train(work_dir, num_workers, kill_at=None, resume=False, **changes):
    torch.manual_seed(len(str(work_dir)) + resume)  # whatever went on before must not matter
    cfg = dict(
        model=dict(type='Dropping'),
        work_dir=str(work_dir),
        experiment_name=f'{work_dir.name}_{kill_at}_{resume}',
        default_scope='xdet',
        train_dataloader=dict(
            batch_size=3,
            num_workers=num_workers,
            dataset=dict(type='SeededDataset', dataset=dict(type='NoisyNumbers')),
            sampler=dict(type='ResumableSampler'),
        ),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=MAX_ITERS),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-2), accumulative_counts=2, clip_grad=dict(max_norm=5.0)),
        param_scheduler=[
            dict(type='LinearLR', by_epoch=False, begin=0, end=3, start_factor=0.1),
            dict(type='MultiStepLR', by_epoch=False, milestones=[6]),
        ],
        default_hooks=dict(
            checkpoint=dict(type='SafeCheckpointHook', by_epoch=False, interval=INTERVAL, max_keep_ckpts=1)
        ),
        custom_hooks=[dict(type='IterationSeedHook'), dict(type='InvalidLossHook'), dict(type='EMAHook')],
        randomness=dict(seed=5),
        log_processor=dict(by_epoch=False),
        resume=resume,
    )
    cfg.update(changes)
    if kill_at is not None:
        cfg['custom_hooks'].append(dict(type='KillHook', at=kill_at))
    runner = Runner.from_cfg(cfg)
    try:
        runner.train()
    finally:
        # Ends the workers now; left to the garbage collector each of them takes five seconds.
        del runner.train_loop.dataloader_iterator


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


@pytest.fixture(scope='module')
def straight(components, tmp_path_factory):
    """Final checkpoint of the uninterrupted training."""
    work_dir = tmp_path_factory.mktemp('straight')
    with DefaultScope.overwrite_default_scope('xdet'):
        train(work_dir, num_workers=0)
    assert [path.name for path in work_dir.glob('*.pth')] == ['iter_8.pth']  # max_keep_ckpts
    return load(work_dir / 'iter_8.pth')


@pytest.mark.parametrize('num_workers', [0, 2])
def test_resumed_equals_uninterrupted(tmp_path, straight, num_workers):
    with pytest.raises(Killed):
        train(tmp_path, num_workers, kill_at=6)
    assert not (tmp_path / 'iter_8.pth').exists()
    train(tmp_path, num_workers, resume=True)
    resumed = load(tmp_path / 'iter_8.pth')
    for part in ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers'):
        assert equal(straight[part], resumed[part]), part


def test_resuming_takes_the_checkpoints_seed(tmp_path, straight):
    """Also for the order of the data, whatever seed the config asks for by now."""
    with pytest.raises(Killed):
        train(tmp_path, num_workers=0, kill_at=5)
    train(tmp_path, num_workers=0, resume=True, randomness=dict(seed=99))
    assert equal(load(tmp_path / 'iter_8.pth')['state_dict'], straight['state_dict'])


def test_the_seed_does_matter(tmp_path, straight):
    train(tmp_path, 0, randomness=dict(seed=6))
    assert not equal(load(tmp_path / 'iter_8.pth')['state_dict'], straight['state_dict'])


def test_damaged_last_checkpoint_falls_back(tmp_path, straight):
    hooks = dict(checkpoint=dict(type='SafeCheckpointHook', by_epoch=False, interval=2, max_keep_ckpts=3))
    train(tmp_path, 0, default_hooks=hooks)
    newest = tmp_path / 'iter_8.pth'
    newest.write_bytes(newest.read_bytes()[:1000])
    train(tmp_path, 0, resume=True, default_hooks=hooks)
    assert equal(straight['optimizer'], load(newest)['optimizer'])


def test_full_disk_keeps_the_only_earlier_checkpoint(tmp_path, monkeypatch):
    with pytest.raises(Killed):
        train(tmp_path, 0, kill_at=5)
    earlier = (tmp_path / 'iter_4.pth').read_bytes()

    def fsync(_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('os.fsync', fsync)
    with pytest.raises(OSError, match="iter_8.pth' could not be written: No space left"):
        train(tmp_path, 0, resume=True)
    assert (tmp_path / 'iter_4.pth').read_bytes() == earlier
    assert (tmp_path / 'last_checkpoint').read_text().endswith('iter_4.pth')
    assert not (tmp_path / 'iter_8.pth').exists()


def test_warns_when_checkpoints_cut_an_accumulation(tmp_path):
    train(tmp_path, 0, default_hooks=dict(checkpoint=dict(type='SafeCheckpointHook', by_epoch=False, interval=3)))
    [log] = tmp_path.glob('*/*.log')
    assert 'Use a multiple of 2' in log.read_text()
