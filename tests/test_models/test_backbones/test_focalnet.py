import numpy as np
import pytest
import torch
from parity.cases import MEAN, STD, Case, normalized_batch
from parity.weights import assert_golden, fixture_image, golden, golden_state, official_keys

from xdet.models import FocalNet
from xdet.models.backbones.focalnet import FocalModulation
from xdet.registry import MODELS

TINY = dict(embed_dims=8, depths=(1, 1, 2, 1), focal_levels=(2, 2, 2, 2), drop_path_rate=0.0, layer_scale_init=0.5)


def _build(state, *args, **kwargs):
    with torch.device('meta'):  # the weights come from the state dict; initialising them first takes seconds
        model = FocalNet(*args, **kwargs)
    model.load_state_dict({key.removeprefix('backbone.'): value for key, value in state.items()}, assign=True)
    return model.eval()


@torch.no_grad()
def test_focal_t_equals_golden(focal_t_state):
    model = _build(focal_t_state('golden', 'backbone.'))
    image = torch.zeros(1, 3, 96, 128)
    image[0, :, :90, :120] = (fixture_image(90, 120, seed=7).float() - MEAN) / STD
    assert sum(p.numel() for p in model.parameters()) == 29_922_288
    for stage, feat in enumerate(model(image)):
        assert_golden(feat, golden('a')[f'backbone.res{stage + 2}'])


@torch.no_grad()
def test_focal_l_equals_golden():
    keys = {key: shape for key, shape in official_keys('focal-l').items() if key.startswith('backbone.')}
    model = _build(golden_state(keys), 'focal', embed_dims=192, depths=(2, 2, 18, 2), focal_levels=(4, 4, 4, 4))
    assert sum(p.numel() for p in model.parameters()) == 205_746_936
    image = torch.from_numpy(np.random.RandomState(5).standard_normal((1, 3, 64, 96)).astype(np.float32))
    for stage, feat in enumerate(model(image)):
        # Long sums over 24 blocks: with two threads single values of about 1 differ by 1.05e-4 on some processors.
        assert_golden(feat, golden('b')[f'focall_unicl_lang.backbone.res{stage + 2}'], atol=2e-4)


@torch.no_grad()
@pytest.mark.parametrize('name', ['eval_tiny', 'eval_batch2'])
def test_focal_t_equals_recorded_case(focal_t_state, name):
    case = Case(name)
    model = _build(focal_t_state('filler', 'backbone.'))
    for stage, feat in enumerate(model(normalized_batch(case.inputs()))):
        case.assert_close(f'res{stage + 2}', feat)


@torch.no_grad()
def test_focal_variant_equals_timm():
    from timm.models.focalnet import FocalNet as TimmFocalNet
    from timm.models.focalnet import checkpoint_filter_fn

    torch.manual_seed(0)
    ours = FocalNet('focal', **TINY).eval()
    timm = TimmFocalNet(
        embed_dim=8,
        depths=(1, 1, 2, 1),
        focal_levels=(2, 2, 2, 2),
        focal_windows=(3, 3, 3, 3),
        use_overlap_down=True,
        use_post_norm=True,
        normalize_modulator=True,
        layerscale_value=0.5,
    ).eval()
    state = {key: value for key, value in ours.state_dict().items() if not key.startswith('norm')}
    state |= {f'norm.{name}': value for name, value in ours.norm3.state_dict().items()}
    state |= {f'head.{name}': value for name, value in timm.head.fc.state_dict().items()}
    timm.load_state_dict(checkpoint_filter_fn(state, timm))
    image = torch.randn(2, 3, 64, 96)
    for stage, (feat, theirs) in enumerate(
        zip(ours(image), timm.forward_intermediates(image, intermediates_only=True), strict=True)
    ):
        norm = getattr(ours, f'norm{stage}')
        torch.testing.assert_close(feat, norm(theirs.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('block', ['focal', 'focal_dw'])
def test_strides_and_gradients(block):
    model = FocalNet(block, **TINY)
    model.init_weights()
    assert model.layers[3].blocks[0].mlp.fc1.weight.std().item() == pytest.approx(0.02, rel=0.1)
    feats = model(torch.randn(1, 3, 50, 70))
    # Odd sizes are padded to whole strides.
    assert [tuple(feat.shape) for feat in feats] == [(1, 8, 13, 18), (1, 16, 7, 9), (1, 32, 4, 5), (1, 64, 2, 3)]
    sum(feat.square().sum() for feat in feats).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_checkpointing_changes_no_gradient():
    image = torch.randn(1, 3, 64, 64)
    grads = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        model = FocalNet('focal_dw', **{**TINY, 'drop_path_rate': 0.5}, with_cp=with_cp)
        torch.manual_seed(1)
        model(image)[-1].square().sum().backward()
        grads.append([p.grad for p in model.parameters() if p.grad is not None])
    for plain, recomputed in zip(*grads, strict=True):
        assert torch.equal(plain, recomputed)


def test_drop_path_grows_linearly_and_only_acts_in_training():
    model = FocalNet(**{**TINY, 'drop_path_rate': 0.4})
    rates = [block.drop_path.drop_prob for stage in model.layers for block in stage.blocks]
    assert rates == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    image = torch.randn(1, 3, 64, 64)
    model.eval()
    assert torch.equal(model(image)[-1], model(image)[-1])
    model.train()
    assert not all(torch.equal(model(image)[-1], model(image)[-1]) for _ in range(10))


def test_bad_settings_name_what_is_accepted():
    with pytest.raises(ValueError, match="'dense'; accepted are 'focal' and 'focal_dw'"):
        FocalNet(block='dense')
    with pytest.raises(ValueError, match=r'as many depths \(4\) as focal_levels \(2\)'):
        FocalNet(focal_levels=(3, 3))


def test_backbones_of_mmpretrain_and_timm_fit_in():
    swin = MODELS.build(
        dict(type='mmpretrain.SwinTransformer', arch='tiny', out_indices=(0, 1, 2, 3), pad_small_map=True)
    )
    timm = MODELS.build(
        dict(type='mmpretrain.TIMMBackbone', model_name='resnet18', features_only=True, out_indices=(1, 2, 3, 4))
    )
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for backbone in (swin, timm):
            assert [feat.shape[-1] for feat in backbone(image)] == [16, 8, 4, 2]


@pytest.mark.parametrize('name', ['f', 'h', 'proj', 'focal_layers.0.0'])
def test_whatever_wraps_a_layer_counts(name):
    """Adapters replace layers by modules of their own, which must be called: their weights are not all there is."""

    class Doubled(torch.nn.Module):
        def __init__(self, layer):
            super().__init__()
            self.layer, self.weight, self.bias = layer, layer.weight, layer.bias

        def forward(self, x):
            return 2 * self.layer(x)

    torch.manual_seed(0)
    modulation, x = FocalModulation(8, 2, 3), torch.randn(1, 6, 7, 8)
    before = modulation(x)
    parent, _, last = name.rpartition('.')
    layer = modulation.get_submodule(name)
    setattr(modulation.get_submodule(parent), last, Doubled(layer))
    assert not torch.allclose(modulation(x), before)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(2)
    wrapped = modulation(x)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(2)
    setattr(modulation.get_submodule(parent), last, layer)
    torch.testing.assert_close(modulation(x), wrapped)
