"""``channels_last`` changes how convolutions are laid out in memory, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from parity.model import CONFIGS
from safetensors.torch import load_file

from xdet.compat.checkpoint import save_weights
from xdet.compat.fitting import load_weights
from xdet.models import XDecoder
from xdet.registry import MODELS


def build(**overrides: object) -> XDecoder:
    torch.manual_seed(0)
    config = Config.fromfile(CONFIGS / '_base_/models/focal-nano.py')
    config.merge_from_dict({'model.backbone.embed_dims': 8, 'model.pixel_decoder.in_channels': (8, 16, 32, 64)})
    config.merge_from_dict({'model.text_encoder.num_layers': 1, 'model.decoder.num_layers': 3, **overrides})
    return MODELS.build(config.model)


@pytest.fixture
def models() -> tuple[XDecoder, XDecoder]:
    plain, other = build(), build(**{'model.channels_last': True})
    other.load_state_dict(plain.state_dict())
    return plain, other


def convolutions(model: XDecoder) -> list[torch.Tensor]:
    # Of more than one input channel and a kernel of more than one pixel; others fit both layouts at once.
    weights = [module.weight for module in model.modules() if isinstance(module, torch.nn.Conv2d)]
    return [weight for weight in weights if weight.shape[1] > 1 and weight.shape[2] > 1]


def test_same_outputs_and_gradients(models: tuple[XDecoder, XDecoder]) -> None:
    plain, other = models
    images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    seen = []
    other.backbone.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    features = [model.encode(images) for model in models]
    assert seen[0].is_contiguous(memory_format=torch.channels_last) and not seen[0].is_contiguous()
    for one, two in zip(*((output.mask_features, *output.memory) for output in features), strict=True):
        torch.testing.assert_close(two, one, atol=1e-5, rtol=1e-4)
    for output in features:
        output.mask_features.square().mean().backward()
    assert plain.backbone.patch_embed.proj.weight.grad.abs().max() > 0
    for encoder in ('backbone', 'pixel_decoder'):
        pairs = zip(getattr(plain, encoder).parameters(), getattr(other, encoder).parameters(), strict=True)
        for one, two in pairs:
            scale = one.grad.abs().max().item()
            torch.testing.assert_close(two.grad, one.grad, atol=1e-4 * scale + 1e-9, rtol=1e-3)


def test_weights_are_laid_out_so_after_loading(models: tuple[XDecoder, XDecoder]) -> None:
    plain, other = models
    assert len(convolutions(other)) > 3
    assert all(weight.is_contiguous() for weight in convolutions(plain))
    for weight in convolutions(other):
        assert weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()


def test_checkpoints_fit_both_ways(models: tuple[XDecoder, XDecoder], tmp_path: Path) -> None:
    path = tmp_path / 'weights.safetensors'
    save_weights(models[1], path, dtype=None)
    assert all(value.is_contiguous() for value in load_file(path).values())
    for layout in (False, True):
        again = build(**{'model.channels_last': layout})
        torch.nn.init.zeros_(again.pixel_decoder.mask_feature.weight)
        load_weights(again, path)
        assert all(torch.equal(value, again.state_dict()[key]) for key, value in models[0].state_dict().items())
