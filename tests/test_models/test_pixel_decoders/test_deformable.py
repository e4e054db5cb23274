import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.structures import InstanceData
from parity.model import CONFIGS, sample_of

from xdet.models import DeformablePixelDecoder
from xdet.registry import MODELS
from xdet.structures import Vocabulary

TINY = dict(in_channels=(4, 8, 16, 32), feat_channels=32, num_layers=2, num_heads=4, feedforward_channels=64)
SIZES = {'even': ((32, 48), (16, 24), (8, 12), (4, 6)), 'odd': ((13, 18), (7, 9), (4, 5), (2, 3))}


def _build(**changes):
    torch.manual_seed(0)
    model = DeformablePixelDecoder(**{**TINY, **changes})
    model.init_weights()
    return model


def _feats(sizes, batch=2):
    return [torch.randn(batch, channels, *size) for channels, size in zip(TINY['in_channels'], sizes, strict=True)]


@pytest.mark.parametrize('sizes', SIZES.values(), ids=SIZES)
def test_shapes_and_gradients(sizes):
    model = _build()
    mask_features, memory = model(_feats(sizes))
    assert mask_features.shape == (2, 32, *sizes[0])
    assert [tuple(feat.shape) for feat in memory] == [(2, 32, *size) for size in sizes[:0:-1]]
    sum(feat.square().sum() for feat in (mask_features, *memory)).backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in model.parameters())
    assert all(layer.self_attn.sampling_offsets.weight.grad.any() for layer in model.encoder.layers)


