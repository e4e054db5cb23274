"""Joint training: several sources of data, one update from the sum of their losses."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from torch import nn

from xdet.compat.checkpoint import read_checkpoint as load
from xdet.datasets.order import samplers
from xdet.engine.runner import XDetRunner
from xdet.registry import DATASETS, HOOKS, MODELS
from xdet.structures import Vocabulary

MAX_ITERS, INTERVAL = 6, 3


class Killed(Exception):
    """Stands for the end of the process."""


@pytest.fixture(autouse=True, scope='module')
def components():
    """Register what the test's config names, for this file only."""

    class Numbers(BaseDataset):
        """Samples ``offset``, ``offset + 1``, ... with noise as from an augmentation."""

        METAINFO = dict(vocabulary=Vocabulary(('a',), (True,)))

        def __init__(self, length, offset=0, noise=0.0):
            self.length, self.offset, self.noise = length, offset, noise
            super().__init__()

        def load_data_list(self):
            return [dict(value=float(self.offset + i)) for i in range(self.length)]

        def prepare_data(self, idx):
            value = self.get_data_info(idx)['value']
            return dict(inputs=torch.full((4,), value / 10) + self.noise * torch.rand(4), values=torch.tensor(value))

    class TwoHeads(BaseModel):
        """One body, one head per source, as tasks have parameters that other sources do not reach."""

        def __init__(self):
            super().__init__()
            self.body = nn.Linear(4, 8)
            self.heads = nn.ModuleDict(dict(small=nn.Linear(8, 4), large=nn.Linear(8, 4)))

        def forward(self, inputs, values, mode='loss'):
            name = 'large' if max(values) >= 100 else 'small'
            inputs = torch.stack(inputs)
            error = F.mse_loss(self.heads[name](self.body(inputs)), inputs, reduction='none').mean(1)
            return dict(loss_first=error[0], loss_rest=2 * error[1:].mean(), share=error[0] / error.sum())

    class Recorder(Hook):
        """Notes what training sees; ends it before ``kill_at`` is complete."""

        priority = 'LOWEST'
        seen: list = []

        def __init__(self, kill_at=None):
            self.kill_at = kill_at

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            values = {name: [int(value) for value in batch['values']] for name, batch in data_batch.items()}
            Recorder.seen.append((values, {key: float(value) for key, value in outputs.items()}))
            if runner.iter + 1 == self.kill_at:
                raise Killed

    added = [(DATASETS, Numbers), (MODELS, TwoHeads), (HOOKS, Recorder)]
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


def source(length, batch_size, **options):
    return dict(
        batch_size=batch_size,
        num_workers=options.pop('num_workers', 0),
        dataset=dict(type='SeededDataset', dataset=dict(type='Numbers', length=length, **options)),
        sampler=dict(type='ResumableSampler'),
    )


def runner_of(work_dir, resume=False, kill_at=None, num_workers=0, noise=0.05, **changes):
    cfg = dict(
        model=dict(type='TwoHeads'),
        work_dir=str(work_dir),
        experiment_name=f'{work_dir.name}_{kill_at}_{resume}',
        default_scope='xdet',
        train_dataloader=dict(
            small=source(5, 2, noise=noise, num_workers=num_workers),
            large=source(7, 3, noise=noise, num_workers=num_workers, offset=100),
        ),
        train_cfg=dict(type='JointTrainLoop', max_iters=MAX_ITERS, weights=dict(large=0.5)),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-2), clip_grad=dict(max_norm=5.0)),
        param_scheduler=dict(type='CosineAnnealingLR', by_epoch=False, end=1.0),
        default_hooks=dict(checkpoint=dict(type='SafeCheckpointHook', by_epoch=False, interval=INTERVAL)),
        custom_hooks=[
            dict(type='IterationSeedHook'),
            dict(type='InvalidLossHook'),
            dict(type='EMAHook'),
            dict(type='Recorder', kill_at=kill_at),
        ],
        randomness=dict(seed=5),
        log_processor=dict(by_epoch=False),
        resume=resume,
    )
    cfg.update(changes)
    return XDetRunner.from_cfg(ConfigDict(cfg))


