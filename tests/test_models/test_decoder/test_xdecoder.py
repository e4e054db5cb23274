"""The decoder's loop: masked attention without full masks, groups that do not disturb each other, gradients."""

import pytest
import torch
import torch.nn.functional as F

from xdet.models.decoder import IMAGE, OBJECT, QueryStream, XDecoderTransformerDecoder
from xdet.structures import ImageFeatures, QueryGroup


def features(batch=2, channels=16, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def draw(height, width):
        return torch.randn(batch, channels, height, width, generator=generator)

    return ImageFeatures(backbone=(), mask_features=draw(16, 24), memory=(draw(2, 3), draw(4, 6), draw(8, 12)))


def decoder(**kwargs):
    torch.manual_seed(1)
    return XDecoderTransformerDecoder(
        num_queries=6, embed_dims=16, num_heads=2, num_layers=4, feedforward_channels=32, **kwargs
    )


def phrases(model, batch=2):
    text = torch.randn(batch, 3, 16, generator=torch.Generator().manual_seed(5))
    sees = frozenset({'phrase', 'text'})
    return [
        model.object_copies(batch, 'phrase', sees),
        QueryGroup('text', text, text, sees=sees, image_attention='no'),
    ]


def test_mask_of_resized_features_is_the_resized_mask():
    model, inputs = decoder(), features()
    output = model(inputs, model.latent_queries(2))
    masks = torch.einsum('bqc,bchw->bqhw', output.last.mask_embed, inputs.mask_features)
    for level in inputs.memory:
        size = level.shape[-2:]
        direct = F.interpolate(masks, size, mode='bicubic', align_corners=False, antialias=True)
        small = F.interpolate(inputs.mask_features, size, mode='bicubic', align_corners=False, antialias=True)
        rewritten = torch.einsum('bqc,bchw->bqhw', output.last.mask_embed, small)
        torch.testing.assert_close(rewritten, direct, rtol=1e-4, atol=1e-5)


def test_predictions_per_layer_and_their_rows():
    model = decoder()
    output = model(features(), model.latent_queries(2))
    assert len(output.layers) == 5
    assert output.last.class_embed.shape == (2, 6, 16)
    assert output.last.rows(output.last.class_embed, OBJECT).shape == (2, 5, 16)
    assert output.last.rows(output.last.class_embed, OBJECT, IMAGE).shape == (2, 6, 16)


def test_image_row_is_the_similarity_weighted_average_of_objects():
    model = decoder()
    output = model(features(), model.latent_queries(2)).last
    state = output.state
    unit = state / state.norm(dim=-1, keepdim=True)
    weights = torch.stack([(unit[b, :5] @ unit[b, 5]).softmax(0) for b in range(2)])
    expected = torch.einsum('bq,bqc->bc', weights, state[:, :5]) @ model.class_embed
    torch.testing.assert_close(output.class_embed[:, 5], expected, rtol=1e-4, atol=1e-5)


def test_latent_queries_do_not_notice_other_groups():
    model, inputs = decoder(), features()
    alone = model(inputs, model.latent_queries(2)).last
    together = model(inputs, [*model.latent_queries(2), *phrases(model)]).last
    torch.testing.assert_close(together.class_embed[:, :6], alone.class_embed, rtol=1e-5, atol=1e-6)
    assert together.class_embed.shape[1] == 6 + 5
    assert together.state.shape[1] == 6 + 5 + 3


def test_unmasked_query_switch():
    """The official index hits the first phrase query; the intended one hits the image query."""
    inputs = features()
    official, intended = decoder(unmasked_query='official'), decoder(unmasked_query='image')

    def masks(model, groups):
        from xdet.models.decoder.queries import pack
        from xdet.models.decoder.xdecoder import _free_pixels

        queries = pack(groups)
        prediction = model(inputs, groups).last
        level = inputs.memory[2]
        return model._image_mask(prediction, level, queries, _free_pixels(queries, level.shape[-2:]))

    by_official = masks(official, [*official.latent_queries(2), *phrases(official)])
    by_intended = masks(intended, [*intended.latent_queries(2), *phrases(intended)])
    assert by_official[:, 6].all() and not by_official[:, 5].all()
    assert by_intended[:, 5].all() and not by_intended[:, 6].all()
    with pytest.raises(ValueError, match="'official' and 'image'"):
        decoder(unmasked_query='none')


@torch.no_grad()
@pytest.mark.parametrize('unmasked_query', ['official', 'image'])
@pytest.mark.parametrize('keys', [False, True])
def test_rows_of_an_image_equal_passes_of_their_own(keys, unmasked_query):
    """Three rows per image with texts of their own, whose last tokens may be padding, against one pass per row."""
    model, inputs = decoder(unmasked_query=unmasked_query), features()
    text = torch.randn(6, 3, 16, generator=torch.Generator().manual_seed(5))
    valid = torch.arange(3) < torch.tensor([3, 2, 1, 3, 3, 2])[:, None]

    def groups(rows):
        sees = frozenset({'phrase', 'text'})
        added = QueryGroup('text', text[rows], text[rows], sees, image_attention='no', valid=valid[rows])
        return [model.object_copies(len(text[rows]), 'phrase', sees), added]

    image_keys = model.image_keys(inputs) if keys else None
    together = model(inputs, groups(slice(None)), image_keys, rows_per_image=3)
    assert together.mask_features is inputs.mask_features
    for row in range(3):
        alone = model(inputs, groups(slice(row, None, 3)))
        for one, other in zip(together.layers, alone.layers, strict=True):
            for key in ('class_embed', 'mask_embed'):
                torch.testing.assert_close(getattr(one, key)[row::3], getattr(other, key), rtol=1e-4, atol=1e-5)


def test_checkpointing_changes_nothing():
    gradients = []
    for with_cp in (False, True):
        model = decoder(with_cp=with_cp)
        output = model(features(), model.latent_queries(2))
        sum(layer.class_embed.square().mean() + layer.mask_embed.square().mean() for layer in output.layers).backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    assert all(grad is not None for grad in gradients[0].values())
    for name, grad in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], grad)


def test_layers_may_attend_some_levels_only():
    model, inputs = decoder(levels=(1,)), features()
    assert {name for name, _ in model.named_parameters()} == {name for name, _ in decoder().named_parameters()}
    groups = model.latent_queries(2)
    output = model(inputs, groups)
    memory = torch.zeros(2, 16, 1, 1), inputs.memory[1], torch.ones(2, 16, 2, 2)
    others = ImageFeatures((), inputs.mask_features, memory)
    assert torch.equal(model(others, groups).last.state, output.last.state)
    every, same = decoder(), decoder(levels=(0, 1, 2))
    assert torch.equal(every(inputs, groups).last.state, same(inputs, groups).last.state)
    assert not torch.equal(every(inputs, groups).last.state, output.last.state)
    for wrong in ((), (3,), (-1,)):
        with pytest.raises(ValueError, match='levels is .*one or several of 0 to 2'):
            decoder(levels=wrong)


def test_streams_attend_the_same_levels():
    model, inputs = decoder(levels=(2, 0)), features()
    with torch.no_grad():
        latents = model(inputs, model.latent_queries(2))
        region = torch.zeros(2, 1, 64, 96, dtype=torch.bool)
        region[..., :40, :50] = True
        text = torch.randn(2, 3, 16, generator=torch.Generator().manual_seed(2))
        stream = QueryStream(model, inputs, latents, 3, regions=region)
        assert [visible.shape[-1] for visible in stream._images[0].visible] == [8 * 12, 2 * 3]
        assert stream.step(text, text).shape == (2, 3, 16)
