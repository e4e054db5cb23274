"""Attention against torch's own module, whose numbers it must reproduce."""

import pytest
import torch
from torch import nn

from xdet.models.decoder.layers import Attention, DecoderLayer
from xdet.models.decoder.positioned import PositionedLayer
from xdet.structures import Pixels


@pytest.mark.parametrize('masked', [False, True])
def test_attention_equals_torch(masked):
    torch.manual_seed(0)
    ours = Attention(32, 4)
    nn.init.normal_(ours.in_proj_bias)
    theirs = nn.MultiheadAttention(32, 4, batch_first=True)
    theirs.load_state_dict(ours.state_dict())
    query, key, value = torch.randn(2, 5, 32), torch.randn(2, 7, 32), torch.randn(2, 7, 32)
    mask = (torch.rand(2, 1, 5, 7) > 0.4) if masked else None
    if masked:
        mask[..., 0] = True
    blocked = None if mask is None else (~mask).expand(2, 4, 5, 7).flatten(0, 1)
    expected = theirs(query, key, value, attn_mask=blocked)[0]
    torch.testing.assert_close(ours(query, ours.project(key, value), mask), expected, rtol=1e-5, atol=1e-6)


def test_layer_leaves_groups_without_image_attention_out_of_cross_attention():
    torch.manual_seed(0)
    layer = DecoderLayer(16, 2, 32)
    x, position = torch.randn(1, 5, 16), torch.randn(1, 5, 16)
    own = torch.eye(5, dtype=torch.bool)[None, None]
    every = torch.ones(1, 3, 6, dtype=torch.bool)

    def run(memory):
        return layer(x, position, Pixels(memory, torch.zeros(1, 6, 16)), every, own)[0]

    first, second = run(torch.randn(1, 6, 16)), run(torch.randn(1, 6, 16))
    assert torch.equal(first[:, 3:], second[:, 3:])
    assert not torch.allclose(first[:, :3], second[:, :3])


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match='not a multiple'):
        Attention(10, 3)


@torch.no_grad()
def test_positions_in_values_begin_as_nothing_and_then_say_where_pixels_are() -> None:
    """Old weights give equal bits, once for all pixels and token by token."""
    torch.manual_seed(0)
    plain, positioned = DecoderLayer(16, 2, 32), PositionedLayer(16, 2, 32)
    lacking, unknown = positioned.load_state_dict(plain.state_dict(), strict=False)
    assert (lacking, unknown) == (['value_position.weight'], [])
    pixels = Pixels(torch.randn(2, 12, 16), torch.randn(1, 12, 16))
    x, position = torch.randn(2, 3, 16), torch.randn(2, 3, 16)
    masks = torch.ones(2, 3, 12, dtype=torch.bool), torch.ones(1, 1, 3, 3, dtype=torch.bool)
    expected, found = (layer(x, position, pixels, *masks)[0] for layer in (plain, positioned))
    assert torch.equal(expected, found)
    positioned.value_position.weight.normal_()
    shifted = pixels._replace(position=pixels.position.roll(1, 1))
    keys = positioned.image_keys(pixels)
    assert (
        torch.equal(keys.keys, plain.image_keys(pixels).keys)
        and positioned.image_keys(pixels._replace(keys=keys)) is keys
    )
    assert not torch.allclose(keys.values, positioned.image_keys(shifted).values)
