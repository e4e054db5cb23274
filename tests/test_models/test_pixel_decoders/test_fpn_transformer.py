import pytest
import torch
import torch.nn.functional as F
from parity.cases import MEAN, STD, Case, normalized_batch
from parity.weights import assert_golden, fixture_image, golden
from torch import nn

from xdet.compat.official_weights import official_to_xdet
from xdet.models import FocalNet, FPNTransformerPixelDecoder

TINY = dict(in_channels=(4, 8, 16, 32), feat_channels=32, num_layers=2, num_heads=4, feedforward_channels=64)


class Encoder(nn.Module):
    """Backbone and pixel decoder of Focal-T."""

    def __init__(self, state):
        super().__init__()
        self.backbone, self.pixel_decoder = FocalNet(), FPNTransformerPixelDecoder()
        self.load_state_dict(official_to_xdet(state))
        self.eval()


@torch.no_grad()
def test_focal_t_equals_golden(focal_t_state):
    model = Encoder(focal_t_state('golden', 'backbone.', 'sem_seg_head.pixel_decoder.'))
    assert sum(p.numel() for p in model.pixel_decoder.parameters()) == 31_456_256
    image = torch.zeros(1, 3, 96, 128)
    image[0, :, :90, :120] = (fixture_image(90, 120, seed=7).float() - MEAN) / STD
    feats = model.backbone(image)
    mask_features, memory = model.pixel_decoder(feats)
    assert_golden(model.pixel_decoder.encode(feats[-1]), golden('a')['pixdec.enc'])
    assert_golden(mask_features, golden('a')['pixdec.mask_features'])
    for level, feat in enumerate(memory):
        assert_golden(feat, golden('a')[f'pixdec.ms{level}'])


@torch.no_grad()
def test_focal_t_equals_recorded_cases(focal_t_state):
    cases = [Case(name) for name in ('eval_tiny', 'eval_batch2')]
    model = Encoder(focal_t_state('filler', 'backbone.', 'sem_seg_head.pixel_decoder.'))
    for case in cases:
        mask_features, memory = model.pixel_decoder(model.backbone(normalized_batch(case.inputs())))
        case.assert_close('mask_features', mask_features)
        for level, feat in enumerate(memory):
            case.assert_close(f'multi_scale_{level}', feat)


def test_reads_out_the_pyramid_from_coarse_to_fine():
    torch.manual_seed(0)
    model = FPNTransformerPixelDecoder(**TINY)
    model.init_weights()
    feats = [torch.randn(2, channels, 48 // 2**i, 64 // 2**i) for i, channels in enumerate(TINY['in_channels'])]
    mask_features, memory = model(tuple(feats))
    assert mask_features.shape == (2, 32, 48, 64)
    assert [tuple(feat.shape) for feat in memory] == [(2, 32, 6, 8), (2, 32, 12, 16), (2, 32, 24, 32)]
    # One step of the pyramid by hand: nearest up-sampling, lateral convolution without activation.
    lateral = model.lateral_convs[2]
    lateral = lateral.gn(lateral.conv(feats[2]))
    expected = model.output_convs[2](lateral + F.interpolate(memory[0], scale_factor=2, mode='nearest'))
    torch.testing.assert_close(memory[1], expected)
    mask_features.sum().backward()
    assert all(p.grad is not None for p in model.parameters())


@torch.no_grad()
def test_images_of_a_batch_are_independent():
    model = FPNTransformerPixelDecoder(**TINY).eval()
    feats = [torch.randn(2, channels, 32 // 2**i, 32 // 2**i) for i, channels in enumerate(TINY['in_channels'])]
    both = model(feats)[0]
    alone = model([feat[1:] for feat in feats])[0]
    torch.testing.assert_close(both[1:], alone)


def test_wrong_number_of_maps_is_refused():
    with pytest.raises(ValueError):
        FPNTransformerPixelDecoder(**TINY)([torch.randn(1, 32, 4, 4)])
