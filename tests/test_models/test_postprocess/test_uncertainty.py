"""How unsure a model is of names."""

import pytest
import torch

from xdet.models.postprocess import entropy, grid_of, name_shares, uncertainty

SURE = torch.tensor([[50.0, 0, 0], [0, 50.0, 0]])
MASKS = torch.tensor([[50.0, -50, -50, 50], [-50, 50, -50, 50]])[:, None]


def test_shares_of_names_and_of_none():
    shares = name_shares(SURE, MASKS)[:, 0]
    assert torch.allclose(shares, torch.tensor([[1.0, 0, 0, 0.5], [0, 1, 0, 0.5], [0, 0, 1, 0]]), atol=1e-6)
    wanted = torch.tensor([0, 0, 0, torch.log(torch.tensor(2.0)) / torch.log(torch.tensor(3.0))])
    assert torch.allclose(entropy(shares), wanted, atol=1e-5)


def test_a_higher_temperature_is_less_sure():
    logits = torch.randn(4, 6, generator=torch.Generator().manual_seed(0)) * 5
    masks = torch.full((4, 3, 3), 4.0)
    low, high = (entropy(name_shares(logits, masks, value)).mean() for value in (0.5, 2.0))
    assert low < high


@pytest.mark.parametrize('layers, agreement', [(1, 1.0), (3, 0.5)])
def test_agreement_counts_the_earlier_layers(layers, agreement):
    other = SURE.flip(1)  # the first query has no object, the second keeps its name
    logits = [SURE, other, SURE][-layers:]
    embeds = [torch.tensor([[50.0], [-50.0]])] * layers
    maps = uncertainty(logits, embeds, torch.ones(1, 8, 8), (32, 30), (20, 25))
    assert grid_of((32, 30)) == (8, 8)
    assert {key: tuple(value.shape) for key, value in maps.items()} == dict.fromkeys(maps, (1, 20, 25))
    assert torch.allclose(maps['agreement'], torch.tensor(agreement))
    assert torch.allclose(maps['confidence'], torch.tensor(1.0), atol=1e-4)
