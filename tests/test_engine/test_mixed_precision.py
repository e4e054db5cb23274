import pytest
import torch
from mmengine.model import BaseModel
from torch import nn

from xdet.engine import MixedPrecisionOptimWrapper
from xdet.registry import OPTIM_WRAPPERS


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


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="'float64'; accepted are 'float16' and 'bfloat16'"):
        build('float64')
    with pytest.raises(ValueError, match='loss_scale'):
        build('float16', loss_scale='static')
    assert OPTIM_WRAPPERS.get('MixedPrecisionOptimWrapper') is MixedPrecisionOptimWrapper
