"""Convolutions the short way equal direct ones, and are taken only where they may be."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from xdet.models.numerics import convolutions as module
from xdet.models.numerics.convolutions import PointwiseConv2d, WinogradConv2d, direct_convolutions, quicker, winograd


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize('strip', [1, 2**21])
@pytest.mark.parametrize('bias', [True, False])
@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize('size', [(1, 1), (3, 5), (4, 4), (8, 12), (9, 30), (31, 17)])
def test_equals_the_direct_convolution(size, layout, bias, strip, monkeypatch):
    monkeypatch.setattr(module, '_STRIP_FLOATS', strip)
    x, weight = draw(2, 24, *size).to(memory_format=layout), draw(20, 24, 3, 3)
    added = draw(20) if bias else None
    expected = F.conv2d(x.double(), weight.double(), None if added is None else added.double(), padding=1)
    made = winograd(x, weight, added)
    assert made.is_contiguous(memory_format=torch.channels_last)
    assert (made - expected).abs().max() < 3e-5 * expected.square().mean().sqrt()


def test_images_of_a_batch_are_independent():
    x, weight = draw(3, 8, 10, 10), draw(8, 8, 3, 3)
    assert torch.equal(winograd(x, weight)[1], winograd(x[1:2], weight)[0])


@pytest.fixture
def conv(monkeypatch):
    """A convolution that tells by which way it went."""
    monkeypatch.setattr(module, 'winograd', lambda x, weight, bias: x.new_zeros(()))
    return quicker(nn.Conv2d(256, 256, 3, padding=1))


def short(made: torch.Tensor) -> bool:
    return made.dim() == 0


@torch.no_grad()
def test_short_way_where_it_pays(conv):
    x = draw(1, 256, 32, 64)
    assert short(conv(x))
    assert not short(conv(x[:, :, :31]))  # few pixels
    with direct_convolutions():
        assert not short(conv(x))
    assert short(conv(x))
    with torch.autocast('cpu', torch.bfloat16):
        assert not short(conv(x))
    assert not short(conv.double()(x.double()))


def test_gradients_go_the_direct_way(conv):
    x = draw(1, 256, 32, 64)
    assert not short(conv(x))
    conv.requires_grad_(False)
    assert short(conv(x))
    assert not short(conv(x.requires_grad_()))


@torch.no_grad()
def test_graphs_hold_one_convolution():
    conv = quicker(nn.Conv2d(256, 256, 3, padding=1))
    graph = torch.export.export(conv, (draw(1, 256, 32, 64),)).graph
    assert [node.target for node in graph.nodes if node.op == 'call_function'] == [torch.ops.aten.conv2d.default]


def test_takes_over_parameters_and_draws_no_random_numbers():
    plain = nn.Conv2d(4, 4, 3, padding=1)
    state = torch.get_rng_state()
    made = quicker(plain)
    assert torch.equal(torch.get_rng_state(), state)
    assert type(made) is WinogradConv2d
    assert made.weight is plain.weight and made.bias is plain.bias
    assert quicker(nn.Conv2d(4, 4, 3, padding=1, bias=False)).bias is None


@pytest.mark.parametrize(
    'other',
    [
        dict(kernel_size=1),
        dict(kernel_size=1, padding=0, stride=2),
        dict(padding_mode='circular'),
        dict(stride=2),
        dict(groups=4),
        dict(padding=0),
        dict(dilation=2),
    ],
    ids=str,
)
def test_other_convolutions_stay_as_they_are(other):
    conv = nn.Conv2d(4, 4, **{**dict(kernel_size=3, padding=1), **other})
    assert quicker(conv) is conv


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
def test_one_pixel_convolution_keeps_the_layout(layout):
    plain = nn.Conv2d(6, 8, 1)
    conv, x = quicker(plain), draw(2, 6, 5, 7).to(memory_format=layout)
    assert type(conv) is PointwiseConv2d
    made = conv(x)
    torch.testing.assert_close(made, plain(x))
    assert made.is_contiguous(memory_format=layout)
    for made_grad, grad in zip(
        *(torch.autograd.grad(one(x).square().sum(), plain.parameters()) for one in (conv, plain)), strict=True
    ):
        torch.testing.assert_close(made_grad, grad)
