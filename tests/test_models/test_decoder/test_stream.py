"""Queries that arrive piece by piece equal one pass over all of them."""

from unittest import mock

import pytest
import torch

from xdet.models.context import LatentPass
from xdet.models.decoder import QueryStream, XDecoderTransformerDecoder
from xdet.structures import ImageFeatures, QueryGroup


def features(batch=2, channels=16, width=3):
    generator = torch.Generator().manual_seed(width - 3)

    def draw(height, width):
        return torch.randn(batch, channels, height, width, generator=generator)

    return ImageFeatures(
        backbone=(), mask_features=draw(16, 8 * width), memory=[draw(2 << i, width << i) for i in range(3)]
    )


@pytest.fixture
def model():
    torch.manual_seed(1)
    decoder = XDecoderTransformerDecoder(
        num_queries=6, embed_dims=16, num_heads=2, num_layers=4, feedforward_channels=32
    )
    return decoder.eval()


@pytest.fixture
def caption():
    generator = torch.Generator().manual_seed(2)
    return torch.randn(2, 5, 16, generator=generator), torch.randn(2, 5, 16, generator=generator)


def full_pass(model, inputs, content, position, region=None):
    sees = frozenset({'object', 'image', 'caption'})
    group = QueryGroup('caption', content, position, sees, causal=True, image_attention='all', region=region)
    output = model(inputs, [*model.latent_queries(2), group]).last
    return output.rows(output.state, 'caption')


def latent_pass(model, inputs):
    return model(inputs, model.latent_queries(2))


