"""LoRA adapters: no change at the start, plain names in checkpoints, merged equals unmerged."""

from __future__ import annotations

import pytest
import torch
from mmengine.config import Config
from mmengine.runner.checkpoint import get_state_dict
from tiny.tools import CONFIG
from torch import nn

from xdet.compat.checkpoint import CheckpointError
from xdet.compat.fitting import load_weights
from xdet.engine.optim.lora import add_lora, check_options, merge_lora
from xdet.engine.optim.trainable import select_trainable, summary
from xdet.registry import MODELS

peft = pytest.importorskip('peft', reason='peft is not installed (pip install -e ".[lora]")')

EVERYWHERE = ('backbone.*', 'pixel_decoder.*', 'decoder.*', 'text_encoder.*')


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return MODELS.build(Config.fromfile(str(CONFIG)).model).eval()


@torch.no_grad()
def outputs(model: nn.Module) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    last = model(torch.rand(2, 3, 64, 64, generator=generator)).last
    return [last.mask_embed, last.class_embed, model.text_encoder(['a red circle', 'grass']).pooled]


def assert_equal_outputs(expected: list[torch.Tensor], actual: list[torch.Tensor]) -> None:
    for a, b in zip(expected, actual, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def train_adapters(model: nn.Module) -> None:
    """Stand-in for training: B is zero at the start."""
    torch.manual_seed(2)
    for name, parameter in model.named_parameters():
        if '.lora_B.' in name:
            nn.init.normal_(parameter, std=0.3)


def test_adapters_start_as_no_change(model: nn.Module) -> None:
    before = outputs(model)
    names = add_lora(model, r=2, targets=EVERYWHERE)
    assert_equal_outputs(before, outputs(model))
    assert names and all('.lora_A.' in name or '.lora_B.' in name for name in names)


def test_only_adapters_are_trained(model: nn.Module) -> None:
    names = add_lora(model, r=2)
    select_trainable(model, trainable=('decoder.class_embed',), always=names)
    assert {name for name, parameter in model.named_parameters() if parameter.requires_grad} == {
        *names,
        'decoder.class_embed',
    }
    assert len(names) == 2 * 2 * 4  # A and B; two layers; two attentions' out_proj, linear1 and linear2
    assert 'decoder.layers.*.linear1.lora_A' in summary(model)


def test_checkpoints_keep_the_plain_names(model: nn.Module) -> None:
    plain = {name: value.clone() for name, value in model.state_dict().items()}
    names = add_lora(model, r=2, targets=EVERYWHERE)
    state = model.state_dict()
    assert set(state) == {*plain, *names} == set(get_state_dict(model))
    assert all(torch.equal(state[name], value) for name, value in plain.items())


def test_state_of_an_adapted_model_loads_into_another(model: nn.Module) -> None:
    add_lora(model, r=2, targets=EVERYWHERE)
    train_adapters(model)
    other = MODELS.build(Config.fromfile(str(CONFIG)).model).eval()
    add_lora(other, r=2, targets=EVERYWHERE)
    other.load_state_dict(model.state_dict(), strict=True)
    assert_equal_outputs(outputs(model), outputs(other))


def test_plain_weights_load_into_an_adapted_model(model: nn.Module, tmp_path) -> None:
    torch.save(model.state_dict(), tmp_path / 'plain.pth')
    other = MODELS.build(Config.fromfile(str(CONFIG)).model).eval()
    add_lora(other, r=2, targets=EVERYWHERE)
    load_weights(other, tmp_path / 'plain.pth', allow_missing=['*.lora_[AB].*'])
    assert_equal_outputs(outputs(model), outputs(other))


def test_merged_equals_unmerged(model: nn.Module, tmp_path) -> None:
    plain, before = list(model.state_dict()), outputs(model)
    names = add_lora(model, r=2, targets=EVERYWHERE)
    train_adapters(model)
    unmerged = outputs(model)
    assert all((a - b).abs().max() > 1e-3 for a, b in zip(before, unmerged, strict=True))
    assert merge_lora(model) == len(names) // 2
    assert list(model.state_dict()) == plain
    assert_equal_outputs(unmerged, outputs(model))
    torch.save(model.state_dict(), tmp_path / 'merged.pth')
    other = MODELS.build(Config.fromfile(str(CONFIG)).model).eval()
    load_weights(other, tmp_path / 'merged.pth')
    assert_equal_outputs(outputs(model), outputs(other))


def test_unmerged_weights_do_not_load_into_a_plain_model(model: nn.Module, tmp_path) -> None:
    add_lora(model, r=2)
    torch.save(model.state_dict(), tmp_path / 'unmerged.pth')
    plain = MODELS.build(Config.fromfile(str(CONFIG)).model)
    with pytest.raises(CheckpointError, match='LoRA adapters; merge them with tools/model_converters/merge_lora.py'):
        load_weights(plain, tmp_path / 'unmerged.pth')


def test_gradients_reach_every_adapter(model: nn.Module) -> None:
    names = add_lora(model, r=2, targets=('backbone.*', 'pixel_decoder.*', 'decoder.*'))
    train_adapters(model)
    select_trainable(model, (), (), names)
    last = model.train()(torch.rand(1, 3, 64, 64)).last
    (last.class_embed.square().sum() + last.mask_embed.square().sum() + last.state.square().sum()).backward()
    parameters = dict(model.named_parameters())
    missing = {name for name in names if parameters[name].grad is None}
    assert not missing


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(targets=('text_encoder.*.attn.*',)), r"'text_encoder.\*.attn.\*' fits no linear layer .* such as "),
        (dict(targets=()), r'lora.targets is \(\)'),
        (dict(targets='decoder.*'), r"lora.targets is 'decoder.\*'"),
        (dict(r=0), 'lora has r=0'),
        (dict(dropout=1.0), 'dropout=1.0'),
    ],
)
def test_mistakes_are_named(model: nn.Module, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        add_lora(model, **options)


def test_unknown_options_are_named() -> None:
    with pytest.raises(ValueError, match='lora has no option rank; accepted are r, alpha, dropout, targets'):
        check_options(dict(rank=8))
    with pytest.raises(ValueError, match='lora is 8; it must be a dict'):
        check_options(8)
