"""Names of pixels: the loss by its formula, and what pixels may change in the names of queries."""

from __future__ import annotations

import pytest
import torch
from mmengine.structures import InstanceData
from torch import Tensor

from xdet.models.losses import SegmentTargets
from xdet.models.pixel_names import PixelNames
from xdet.models.similarity import normalize
from xdet.structures import ImageFeatures

SCALE = torch.tensor(3.0)


def head(**options) -> PixelNames:
    torch.manual_seed(0)
    return PixelNames(embed_dims=6, **{'maps': dict(memory_0=8), **options})


def texts(count: int) -> Tensor:
    return normalize(torch.randn(count, 6, generator=torch.Generator().manual_seed(1)))


def memory(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2))


def features(*maps: Tensor, masks: Tensor | None = None, backbone: tuple[Tensor, ...] = ()) -> ImageFeatures:
    return ImageFeatures(backbone, torch.zeros(1) if masks is None else masks, maps)


def two_segments() -> SegmentTargets:
    """Of 4 x 4 pixels on the map, the left column belongs to class 2, the one beside it to class 0."""
    masks = torch.zeros(2, 32, 32, dtype=torch.bool)
    masks[0, :, :8] = True
    masks[1, :, 8:16] = True
    return SegmentTargets([InstanceData(labels=torch.tensor([2, 0]), masks=masks)], (32, 32))


@pytest.mark.parametrize('void_weight', [0.0, 0.5])
def test_loss_is_the_mean_over_segments(void_weight: float) -> None:
    module, text, maps = head(weight=2.0, void_weight=void_weight), texts(4), memory(1, 8, 4, 4)
    found = module.loss(features(maps), [text], two_segments(), SCALE)
    embedded = torch.nn.functional.normalize(module.projections['memory_0'](maps)[0].flatten(1).T, dim=-1).view(4, 4, 6)
    surprise = -(SCALE.exp() * embedded @ text.T).log_softmax(-1)
    expected = surprise[:, 0, 2].mean() + surprise[:, 1, 0].mean() + void_weight * surprise[:, 2:, 3].mean()
    torch.testing.assert_close(found, {'loss_pixel_names': 2 * expected / 2})


def test_maps_are_averaged() -> None:
    coarse, fine, deepest = (memory(1, 8, size, size) for size in (2, 8, 4))
    encoded, channels = features(coarse, fine, backbone=(fine, deepest)), dict(memory_0=8, memory_1=8, backbone_1=8)
    together, losses = head(maps=channels), []
    for name in channels:
        alone = head(maps={name: 8})
        alone.projections[name].load_state_dict(together.projections[name].state_dict())
        losses.append(alone.loss(encoded, [texts(4)], two_segments(), SCALE)['loss_pixel_names'])
    found = together.loss(encoded, [texts(4)], two_segments(), SCALE)['loss_pixel_names']
    torch.testing.assert_close(found, sum(losses) / 3)


def test_boxes_and_nothing_have_no_pixels() -> None:
    boxes = InstanceData(labels=torch.tensor([1]), boxes=torch.tensor([[0.0, 0, 9, 9]]))
    nothing = InstanceData(labels=torch.zeros(0, dtype=torch.int64), masks=torch.zeros(0, 32, 32, dtype=torch.bool))
    maps = memory(2, 8, 4, 4).requires_grad_()
    loss = head().loss(features(maps), [texts(4)] * 2, SegmentTargets([boxes, nothing], (32, 32)), SCALE)[
        'loss_pixel_names'
    ]
    loss.backward()
    assert loss == 0 and not maps.grad.any()


def test_pixels_learn_names_of_different_vocabularies() -> None:
    module, maps = head(), memory(2, 8, 4, 4)
    targets = SegmentTargets(list(two_segments().segments) * 2, (32, 32))
    optimizer = torch.optim.Adam(module.parameters(), lr=0.05)
    for _ in range(60):
        loss = module.loss(features(maps), [texts(4), texts(9)], targets, SCALE)['loss_pixel_names']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1


