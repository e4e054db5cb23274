"""Heat maps over boxes: where they are read, and how points come out of them."""

from __future__ import annotations

import torch

from xdet.models.heads.keypoints import KeypointHead, enlarged, from_grid, peaks, to_grid
from xdet.structures import ImageFeatures


def features(batch: int = 2, seed: int = 0) -> ImageFeatures:
    generator = torch.Generator().manual_seed(seed)
    maps = [torch.randn(batch, width, 64 // s, 96 // s, generator=generator) for width, s in ((8, 4), (16, 8))]
    return ImageFeatures(tuple(maps), torch.randn(batch, 12, 16, 24, generator=generator), ())


def head() -> KeypointHead:
    torch.manual_seed(0)
    return KeypointHead(3, 12, (8, 16), channels=8, grid_size=8)


def test_shapes_and_that_images_do_not_mix() -> None:
    boxes = [torch.tensor([[4.0, 4, 40, 50]]), torch.tensor([[0.0, 0, 96, 64], [30, 10, 60, 40]])]
    state, embed = torch.randn(3, 12), torch.randn(3, 12)
    made, both = head(), features()
    found = made(both, boxes, state, embed)
    assert found.heat.shape == (3, 3, 8, 8) and found.visible.shape == (3, 3)
    alone = made(both.select([1]), boxes[1:], state[1:], embed[1:])
    torch.testing.assert_close(alone.heat, found.heat[1:])
    torch.testing.assert_close(alone.visible, found.visible[1:])
    none = made(both, [box[:0] for box in boxes], state[:0], embed[:0])
    assert none.heat.shape == (0, 3, 8, 8) and none.visible.shape == (0, 3)
    (none.heat.sum() + none.visible.sum()).backward()


def test_every_parameter_and_the_query_matter() -> None:
    made = head()
    boxes = [torch.tensor([[4.0, 4, 40, 50]]), torch.zeros(0, 4)]
    state, embed = torch.randn(1, 12, requires_grad=True), torch.randn(1, 12, requires_grad=True)
    found = made(features(), boxes, state, embed)
    (found.heat.square().sum() + found.visible.square().sum()).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in made.parameters())
    assert state.grad.any() and embed.grad.any()


def test_grid_and_back() -> None:
    boxes = torch.tensor([[10.0, 20, 50, 40], [5, 5, 5, 5]])
    points = torch.rand(2, 4, 2) * 60
    torch.testing.assert_close(from_grid(to_grid(points, boxes, 0.1), boxes, 0.1), points)
    assert enlarged(boxes, 0.25).tolist() == [[0, 15, 60, 45], [4.75, 4.75, 6.25, 6.25]]
    corners = to_grid(torch.tensor([[[0.0, 15], [60, 45]]]), boxes[:1], 0.25)
    assert corners.tolist() == [[[0, 0], [1, 1]]]


def test_peaks_choose_the_hottest_place_and_not_the_middle_of_two() -> None:
    heat = torch.full((1, 2, 16, 16), -10.0)
    heat[0, 0, 3, 2], heat[0, 0, 3, 13] = 5.0, 4.0
    heat[0, 1, 8, 8] = heat[0, 1, 8, 9] = 5.0
    found = peaks(heat)
    torch.testing.assert_close(found[0, 0], torch.tensor([2.5, 3.5]) / 16, atol=1e-3, rtol=0)
    torch.testing.assert_close(found[0, 1], torch.tensor([9.0, 8.5]) / 16, atol=1e-3, rtol=0)
    assert peaks(heat[:0]).shape == (0, 2, 2)
