import numpy as np
import pytest
import torch
from parity.cases import Case, normalized_batch
from parity.weights import assert_golden, filler_state, golden, golden_state, official_keys

from xdet.compat.official_weights import official_to_xdet
from xdet.models import DaViT

TINY = dict(embed_dims=(8, 16, 32, 64), depths=(1, 1, 2, 1), num_heads=(1, 2, 4, 8), drop_path_rate=0.0)
D5 = dict(embed_dims=(256, 512, 1024, 2048), num_heads=(8, 16, 32, 64), down_kernel_size=3)


def _keys(name):
    return {key: shape for key, shape in official_keys(name).items() if key.startswith('backbone.')}


def _build(official_state):
    with torch.device('meta'):  # the weights come from the state dict; initialising them first takes seconds
        model = DaViT()
    state = official_to_xdet(official_state)
    model.load_state_dict({key.removeprefix('backbone.'): value for key, value in state.items()}, assign=True)
    return model.eval()


@torch.no_grad()
def test_d3_equals_golden():
    model = _build(golden_state(_keys('davit-d3')))
    image = torch.from_numpy(np.random.RandomState(5).standard_normal((1, 3, 64, 96)).astype(np.float32))
    for stage, feat in enumerate(model(image)):
        expected = golden('b')[f'davitd3_unicl_lang.backbone.res{stage + 2}']
        # With these weights the values grow to 1e5 in the third stage, so errors are relative to the spread.
        assert_golden(feat, expected, atol=2e-6 * expected['std'], rtol=1e-6)


@torch.no_grad()
def test_d3_equals_recorded_case():
    case = Case('davitd3_tiny')
    model = _build(filler_state(_keys('davit-d3')))
    for stage, feat in enumerate(model(normalized_batch(case.inputs()))):
        if f'res{stage + 2}' in case.tensors:
            case.assert_close(f'res{stage + 2}', feat)


@pytest.mark.parametrize(('name', 'options', 'size'), [('d3', {}, 86_927_360), ('d5', D5, 360_632_320)])
def test_names_shapes_and_size(name, options, size):
    with torch.device('meta'):
        model = DaViT(**options)
    official = {key: torch.empty(shape, device='meta') for key, shape in _keys(f'davit-{name}').items()}
    expected = {key.removeprefix('backbone.'): value.shape for key, value in official_to_xdet(official).items()}
    assert {key: value.shape for key, value in model.state_dict().items()} == expected
    assert sum(parameter.numel() for parameter in model.parameters()) == size


@pytest.mark.parametrize('kernel', [2, 3])
def test_strides_and_gradients(kernel):
    model = DaViT(**TINY, down_kernel_size=kernel)
    model.init_weights()
    assert model.stages[3].blocks[0].spatial_block.mlp.fc1.weight.std().item() == pytest.approx(0.02, rel=0.1)
    feats = model(torch.randn(2, 3, 50, 70))
    assert [tuple(feat.shape) for feat in feats] == [(2, 8, 13, 18), (2, 16, 7, 9), (2, 32, 4, 5), (2, 64, 2, 3)]
    sum(feat.square().sum() for feat in feats).backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in model.parameters())


def _spatial_half_by_hand(half, x):
    """A spatial half-block on a map of one window, ``[B, C, 7, 7]``."""
    batch, channels = x.shape[:2]
    x = x + half.cpe1.proj(x)
    tokens = x.flatten(2).transpose(1, 2)
    qkv = half.attn.qkv(half.norm1(tokens)).reshape(batch, 49, 3, half.num_heads, -1)
    query, key, value = qkv.unbind(2)
    weights = torch.einsum('bqhc,bkhc->bhqk', query, key) * query.shape[-1] ** -0.5
    mixed = torch.einsum('bhqk,bkhc->bqhc', weights.softmax(dim=-1), value).flatten(2)
    return _second_part_by_hand(half, tokens + half.attn.proj(mixed), (batch, channels, 7, 7))


def _channel_half_by_hand(half, x):
    """A channel half-block; the scale is that of the number of pixels."""
    x = x + half.cpe1.proj(x)
    tokens = x.flatten(2).transpose(1, 2)
    pixels = tokens.shape[1]
    qkv = half.attn.qkv(half.norm1(tokens)).reshape(len(x), pixels, 3, half.attn.groups, -1)
    query, key, value = qkv.unbind(2)
    weights = torch.einsum('bngi,bngj->bgij', query, key) * pixels**-0.5
    mixed = torch.einsum('bgij,bngj->bngi', weights.softmax(dim=-1), value).flatten(2)
    return _second_part_by_hand(half, tokens + half.attn.proj(mixed), x.shape)


def _second_part_by_hand(half, tokens, shape):
    x = tokens.transpose(1, 2).reshape(shape)
    tokens = (x + half.cpe2.proj(x)).flatten(2).transpose(1, 2)
    hidden = torch.nn.functional.gelu(half.mlp.fc1(half.norm2(tokens)))
    return (tokens + half.mlp.fc2(hidden)).transpose(1, 2).reshape(shape)


@torch.no_grad()
def test_halves_of_a_block_by_hand():
    torch.manual_seed(0)
    block = DaViT(**TINY).eval().stages[2].blocks[0]
    x = torch.randn(2, 32, 7, 7)
    torch.testing.assert_close(block.spatial_block(x), _spatial_half_by_hand(block.spatial_block, x))
    torch.testing.assert_close(block.channel_block(x), _channel_half_by_hand(block.channel_block, x))


def test_checkpointing_changes_no_gradient():
    image = torch.randn(1, 3, 64, 64)
    grads = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        model = DaViT(**{**TINY, 'drop_path_rate': 0.5}, with_cp=with_cp)
        assert all(stage.grad_checkpointing == with_cp for stage in model.stages)
        torch.manual_seed(1)
        model(image)[-1].square().sum().backward()
        grads.append([parameter.grad for parameter in model.parameters() if parameter.grad is not None])
    for plain, recomputed in zip(*grads, strict=True):
        assert torch.equal(plain, recomputed)


def test_drop_path_grows_linearly_over_half_blocks():
    model = DaViT(**{**TINY, 'drop_path_rate': 0.9})
    halves = [half for stage in model.stages for block in stage.blocks for half in block]
    assert [half.drop_path1.drop_prob for half in halves] == pytest.approx([0.1 * index for index in range(10)])
    assert all(half.drop_path1.drop_prob == half.drop_path2.drop_prob for half in halves)
    image = torch.randn(1, 3, 64, 64)
    model.eval()
    assert torch.equal(model(image)[-1], model(image)[-1])
    model.train()
    assert not torch.equal(model(image)[-1], model(image)[-1])


def test_bad_settings_name_what_is_accepted():
    with pytest.raises(ValueError, match=r'as many embed_dims \(4\) as depths \(2\) and num_heads \(4\)'):
        DaViT(depths=(1, 1))