def train(work_dir, **changes):
    """Train; returns what every iteration saw."""
    torch.manual_seed(len(str(work_dir)))  # whatever went on before must not matter
    runner = runner_of(work_dir, **changes)
    recorder = HOOKS.get('Recorder')
    recorder.seen = []
    try:
        runner.train()
    finally:
        del runner.train_loop.dataloader_iterator  # ends the workers now
    return recorder.seen


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


def test_every_source_cycles_on_its_own(tmp_path):
    seen = [values for values, _ in train(tmp_path)]
    small = [value for values in seen for value in values['small']]
    large = [value for values in seen for value in values['large']]
    assert (len(small), len(large)) == (6 * 2, 6 * 3)
    for drawn, all_of_them in ((small, range(5)), (large, range(100, 107))):
        size = len(all_of_them)
        assert sorted(drawn[:size]) == sorted(drawn[size : 2 * size]) == list(all_of_them)


def test_sources_of_a_base_may_be_left_out(tmp_path):
    sources = dict(small=source(5, 2), large=None)
    seen = train(tmp_path / 'one', train_dataloader=sources)  # whose weight stands in the base, too
    assert [list(values) for values, _ in seen] == [['small']] * MAX_ITERS
    with pytest.raises(ValueError, match='must map the name of every source to a data loader'):
        runner_of(tmp_path / 'none', train_dataloader=dict(small=None, large=None)).train()


def test_logged_losses_add_up(tmp_path):
    for _, outputs in train(tmp_path):
        assert set(outputs) == {
            'loss', 'small.loss', 'small.loss_first', 'small.loss_rest', 'small.share',
            'large.loss', 'large.loss_first', 'large.loss_rest', 'large.share',
        }  # fmt: skip
        assert outputs['loss'] == pytest.approx(outputs['small.loss'] + outputs['large.loss'])
        for name in ('small', 'large'):
            terms = outputs[f'{name}.loss_first'] + outputs[f'{name}.loss_rest']
            assert outputs[f'{name}.loss'] == pytest.approx(terms)
        # Weighted are losses only: the share of the first of three errors is less than 0.5, and is not halved.
        first, rest = outputs['large.loss_first'], outputs['large.loss_rest']
        assert outputs['large.share'] == pytest.approx(first / (first + 2 * rest / 2))


