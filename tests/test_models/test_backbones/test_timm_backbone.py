"""timm's models as backbones: shapes, gradients, equality with timm, weights from files."""

from __future__ import annotations

import pytest
import timm
import torch
from safetensors.torch import save_file

from xdet.models.backbones import TimmBackbone
from xdet.models.backbones.timm_backbone import convert_efficientnet_lite

PYRAMIDS = (
    'convnext_atto', 'convnextv2_atto', 'swin_tiny_patch4_window7_224', 'tf_efficientnet_lite0',
    'mobilenetv3_small_050', 'mobilenetv4_conv_small', 'resnet18', 'fastvit_t8', 'efficientvit_b0', 'pvt_v2_b0',
    'regnetx_002', 'edgenext_xx_small', 'repvgg_a0', 'poolformer_s12',
)  # fmt: skip
PLAIN = ('vit_tiny_patch16_224', 'eva02_tiny_patch14_224', 'deit_tiny_patch16_224')


@pytest.mark.parametrize('name', PYRAMIDS + PLAIN)
def test_shapes_and_gradients(name: str) -> None:
    backbone = TimmBackbone(name, pyramid_channels=16).train()
    maps = backbone(torch.randn(2, 3, 64, 96))
    shapes = [(2, channels, 64 // s, 96 // s) for channels, s in zip(backbone.channels, (4, 8, 16, 32), strict=True)]
    assert [tuple(feature.shape) for feature in maps] == shapes
    sum(feature.square().mean() for feature in maps).backward()
    gradients = [p.grad is not None for p in backbone.model.parameters() if p.requires_grad]
    assert sum(gradients) > 0.9 * len(gradients)


@pytest.mark.parametrize('name', ['convnext_atto', 'resnet18', 'tf_efficientnet_lite0', 'efficientvit_b0'])
def test_equals_timm_with_weights_of_a_file(name: str, tmp_path) -> None:
    torch.manual_seed(0)
    whole = timm.create_model(name).eval()
    path = tmp_path / 'weights.safetensors'
    save_file({key: value.contiguous().clone() for key, value in whole.state_dict().items()}, path)
    backbone = TimmBackbone(name, weights=str(path)).eval()
    backbone.init_weights()  # changes nothing
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        last = whole.forward_intermediates(image, intermediates_only=True)[-1]
        assert torch.allclose(backbone(image)[-1], last, atol=1e-5)


def _as_released(state: dict) -> dict:
    """Names of the EfficientNet-Lite packages for timm's weights."""
    inner = dict(conv_pw='_expand_conv', bn1='_bn0', conv_dw='_depthwise_conv', bn2='_bn1', conv_pwl='_project_conv')
    inner['bn3'] = '_bn2'
    first = dict(conv_dw='_depthwise_conv', bn1='_bn1', conv_pw='_project_conv', bn2='_bn2')
    outer = dict(conv_stem='_conv_stem', bn1='_bn0', conv_head='_conv_head', bn2='_bn1', classifier='_fc')
    places = sorted({tuple(map(int, key.split('.')[1:3])) for key in state if key.startswith('blocks.')})
    renamed = {}
    for key, value in state.items():
        parts = key.split('.')
        if parts[0] == 'blocks':
            number = places.index((int(parts[1]), int(parts[2])))
            names = first if parts[1] == '0' else inner
            renamed['.'.join(['_blocks', str(number), names[parts[3]], *parts[4:]])] = value
        else:
            renamed['.'.join([outer[parts[0]], *parts[1:]])] = value
    return renamed


@pytest.mark.parametrize('name', ['tf_efficientnet_lite0', 'tf_efficientnet_lite2'])
def test_efficientnet_lite_files(name: str, tmp_path) -> None:
    state = timm.create_model(name).state_dict()
    released = _as_released(state)
    converted = convert_efficientnet_lite(released)
    assert converted.keys() == state.keys()
    assert all(torch.equal(converted[key], state[key]) for key in state)
    torch.save(released, tmp_path / 'lite.pth')
    TimmBackbone(name, weights=str(tmp_path / 'lite.pth'))


def test_frozen_parts() -> None:
    backbone = TimmBackbone('tf_efficientnet_lite0', frozen_stages=2).train()
    maps = backbone(torch.randn(1, 3, 64, 64))
    assert [feature.requires_grad for feature in maps] == [False, False, True, True]
    norms = [module for module in backbone.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert norms and not any(norm.training or norm.weight.requires_grad for norm in norms)
    assert all(norm.training for norm in TimmBackbone('resnet18', frozen_norms=False).train().modules()
               if isinstance(norm, torch.nn.BatchNorm2d))  # fmt: skip


def test_wrong_files(tmp_path) -> None:
    def message(path, name: str = 'resnet18') -> str:
        with pytest.raises((ValueError, FileNotFoundError)) as caught:
            TimmBackbone(name, weights=str(path))
        text = str(caught.value)
        assert '\n' not in text and str(path) in text
        return text

    assert 'no such file' in message(tmp_path / 'absent.pth')
    (tmp_path / 'text.pth').write_text('no weights')
    assert 'cannot be read' in message(tmp_path / 'text.pth')
    state = {key: value.clone() for key, value in timm.create_model('resnet18').state_dict().items()}
    save_file({key: state[key] for key in list(state)[:20]}, tmp_path / 'part.safetensors')
    assert 'lacks' in message(tmp_path / 'part.safetensors')
    save_file({**state, 'conv1.weight': torch.zeros(8, 3, 7, 7)}, tmp_path / 'size.safetensors')
    assert 'another size' in message(tmp_path / 'size.safetensors')
    save_file(state, tmp_path / 'resnet.safetensors')
    assert 'another model' in message(tmp_path / 'resnet.safetensors', 'convnext_atto')


def test_unknown_models() -> None:
    with pytest.raises(ValueError, match='has no model'):
        TimmBackbone('resnet17')
    with pytest.raises(ValueError, match='strides'):
        TimmBackbone('levit_128s')
