import math

import pytest
import torch
from torch import nn

from xdet.compat.deformable_attention import MultiScaleDeformableAttention, sample_maps
from xdet.compat.mmcv_ops import _MissingOps

MAPS = ((2, 3), (4, 5))
PIXELS = 26


def _model(**options):
    """Random weights: the initial ones do not depend on the query."""
    torch.manual_seed(0)
    options = dict(embed_dims=8, num_heads=2, num_levels=2, num_points=3, dropout=0.0, batch_first=True) | options
    model = MultiScaleDeformableAttention(**options)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    return model.eval()


def _tokens(number=PIXELS, batch=2):
    return torch.randn(batch, number, 8, generator=torch.Generator().manual_seed(number))


def _pixel(image, row, column):
    """Value ``[D]`` of an image ``[H, W, D]``, zeros outside."""
    height, width = image.shape[:2]
    inside = 0 <= row < height and 0 <= column < width
    return image[row, column] if inside else torch.zeros(image.shape[-1])


def _bilinear(image, x, y):
    """Image ``[H, W, D]`` at x, y in 0..1; the centre of pixel i lies at (i + 0.5) / size."""
    column, row = x * image.shape[1] - 0.5, y * image.shape[0] - 0.5
    left, top = math.floor(column), math.floor(row)
    right, bottom = column - left, row - top
    return (
        _pixel(image, top, left) * (1 - bottom) * (1 - right)
        + _pixel(image, top, left + 1) * (1 - bottom) * right
        + _pixel(image, top + 1, left) * bottom * (1 - right)
        + _pixel(image, top + 1, left + 1) * bottom * right
    )


def _attend_by_hand(model, query, value, reference):
    """The attention without its residual sum, point by point."""
    batch, queries = query.shape[:2]
    heads, levels, points = model.num_heads, model.num_levels, model.num_points
    values = model.value_proj(value).view(batch, value.shape[1], heads, -1)
    output = torch.zeros(batch, queries, heads, values.shape[-1])
    for b, q, h in ((b, q, h) for b in range(batch) for q in range(queries) for h in range(heads)):
        weights = model.attention_weights(query[b, q]).view(heads, -1)[h].softmax(dim=0).view(levels, points)
        offsets = model.sampling_offsets(query[b, q]).view(heads, levels, points, 2)[h]
        start = 0
        for level, (height, width) in enumerate(MAPS):
            image = values[b, start : start + height * width, h].view(height, width, -1)
            start += height * width
            for point in range(points):
                x, y = reference[b, q, level, :2].tolist()
                dx, dy = offsets[level, point].tolist()
                if reference.shape[-1] == 2:
                    unit_x, unit_y = 1 / width, 1 / height
                else:
                    unit_x, unit_y = (reference[b, q, level, 2:] * 0.5 / points).tolist()
                output[b, q, h] += weights[level, point] * _bilinear(image, x + dx * unit_x, y + dy * unit_y)
    return model.output_proj(output.flatten(2))


@torch.no_grad()
@pytest.mark.parametrize('coordinates', [2, 4])
def test_equals_attention_by_hand(coordinates):
    model = _model()
    query, position, value = _tokens(5), _tokens(5).flip(1), _tokens()
    reference = torch.rand(2, 5, 2, coordinates)
    found = model(query, value=value, query_pos=position, reference_points=reference, spatial_shapes=torch.tensor(MAPS))
    torch.testing.assert_close(found, query + _attend_by_hand(model, query + position, value, reference))


def test_gradients_equal_finite_differences():
    generator = torch.Generator().manual_seed(0)
    options = dict(generator=generator, dtype=torch.float64)
    value = torch.randn(1, PIXELS, 2, 3, **options)
    places, weights = torch.rand(1, 2, 2, 2, 2, 2, **options), torch.rand(1, 2, 2, 2, 2, **options)
    tensors = [tensor.requires_grad_() for tensor in (value, places, weights)]
    assert torch.autograd.gradcheck(lambda *args: sample_maps(args[0], MAPS, *args[1:]), tensors)


@torch.no_grad()
def test_initially_looks_around():
    model = MultiScaleDeformableAttention(embed_dims=8, num_heads=4, num_levels=2, num_points=2)
    offsets = model.sampling_offsets(torch.randn(8)).view(4, 2, 2, 2)
    star = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    for point in range(2):
        torch.testing.assert_close(offsets[:, :, point], (point + 1) * star[:, None].expand(-1, 2, -1))
    assert not model.attention_weights(torch.randn(8)).any()


@torch.no_grad()
def test_options_of_mmcv():
    model = _model()
    tokens, maps = _tokens(), torch.tensor(MAPS)
    reference = torch.rand(2, tokens.shape[1], 2, 2)
    expected = model(tokens, reference_points=reference, spatial_shapes=maps)
    transposed = _model(batch_first=False)(tokens.transpose(0, 1), reference_points=reference, spatial_shapes=maps)
    torch.testing.assert_close(transposed.transpose(0, 1), expected)
    alone = model(tokens, identity=torch.zeros(()), reference_points=reference, spatial_shapes=maps)
    torch.testing.assert_close(alone, expected - tokens)
    nothing = torch.ones(tokens.shape[:2], dtype=torch.bool)
    hidden = model(tokens, key_padding_mask=nothing, reference_points=reference, spatial_shapes=maps)
    torch.testing.assert_close(hidden, tokens + model.output_proj.bias)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match='embed_dims must be a multiple of num_heads, but they are 8 and 3'):
        MultiScaleDeformableAttention(embed_dims=8, num_heads=3)
    model = _model()
    with pytest.raises(ValueError, match='3 coordinates; accepted are 2 and 4'):
        model(_tokens(), reference_points=torch.rand(2, PIXELS, 2, 3), spatial_shapes=torch.tensor(MAPS))
    with pytest.raises(ValueError, match='do not have 25 pixels'):
        model(_tokens(25), reference_points=torch.rand(2, 25, 2, 2), spatial_shapes=torch.tensor(MAPS))


def test_stands_in_for_the_operator_of_mmcv():
    import mmcv.ops

    if not isinstance(mmcv.ops, _MissingOps):
        pytest.skip('mmcv has compiled operators')
    from mmcv.ops import MultiScaleDeformableAttention as operator

    assert operator is MultiScaleDeformableAttention
    from mmcv.ops import nms
    from mmcv.ops.roi_align import roi_align

    for missing in (nms, type('Derived', (nms,), {}), roi_align):
        with pytest.raises(ModuleNotFoundError, match=rf"'mmcv\.ops\.{missing.__name__}' is not available"):
            missing(torch.zeros(1))
