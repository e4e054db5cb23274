from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.structures import InstanceData
from torch import nn

from xdet.engine import MixedPrecisionOptimWrapper
from xdet.engine.hooks import seed_everything
from xdet.registry import MODELS, OPTIM_WRAPPERS
from xdet.structures import Vocabulary, XDetDataSample

TINY = Path(__file__).resolve().parents[2] / 'tiny' / 'tiny_run.py'


class Regression(BaseModel):
    """Records in which type its layer computes."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, inputs, data_samples=None, mode='loss'):
        out = self.layer(inputs)
        self.computed_in = out.dtype
        return dict(loss=(out.float() ** 2).mean())


def build(dtype, **kwargs):
    torch.manual_seed(0)
    model = Regression()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    return model, MixedPrecisionOptimWrapper(dtype=dtype, optimizer=optimizer, clip_grad=dict(max_norm=5.0), **kwargs)


@pytest.mark.parametrize('dtype', ['float16', 'bfloat16'])
def test_trains_on_cpu_in_reduced_precision(dtype):
    model, wrapper = build(dtype)
    data = dict(inputs=torch.randn(4, 8))
    losses = [model.train_step(data, wrapper)['loss'].item() for _ in range(20)]
    assert model.computed_in == getattr(torch, dtype)
    assert model.layer.weight.dtype == torch.float32
    assert losses[-1] < 0.5 * losses[0]
    assert wrapper.loss_scaler.is_enabled() == (dtype == 'float16')


def test_overflow_in_float16_skips_the_step_and_lowers_the_scale():
    model, wrapper = build('float16', loss_scale=dict(init_scale=2.0**60))
    before = model.layer.weight.clone()
    model.train_step(dict(inputs=torch.randn(4, 8)), wrapper)
    assert torch.equal(model.layer.weight, before)
    assert wrapper.loss_scaler.get_scale() == 2.0**59


def test_accumulation_steps_every_n_and_averages():
    model, wrapper = build('bfloat16', accumulative_counts=2)
    wrapper.initialize_count_status(model, 0, 4)
    before = model.layer.weight.clone()
    data = dict(inputs=torch.randn(4, 8))
    model.train_step(data, wrapper)
    assert torch.equal(model.layer.weight, before)
    half = model.layer.weight.grad.clone()
    model.train_step(data, wrapper)
    assert not torch.equal(model.layer.weight, before)
    single, plain = build('bfloat16')
    single(**data)['loss'].backward()
    torch.testing.assert_close(2 * half, single.layer.weight.grad, rtol=2e-2, atol=1e-3)


@pytest.mark.parametrize('dtype', ['float16', 'bfloat16'])
def test_state_survives_saving(dtype):
    model, wrapper = build(dtype)
    model.train_step(dict(inputs=torch.randn(4, 8)), wrapper)
    state = wrapper.state_dict()
    _, restored = build(dtype)
    restored.load_state_dict(state)
    assert restored.loss_scaler.state_dict() == wrapper.loss_scaler.state_dict()
    assert restored.optimizer.state_dict()['state'].keys() == wrapper.optimizer.state_dict()['state'].keys()


def tiny_batch():
    """Two pictures with vocabularies of their own, one of them without segments."""
    samples = []
    for names, count in (('ab', 2), ('cde', 0)):
        vocabulary = Vocabulary(tuple(names), (True,) * len(names))
        samples.append(XDetDataSample(metainfo=dict(vocabulary=vocabulary, img_path='picture.png')))
        samples[-1].gt_segments = InstanceData(masks=torch.rand(count, 48, 64) > 0.5, labels=torch.arange(count))
    return dict(inputs=[torch.randint(256, (3, 48, 64), dtype=torch.uint8) for _ in samples], data_samples=samples)


@pytest.mark.parametrize('dtype', ['float16', 'bfloat16'])
def test_the_model_takes_a_step(dtype):
    seed_everything(0)
    model = MODELS.build(Config.fromfile(TINY).model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    options = dict(loss_scale=dict(init_scale=1024.0)) if dtype == 'float16' else {}
    wrapper = MixedPrecisionOptimWrapper(dtype=dtype, optimizer=optimizer, clip_grad=dict(max_norm=5.0), **options)
    data, before = tiny_batch(), {name: p.detach().clone() for name, p in model.named_parameters()}
    seed_everything(1)
    with torch.no_grad():
        exact, _ = model.parse_losses(model(**model.data_preprocessor(data, True), mode='loss'))
    seed_everything(1)
    losses = model.train_step(data, wrapper)
    assert all(value.dtype == torch.float32 and value.isfinite() for value in losses.values())
    torch.testing.assert_close(losses['loss'], exact, rtol=0.05, atol=0)
    assert all(p.isfinite().all() for p in model.parameters())
    assert any(not torch.equal(p, before[name]) for name, p in model.named_parameters())


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="'float64'; accepted are 'float16' and 'bfloat16'"):
        build('float64')
    with pytest.raises(ValueError, match='loss_scale'):
        build('float16', loss_scale='static')
    assert OPTIM_WRAPPERS.get('MixedPrecisionOptimWrapper') is MixedPrecisionOptimWrapper
