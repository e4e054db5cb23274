"""Names of pixels: the loss by its formula, and what pixels may change in the names of queries."""

from __future__ import annotations

import pytest
import torch
from mmengine.structures import InstanceData
from torch import Tensor

from xdet.models.losses import SegmentTargets
from xdet.models.pixel_names import PixelNames
from xdet.models.similarity import normalize

SCALE = torch.tensor(3.0)


def head(**options) -> PixelNames:
    torch.manual_seed(0)
    return PixelNames(channels=8, embed_dims=6, **{'levels': [0], **options})


def texts(count: int) -> Tensor:
    return normalize(torch.randn(count, 6, generator=torch.Generator().manual_seed(1)))


def memory(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2))


def two_segments() -> SegmentTargets:
    """Of 4 x 4 pixels on the map, the left column belongs to class 2, the one beside it to class 0."""
    masks = torch.zeros(2, 32, 32, dtype=torch.bool)
    masks[0, :, :8] = True
    masks[1, :, 8:16] = True
    return SegmentTargets([InstanceData(labels=torch.tensor([2, 0]), masks=masks)], (32, 32))


@pytest.mark.parametrize('void_weight', [0.0, 0.5])
def test_loss_is_the_mean_over_segments(void_weight: float) -> None:
    module, text, maps = head(weight=2.0, void_weight=void_weight), texts(4), memory(1, 8, 4, 4)
    found = module.loss([maps], [text], two_segments(), SCALE)
    embedded = torch.nn.functional.normalize(module.projections[0](maps)[0].flatten(1).T, dim=-1).view(4, 4, 6)
    surprise = -(SCALE.exp() * embedded @ text.T).log_softmax(-1)
    expected = surprise[:, 0, 2].mean() + surprise[:, 1, 0].mean() + void_weight * surprise[:, 2:, 3].mean()
    torch.testing.assert_close(found, {'loss_pixel_names': 2 * expected / 2})


def test_levels_are_averaged() -> None:
    both, text, maps = head(levels=(0, 2)), texts(4), [memory(1, 8, size, size) for size in (2, 4, 8)]
    losses = []
    for number, level in enumerate(both.levels):
        alone = head(levels=[level])
        alone.projections[0].load_state_dict(both.projections[number].state_dict())
        losses.append(alone.loss(maps, [text], two_segments(), SCALE)['loss_pixel_names'])
    torch.testing.assert_close(both.loss(maps, [text], two_segments(), SCALE)['loss_pixel_names'], sum(losses) / 2)


def test_boxes_and_nothing_have_no_pixels() -> None:
    boxes = InstanceData(labels=torch.tensor([1]), boxes=torch.tensor([[0.0, 0, 9, 9]]))
    nothing = InstanceData(labels=torch.zeros(0, dtype=torch.int64), masks=torch.zeros(0, 32, 32, dtype=torch.bool))
    maps = memory(2, 8, 4, 4).requires_grad_()
    loss = head().loss([maps], [texts(4)] * 2, SegmentTargets([boxes, nothing], (32, 32)), SCALE)['loss_pixel_names']
    loss.backward()
    assert loss == 0 and not maps.grad.any()


def test_pixels_learn_names_of_different_vocabularies() -> None:
    module, maps = head(), memory(2, 8, 4, 4)
    targets = SegmentTargets(list(two_segments().segments) * 2, (32, 32))
    optimizer = torch.optim.Adam(module.parameters(), lr=0.05)
    for _ in range(60):
        loss = module.loss([maps], [texts(4), texts(9)], targets, SCALE)['loss_pixel_names']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1


def test_queries_take_the_names_of_their_pixels() -> None:
    """The more say the pixels have, the more; whether there is an object stays as it was."""
    text, maps = texts(4), memory(8, 4, 4)
    masks = torch.full((3, 16, 16), -9.0)
    masks[0, :, :8] = 9
    masks[1, 8:] = 9  # the third query has no mask
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(3))
    embedded = torch.nn.functional.normalize(head().projections[0](maps).flatten(1).T, dim=-1).view(4, 4, 6)
    pixels = (SCALE.exp() * embedded @ text[:3].T).detach()
    pooled = torch.stack([part.flatten(0, 1).mean(0) for part in (pixels[:, :2], pixels[2:], pixels)]).softmax(-1)
    own = logits.softmax(-1)
    for share in (0.3, 1.0):
        found = head(share=share).mix(logits, masks, [maps], text, SCALE).softmax(-1)
        torch.testing.assert_close(found[:, 3], own[:, 3])
        expected = own[:, :3] ** (1 - share) * pooled**share
        expected = expected / expected.sum(-1, keepdim=True) * (1 - own[:, 3:])
        torch.testing.assert_close(found[:, :3], expected, atol=2e-3, rtol=0)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_joined_queries_hear_what_lies_under_their_masks(dtype: torch.dtype) -> None:
    """In all layers at once; to "no object" nothing is added."""
    module, text, maps = head(joined=True), texts(4), memory(8, 4, 4)
    features = torch.full((2, 16, 16), -20.0)  # the left half, the lower half
    features[0, :, :8] = features[1, 8:] = 20
    embeds = torch.eye(2).expand(3, 2, 2)
    logits = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(3))
    found = module.join(logits, embeds.to(dtype), features.to(dtype), [maps], text, SCALE)
    embedded = torch.nn.functional.normalize(module.projections[0](maps).flatten(1).T, dim=-1).view(4, 4, 6)
    pixels = SCALE.exp() * embedded @ text[:3].T
    pooled = torch.stack([part.flatten(0, 1).mean(0) for part in (pixels[:, :2], pixels[2:])]).log_softmax(-1)
    torch.testing.assert_close(found[..., :3], logits[..., :3] + pooled, atol=1e-4, rtol=0)
    assert torch.equal(found[..., 3], logits[..., 3])


def test_joined_names_move_pixels_and_not_masks() -> None:
    maps, embeds, features = (memory(*shape).requires_grad_() for shape in ((8, 4, 4), (2, 5), (5, 16, 16)))
    head(joined=True).join(torch.zeros(2, 4), embeds, features, [maps], texts(4), SCALE)[:, 0].sum().backward()
    assert maps.grad.abs().sum() > 0 and embeds.grad is None and features.grad is None


@pytest.mark.parametrize('options', [dict(share=1.1), dict(share=float('nan')), dict(weight=-1), dict(void_weight=-1)])
def test_refused(options: dict) -> None:
    with pytest.raises(ValueError, match='PixelNames: .* accepted are'):
        head(**options)