def test_queries_take_the_names_of_their_pixels() -> None:
    """The more say the pixels have, the more; whether there is an object stays as it was."""
    text, maps = texts(4), memory(8, 4, 4)
    masks = torch.full((1, 3, 16, 16), -9.0)
    masks[0, 0, :, :8] = 9
    masks[0, 1, 8:] = 9  # the third query has no mask
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(3))
    embedded = torch.nn.functional.normalize(head().projections['memory_0'](maps).flatten(1).T, dim=-1).view(4, 4, 6)
    pixels = (SCALE.exp() * embedded @ text[:3].T).detach()
    pooled = torch.stack([part.flatten(0, 1).mean(0) for part in (pixels[:, :2], pixels[2:], pixels)]).softmax(-1)
    own = logits.softmax(-1)
    for share in (0.3, 1.0):
        found = head(share=share).mix(logits, torch.eye(3), features(maps[None], masks=masks), text, SCALE).softmax(-1)
        torch.testing.assert_close(found[:, 3], own[:, 3])
        expected = own[:, :3] ** (1 - share) * pooled**share
        expected = expected / expected.sum(-1, keepdim=True) * (1 - own[:, 3:])
        torch.testing.assert_close(found[:, :3], expected, atol=2e-3, rtol=0)


def test_what_pixels_are_among_names() -> None:
    """The mean of those under a mask, and of all; several maps count the same."""
    coarse, fine = memory(1, 8, 4, 4), memory(1, 8, 8, 8)
    masks = torch.full((1, 2, 16, 16), -9.0)
    masks[0, 0, :, :8] = 9
    masks[0, 1, 8:] = 9
    module = head(maps=dict(memory_0=8, memory_1=8))
    inside, everywhere = module.seen(torch.eye(2), features(coarse, fine, masks=masks))
    left, below, whole = [], [], []
    for name, size, maps in (('memory_0', 4, coarse), ('memory_1', 8, fine)):
        pixels = normalize(module.projections[name](maps)[0].flatten(1).T).view(size, size, 6)
        left.append(pixels[:, : size // 2].flatten(0, 1).mean(0))
        below.append(pixels[size // 2 :].flatten(0, 1).mean(0))
        whole.append(pixels.flatten(0, 1).mean(0))
    torch.testing.assert_close(inside, normalize(torch.stack([sum(left), sum(below)])), atol=2e-3, rtol=0)
    torch.testing.assert_close(everywhere, normalize(sum(whole)))


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_joined_queries_hear_what_lies_under_their_masks(dtype: torch.dtype) -> None:
    """Every image its own pixels and names, in all layers at once; to "no object" nothing is added."""
    module, names, maps = head(joined=True), [texts(4), texts(6)], memory(2, 8, 4, 4)
    halves = torch.full((2, 2, 16, 16), -20.0)  # the left half, the lower half
    halves[:, 0, :, :8] = halves[:, 1, 8:] = 20
    image = features(maps, masks=halves.to(dtype))
    logits = [memory(3, 2, len(own)) for own in names]
    found = module.join(logits, torch.eye(2).expand(2, 3, 2, 2).to(dtype), image, names, SCALE)
    embedded = torch.nn.functional.normalize(module.projections['memory_0'](maps), dim=1).permute(0, 2, 3, 1)
    for own, text, pixels, before in zip(found, names, embedded, logits, strict=True):
        said = SCALE.exp() * pixels @ text[:-1].T
        pooled = torch.stack([part.flatten(0, 1).mean(0) for part in (said[:, :2], said[2:])]).log_softmax(-1)
        torch.testing.assert_close(own[..., :-1], before[..., :-1] + pooled, atol=1e-4, rtol=0)
        assert torch.equal(own[..., -1], before[..., -1])


def test_joined_names_move_pixels_and_not_masks() -> None:
    maps, embeds, masks = (memory(*shape).requires_grad_() for shape in ((1, 8, 4, 4), (1, 2, 5), (1, 5, 16, 16)))
    module = head(joined=True)
    found = module.join([torch.zeros(2, 4)], embeds, features(maps, masks=masks), [texts(4)], SCALE)[0]
    found[:, 0].sum().backward()
    assert maps.grad.abs().sum() > 0 and embeds.grad is None and masks.grad is None


@pytest.mark.parametrize(
    'options',
    [
        dict(share=1.1),
        dict(share=float('nan')),
        dict(weight=-1),
        dict(void_weight=-1),
        dict(maps=dict(mask_features=8)),
        dict(heard=['backbone_3']),
    ],
)
def test_refused(options: dict) -> None:
    with pytest.raises(ValueError, match='PixelNames: .* accepted are'):
        head(**options)