def _centres(height, width):
    """Pixel centres ``[H * W, 2]``, x and y in 0..1."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing='ij')
    return torch.stack(((columns + 0.5) / width, (rows + 0.5) / height), dim=-1).flatten(0, 1)


def _sine(height, width, channels):
    """Sine positions ``[H * W, C]``: the first half of the channels for y, the second for x."""
    halves = []
    rows, columns = torch.meshgrid(torch.arange(1.0, height + 1), torch.arange(1.0, width + 1), indexing='ij')
    for values, size in ((rows, height), (columns, width)):
        frequencies = 10000 ** (2 * (torch.arange(channels // 2) // 2) / (channels // 2))
        angles = (values / (size + 1e-6) * 2 * torch.pi)[..., None] / frequencies
        halves.append(torch.stack((angles[..., ::2].sin(), angles[..., 1::2].cos()), dim=-1).flatten(2))
    return torch.cat(halves, dim=-1).flatten(0, 1)


@torch.no_grad()
@pytest.mark.parametrize('sizes', SIZES.values(), ids=SIZES)
def test_equals_the_official_computation_by_hand(sizes):
    """Everything but the attention itself, which tests/test_compat/test_deformable_attention.py checks."""
    model = _build().eval()
    for parameter in model.encoder.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    feats = _feats(sizes)
    maps = sizes[:0:-1]  # strides 32, 16, 8
    tokens, positions = [], []
    for level, (height, width) in enumerate(maps):
        projection = model.input_convs[level]
        x = F.group_norm(projection.conv(feats[3 - level]), 32, projection.gn.weight, projection.gn.bias)
        tokens.append(x.flatten(2).transpose(1, 2))
        positions.append(_sine(height, width, 32) + model.level_encoding.weight[level])
    x, position = torch.cat(tokens, dim=1), torch.cat(positions)[None].expand(2, -1, -1)
    centres = torch.cat([_centres(*size) for size in maps])[None, :, None].expand(2, -1, 3, -1)
    for layer in model.encoder.layers:
        attended = layer.self_attn(x, query_pos=position, reference_points=centres, spatial_shapes=torch.tensor(maps))
        x = layer.norms[0](attended)
        hidden = F.relu(layer.ffn.layers[0][0](x))
        x = layer.norms[1](x + layer.ffn.layers[1](hidden))
    outputs = x.split([height * width for height, width in maps], dim=1)
    outputs = [out.transpose(1, 2).reshape(2, 32, *size) for out, size in zip(outputs, maps, strict=True)]
    lateral, output = model.lateral_convs[0], model.output_convs[0]
    fine = lateral.gn(lateral.conv(feats[0])) + F.interpolate(outputs[-1], size=sizes[0], mode='bilinear')
    fine = F.relu(output.gn(output.conv(fine)))
    mask_features, memory = model(feats)
    torch.testing.assert_close(list(memory), outputs, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(mask_features, model.mask_feature(fine), rtol=1e-5, atol=1e-5)
    assert model.mask_feature.kernel_size == (1, 1) and lateral.conv.bias is None and output.conv.bias is None


def test_initialisation():
    model = _build()
    attention = model.encoder.layers[0].self_attn
    assert not attention.sampling_offsets.weight.any() and attention.sampling_offsets.bias.any()
    assert not attention.attention_weights.weight.any()
    bound = (6 / (32 + 64)) ** 0.5  # uniform, not normal
    assert model.encoder.layers[0].ffn.layers[0][0].weight.abs().max() <= bound


@torch.no_grad()
def test_computes_in_single_precision_under_autocast():
    model = _build().eval()
    feats = [feat.bfloat16() for feat in _feats(SIZES['odd'])]
    expected = model([feat.float() for feat in feats])
    with torch.autocast('cpu', torch.bfloat16):
        found = model(feats)
    assert found[0].dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@torch.no_grad()
def test_images_of_a_batch_are_independent():
    model = _build().eval()
    feats = _feats(SIZES['even'])
    torch.testing.assert_close(model(feats)[0][1:], model([feat[1:] for feat in feats])[0])


def test_config_has_the_official_settings():
    cfg = Config.fromfile(CONFIGS / 'xdecoder/xdecoder_davit-d5_deform.py').model.pixel_decoder
    with torch.device('meta'):
        model = MODELS.build(cfg)
    layers = model.encoder.layers
    attention, ffn = layers[0].self_attn, layers[0].ffn
    assert (len(layers), attention.num_heads, attention.num_levels, attention.num_points) == (6, 8, 3, 4)
    assert ffn.layers[0][0].out_features == 1024
    assert [conv.conv.in_channels for conv in model.input_convs] == [2048, 1024, 512]
    assert not [module for module in model.modules() if isinstance(module, torch.nn.Dropout) and module.p]


def test_a_training_step_of_the_whole_model():
    torch.manual_seed(0)
    cfg = Config.fromfile(CONFIGS / '_base_/models/focal-nano.py').model
    cfg.backbone = dict(
        type='DaViT', embed_dims=(8, 16, 32, 64), depths=(1, 1, 1, 1), num_heads=(1, 2, 4, 8), drop_path_rate=0.1
    )
    decoder = dict(feat_channels=128, num_layers=1, num_heads=4, feedforward_channels=32)
    cfg.pixel_decoder = dict(type='DeformablePixelDecoder', in_channels=(8, 16, 32, 64), **decoder)
    cfg.text_encoder.num_layers, cfg.decoder.num_layers = 1, 2
    cfg.tasks = dict(segmentation=dict(type='SegmentationTask', loss=dict(type='SegmentationLoss', num_points=128)))
    model = MODELS.build(cfg).train()
    model.init_weights()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    data = dict(inputs=[torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8)], data_samples=[_sample()])
    losses = model(**model.data_preprocessor(data, training=True), mode='loss')
    total = sum(loss for loss in losses.values() if loss.requires_grad)
    total.backward()
    for part in (model.backbone, model.pixel_decoder):
        assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in part.parameters())
    weight = model.pixel_decoder.encoder.layers[0].self_attn.value_proj.weight
    before = weight.detach().clone()
    optimizer.step()
    assert not torch.equal(weight, before)


def _sample():
    vocabulary = Vocabulary.from_prompts(things='dog', stuff='grass')
    masks = torch.zeros(2, 64, 96, dtype=torch.bool)
    masks[0, :32], masks[1, 32:] = True, True
    sample = sample_of(torch.zeros(3, 64, 96), None, vocabulary=vocabulary)
    sample.gt_segments = InstanceData(masks=masks, labels=torch.tensor([0, 1]))
    return sample
