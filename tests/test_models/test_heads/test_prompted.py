"""Which masks prompts mean, and how clicks correct them."""

from __future__ import annotations

import pytest
import torch

from xdet.models.heads import prompted

CELLS = torch.zeros(3, 8, 8, dtype=torch.bool)
CELLS[0, 1:4, 1:4] = True  # small
CELLS[1, 1:7, 1:7] = True  # around it
CELLS[2, 5:8, 5:8] = True  # elsewhere


def test_places_are_those_of_pixels() -> None:
    """An image of 20x10 is seen as 40x20, that is 10x5 cells: a cell has two pixels."""
    places = prompted.to_cells(torch.tensor([[0, 0], [19, 9], [7, 4]]), (20, 40), (10, 20))
    torch.testing.assert_close(places, torch.tensor([[0.25, 0.25], [9.75, 4.75], [3.75, 2.25]]))
    maps = torch.arange(10.0).repeat(1, 5, 1)  # the value of a cell is its column
    values = prompted.values_at(maps, torch.tensor([[3.5, 2.5], [4.0, 2.5], [9.9, 4.9]]))
    torch.testing.assert_close(values, torch.tensor([[3.0, 3.5, 9.0]]))


def test_regions_have_all_cells_that_they_touch() -> None:
    region = torch.zeros(10, 20, dtype=torch.bool)
    region[4, 7] = region[9, 19] = True
    assert prompted.region_cells(region, (20, 40), (5, 10)).nonzero().tolist() == [[2, 3], [4, 9]]
    assert prompted.region_cells(torch.ones_like(region), (20, 40), (5, 10)).all()


def test_a_box_means_what_fills_it() -> None:
    box = torch.zeros(8, 8, dtype=torch.bool)
    box[1:4, 1:5] = True
    torch.testing.assert_close(prompted.box_fit(CELLS, box).exp(), torch.tensor([9 / 12, 12 / 36 * 12 / 36, 1e-4]))


@pytest.mark.parametrize(('rows', 'columns', 'meant'), [((2, 3), (1, 4), 0), ((1, 7), (2, 3), 1), ((2, 7), (2, 7), 1)])
def test_scribbles_and_rough_masks_mean_the_smallest_cover(rows, columns, meant) -> None:
    region = torch.zeros(8, 8, dtype=torch.bool)
    region[slice(*rows), slice(*columns)] = True
    assert int(prompted.rough_fit(CELLS, region).argmax()) == meant


def test_distinct_masks() -> None:
    masks = torch.stack([CELLS[0], CELLS[0].clone(), CELLS[1], CELLS[2]])
    assert prompted.distinct(masks, [1, 0, 3, 2], 3) == [1, 3, 2]
    assert prompted.distinct(masks, [1, 0, 3, 2], 1) == [1]


def test_corrected_masks_are_right_at_every_click() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(6, 8, 10, generator=generator)
    logits = 3 * torch.randn(2, 30, 37, generator=generator)
    pixels = torch.tensor([[3, 4], [4, 4], [36, 29], [20, 0], [20, 1]])
    positive = torch.tensor([True, False, True, True, False])  # of neighbours, too
    result = prompted.corrected(logits, pixels, positive, features, (32, 40))
    found = result[:, pixels[:, 1], pixels[:, 0]]
    assert ((found > 0) == positive).all()
    before = logits[:, pixels[:, 1], pixels[:, 0]]
    kept = torch.where(positive, before, -before) >= 2
    torch.testing.assert_close(found[kept], before[kept], atol=0.02, rtol=0)


def test_what_clicks_agree_with_stays_as_it_is() -> None:
    logits = torch.full((1, 8, 8), 5.0)
    pixels = torch.tensor([[3, 4]])
    assert prompted.corrected(logits, pixels, torch.tensor([True]), torch.ones(2, 2, 2), (8, 8)) is logits
    assert (
        prompted.corrected(logits, pixels[:0], torch.ones(0, dtype=torch.bool), torch.ones(2, 2, 2), (8, 8)) is logits
    )