@pytest.mark.parametrize('accumulative_counts', [1, 2])
def test_the_update_is_that_of_the_weighted_sum(tmp_path, accumulative_counts):
    """Against plain PyTorch: one backward pass of the sum."""
    runner = runner_of(
        tmp_path,
        noise=0.0,
        param_scheduler=None,
        optim_wrapper=dict(
            optimizer=dict(type='SGD', lr=0.1), accumulative_counts=accumulative_counts, clip_grad=dict(max_norm=0.05)
        ),
    )
    model = MODELS.build(dict(type='TwoHeads'))
    model.load_state_dict(runner.model.state_dict())
    runner.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for iteration, (values, outputs) in enumerate(HOOKS.get('Recorder').seen[-MAX_ITERS:], start=1):
        batches = {
            name: dict(inputs=[torch.full((4,), value / 10) for value in own], values=own)
            for name, own in values.items()
        }
        losses = {name: model(**batch) for name, batch in batches.items()}
        sums = {name: own['loss_first'] + own['loss_rest'] for name, own in losses.items()}
        total = sums['small'] + 0.5 * sums['large']
        assert outputs['loss'] == pytest.approx(total.item(), rel=1e-5)
        (total / accumulative_counts).backward()
        if iteration % accumulative_counts == 0:
            nn.utils.clip_grad_norm_(model.parameters(), 0.05)
            optimizer.step()
            optimizer.zero_grad()
    for (name, trained), expected in zip(runner.model.named_parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(trained, expected, msg=name)


@pytest.mark.parametrize('num_workers', [0, 1])
def test_resumed_equals_uninterrupted(tmp_path, num_workers):
    """Bit for bit, in the middle of an epoch of either source."""
    straight, cut = tmp_path / 'straight', tmp_path / 'cut'
    whole = train(straight)
    with pytest.raises(Killed):
        train(cut, kill_at=5, num_workers=num_workers)
    resumed = train(cut, resume=True, num_workers=num_workers, randomness=dict(seed=99))  # the checkpoint's seed counts
    assert resumed == whole[INTERVAL:]
    checkpoints = [load(folder / f'iter_{MAX_ITERS}.pth') for folder in (straight, cut)]
    for part in ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers'):
        assert equal(*(checkpoint[part] for checkpoint in checkpoints)), part


def test_another_batch_size_goes_on_at_the_next_sample(tmp_path, monkeypatch):
    """And so does another number of processes, which is another batch size of all together; also the second time."""

    def drawn(work_dir, small=2, large=3, max_iters=MAX_ITERS, **changes):
        sources = dict(small=source(5, small), large=source(7, large, offset=100))
        length = dict(type='JointTrainLoop', max_iters=max_iters)
        seen = train(tmp_path / work_dir, train_cfg=length, train_dataloader=sources, **changes)
        return [[number for values, _ in seen for number in values[name]] for name in sources]

    small, large = drawn('straight', max_iters=2 * MAX_ITERS)
    parts = [drawn('cut')]
    parts.append(drawn('cut', 4, 2, MAX_ITERS + 2, resume=True))
    monkeypatch.setattr(samplers, 'get_dist_info', lambda: (0, 2))
    parts.append(drawn('cut', 2, 2, MAX_ITERS + 3, resume=True))
    assert parts == [
        [small[:12], large[:18]],
        [small[12:20], large[18:22]],
        [small[20:24:2], large[22:26:2]],  # the first of two processes
    ]


def test_schedule_follows_the_length_of_the_training(tmp_path):
    runner = runner_of(tmp_path, train_cfg=dict(type='JointTrainLoop', max_iters=4))
    runner.train()
    assert (runner.param_schedulers[0].end, runner.param_schedulers[0].T_max) == (4, 4)


@pytest.mark.parametrize('accumulated', [1, 2])
def test_learning_rate_scales_with_the_samples_of_an_update(tmp_path, accumulated):
    optim_wrapper = dict(optimizer=dict(type='AdamW', lr=1e-2), accumulative_counts=accumulated)
    scaled = dict(auto_scale_lr=dict(enable=True, base_batch_size=10), optim_wrapper=optim_wrapper)
    runner = runner_of(tmp_path, param_scheduler=None, **scaled)
    runner.train()
    assert runner.optim_wrapper.get_lr()['lr'] == [pytest.approx(1e-2 * (2 + 3) * accumulated / 10)]


def test_invalid_loss_names_the_source(tmp_path):
    """Images of other sources are not to blame."""
    sample = type('Sample', (), dict(metainfo=dict(img_path='bad.jpg')))
    good = type('Sample', (), dict(metainfo=dict(img_path='good.jpg')))
    runner = runner_of(tmp_path)
    batch = dict(small=dict(data_samples=[good]), large=dict(data_samples=[sample]))
    outputs = {'loss': torch.tensor(float('nan')), 'small.loss': 1.0, 'large.loss': torch.tensor(float('nan'))}
    hook = HOOKS.build(dict(type='InvalidLossHook'))
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    with pytest.raises(ValueError, match=r'loss, large\.loss not finite for the images bad\.jpg;'):
        hook.after_train_iter(runner, 0, batch, outputs)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(train_dataloader=source(5, 2)), 'a single data loader; name the sources'),
        (dict(train_dataloader=dict(coco='x')), 'must map the name of every source to a data loader'),
        (dict(train_cfg=dict(type='JointTrainLoop', max_iters=1, weights=dict(lagre=1.0))), 'lagre; sources are small'),
        (dict(train_cfg=dict(type='JointTrainLoop', max_iters=1, weights=dict(large=0.0))), "'large' is 0.0; it must"),
    ],
)
def test_mistakes_are_named(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        runner_of(tmp_path, **changes).train()