@torch.no_grad()
@pytest.mark.parametrize('pieces', [(1, 1, 1, 1, 1), (2, 3), (5,), (3, 1, 1)])
def test_pieces_equal_one_pass(model, caption, pieces):
    inputs = features()
    expected = full_pass(model, inputs, *caption)
    stream = QueryStream(model, inputs, latent_pass(model, inputs), 5)
    steps = zip(caption[0].split(pieces, dim=1), caption[1].split(pieces, dim=1), strict=True)
    found = torch.cat([stream.step(content, position) for content, position in steps], dim=1)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_rows_of_an_image_do_not_see_each_other_and_can_be_reordered(model, caption):
    inputs, (content, position) = features(), caption
    other = content.flip(1)
    stream = QueryStream(model, inputs, latent_pass(model, inputs), 5, rows_per_image=2)
    rows = torch.stack([content, other], dim=1).flatten(0, 1)
    places = position.repeat_interleave(2, dim=0)
    stream.step(rows[:, :3], places[:, :3])
    swap = torch.tensor([1, 0, 2, 2])  # swaps the rows of the first image, doubles the first row of the second
    stream.reorder(swap)
    found = stream.step(rows[swap, 3:], places[:, 3:]).unflatten(0, (2, 2))
    first, second = full_pass(model, inputs, content, position), full_pass(model, inputs, other, position)
    torch.testing.assert_close(found[0, 0], second[0, 3:], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found[0, 1], first[0, 3:], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found[1, 0], first[1, 3:], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found[1, 1], first[1, 3:], rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_regions(model, caption):
    """A row sees its region only; a full and an empty region are the whole image, never NaN."""
    inputs = features()
    latents = latent_pass(model, inputs)
    regions = torch.zeros(2, 4, 64, 96, dtype=torch.bool)
    regions[:, 1] = True
    regions[:, 2, :, :48] = True
    regions[:, 3, 63, 95] = True  # one pixel, which nearest sampling misses on every level
    content, position = (part.repeat_interleave(4, dim=0) for part in caption)
    found = QueryStream(model, inputs, latents, 5, 4, regions).step(content, position).unflatten(0, (2, 4))
    free = QueryStream(model, inputs, latents, 5).step(*caption)
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found[:, 0], free)
    torch.testing.assert_close(found[:, 1], free)
    assert not torch.allclose(found[:, 2], free, atol=1e-3)
    assert not torch.allclose(found[:, 3], found[:, 2], atol=1e-3)
    # In training a group with a region is the same thing.
    for row in range(4):
        together = full_pass(model, inputs, *caption, region=regions[:, row])
        torch.testing.assert_close(found[:, row], together, rtol=1e-5, atol=1e-5)
    # What lies outside the region has no influence beyond the latent queries.
    changed = ImageFeatures(
        backbone=(),
        mask_features=inputs.mask_features,
        memory=tuple(
            torch.cat([level[..., : level.shape[-1] // 2], torch.randn_like(level[..., level.shape[-1] // 2 :])], -1)
            for level in inputs.memory
        ),
    )
    half = regions[:, 2:3, :, :]
    half = half & (torch.arange(96) < 32)  # away from the border, which the coarsest level cuts through
    before = QueryStream(model, inputs, latents, 5, 1, half).step(*caption)
    after = QueryStream(model, changed, latents, 5, 1, half).step(*caption)
    torch.testing.assert_close(before, after)


@torch.no_grad()
def test_streams_of_images_of_different_sizes_run_as_one(model, caption):
    """With several rows per image and regions, and in half precision up to its rounding."""
    sizes = [features(), features(width=5)]
    regions = torch.zeros(2, 2, 64, 160, dtype=torch.bool)
    regions[:, 1, :, 32:64] = True
    rows = [torch.cat([part, part.flip(1)]) for part in caption]
    swap = torch.tensor([1, 0, 2, 3])

    def streams():
        seen = regions[..., :96], regions
        return [QueryStream(model, own, latent_pass(model, own), 5, 2, seen[i]) for i, own in enumerate(sizes)]

    def run(streams, number, dtype=torch.float32):
        steps = []
        for place in range(5):
            own = [torch.cat([part[:, place : place + 1]] * number).to(dtype) for part in rows]
            pieces = zip(*(part.split(len(part) // len(streams)) for part in own), strict=True)
            steps.append(torch.cat([stream.step(*piece) for stream, piece in zip(streams, pieces, strict=True)]))
            for stream in streams:
                stream.reorder(torch.cat([swap, swap + 4]) if len(streams) == 1 else swap)
        return torch.cat(steps, dim=1)

    expected = run(streams(), 2)
    torch.testing.assert_close(run([QueryStream.joined(streams())], 2), expected, rtol=1e-5, atol=1e-5)
    half = QueryStream.joined(streams())
    half.to(torch.bfloat16)
    found = run([half], 2, torch.bfloat16)
    assert found.dtype == torch.bfloat16 and model.layers[0].linear1.weight.dtype == torch.float32
    torch.testing.assert_close(found.float(), expected, rtol=0.05, atol=0.1)
    assert (found.float() - expected).abs().max() > 1e-3  # it is another precision


@torch.no_grad()
def test_misuse(model, caption):
    inputs = features()
    with torch.enable_grad(), pytest.raises(ValueError, match='while gradients were recorded'):
        QueryStream(model, inputs, latent_pass(model, inputs), 5)
    stream = QueryStream(model, inputs, latent_pass(model, inputs), 4)
    region = torch.ones(2, 64, 96, dtype=torch.bool)
    with pytest.raises(ValueError, match="a region limits groups that attend 'all' pixels, not 'masked'"):
        QueryGroup('caption', *caption, frozenset({'caption'}), region=region)
    with pytest.raises(ValueError, match='1 queries more'):
        stream.step(*caption)


@torch.no_grad()
def test_keys_of_the_image_are_made_once_and_change_nothing(model, caption):
    inputs = features()
    keys = model.image_keys(inputs)
    plain, reused = latent_pass(model, inputs), model(inputs, model.latent_queries(2), image_keys=keys)
    assert torch.equal(plain.last.state, reused.last.state)
    shared = LatentPass(model, inputs)
    with mock.patch.object(model, 'image_keys', wraps=model.image_keys) as made:
        found = shared.stream(5).step(*caption)
        assert torch.equal(found, shared.select([0, 1]).stream(5).step(*caption))
        assert made.call_count == 1
    torch.testing.assert_close(found, QueryStream(model, inputs, plain, 5).step(*caption))
    part = shared.select([1]).stream(5).step(*(piece[1:] for piece in caption))
    torch.testing.assert_close(part, found[1:])