def test_a_click_spreads_over_what_looks_alike() -> None:
    """The left half of the image looks different from the right one."""
    features = torch.zeros(2, 8, 8)
    features[0, :, :4] = features[1, :, 4:] = 1
    result = prompted.corrected(
        torch.full((1, 32, 32), -1.0), torch.tensor([[8, 16]]), torch.tensor([True]), features, (32, 32), reach=0.5
    )
    inside = result[0] > 0
    assert inside[16, 8] and inside[10:22, 2:13].all() and not inside[:, 18:].any()


def test_what_stands_for_a_name_decides_without_what_all_have_in_common() -> None:
    generator = torch.Generator().manual_seed(0)
    common = torch.nn.functional.normalize(torch.randn(16, generator=generator), dim=0)
    everything = torch.nn.functional.normalize(common + 0.1 * torch.randn(50, 16, generator=generator), dim=-1)
    rows = prompted.like_a_name(everything[:3], everything)
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(3))
    mean = torch.nn.functional.normalize(everything.mean(0), dim=0)
    torch.testing.assert_close(rows @ mean, torch.full((3,), -0.57 / (1 + 0.57**2) ** 0.5))
    assert (rows @ everything[:3].T).argmax(1).tolist() == [0, 1, 2]


def test_alike_masks_share_their_name() -> None:
    masks = torch.stack([CELLS[0], CELLS[0], CELLS[2], torch.zeros_like(CELLS[0])])
    class_embed = torch.tensor([[1.0, 0, 0], [0, 2, 0], [0, 0, 1], [0, -1, 1]])
    found = prompted.names_of(masks, class_embed, torch.tensor([0, 1, 3]))
    torch.testing.assert_close(found[0], found[1])  # both are the mean of the first two
    unit = torch.nn.functional.normalize(class_embed, dim=1)
    torch.testing.assert_close(found[2], prompted.like_a_name(unit[3:], unit)[0])  # an empty mask stands for itself


def test_objectness_is_measured_within_an_image() -> None:
    class_embed = torch.tensor([[1.0, 0], [0, 1], [1, 1]])
    found = prompted.objectness(class_embed, torch.tensor([1.0, 0]), torch.tensor(2.0))
    assert found.argsort().tolist() == [0, 2, 1]
    torch.testing.assert_close(prompted.objectness(3 * class_embed, torch.tensor([1.0, 0]), torch.tensor(2.0)), found)


def test_a_click_at_an_edge_moves_the_edge() -> None:
    """All looks alike, and the click is two pixels beyond the edge of a mask."""
    logits = torch.full((1, 32, 32), -8.0)
    logits[:, :, :16] = 8
    result = prompted.corrected(logits, torch.tensor([[17, 16]]), torch.tensor([True]), torch.ones(2, 8, 8), (32, 32))
    changed = (result[0] > 0) != (logits[0] > 0)
    assert changed[16, 17] and changed.sum() <= 20


def test_distances_to_edges() -> None:
    masks = torch.stack([CELLS[0], torch.zeros_like(CELLS[0])])
    found = prompted.to_edge(masks, torch.tensor([[2, 2], [7, 2], [5, 5]]))
    torch.testing.assert_close(found[0], torch.tensor([2.0, 4, 8**0.5]))
    assert found[1].isinf().all()


def test_values_near_are_the_best_for_a_click() -> None:
    maps = torch.arange(10.0).repeat(1, 5, 1)
    found = prompted.values_near(maps, torch.tensor([[3.5, 2.5], [3.5, 2.5]]), torch.tensor([True, False]))
    torch.testing.assert_close(found, torch.tensor([[4.0, 2.0]]))
    assert prompted.values_near(maps, torch.zeros(0, 2), torch.zeros(0, dtype=torch.bool)).shape == (1, 0)
