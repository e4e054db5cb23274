import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from xdet.structures import MapMasks, XDetDataSample, expand_masks

INDICES = np.array([[0, 1, 1, 2], [3, 3, 0, 2]], dtype=np.uint8)


def masks() -> MapMasks:
    return MapMasks.of(INDICES, [(1,), (2, 3), (), (4,)], 5)


def test_masks_are_what_the_map_says() -> None:
    expanded = masks().expand()
    assert expanded.dtype == torch.bool and masks().shape == tuple(expanded.shape) == (4, 2, 4) and len(masks()) == 4
    np.testing.assert_array_equal(expanded, [INDICES == 1, np.isin(INDICES, (2, 3)), INDICES > 9, INDICES > 9])
    assert masks().filled().tolist() == [True, True, False, False]
    assert torch.equal(masks()[masks().filled()].expand(), expanded[:2])
    assert MapMasks.of(INDICES, [], 5).expand().shape == (0, 2, 4)
    with pytest.raises(IndexError):
        MapMasks.of(INDICES, [(5,)], 5)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.int32, np.int64])
def test_maps_of_every_type(dtype: type) -> None:
    flipped = MapMasks.of(INDICES.astype(dtype)[:, ::-1], [(1,), (2,)], 4)
    np.testing.assert_array_equal(flipped.expand(), [INDICES[:, ::-1] == 1, INDICES[:, ::-1] == 2])
    assert flipped.filled().all()


def test_a_sample_carries_the_map_until_it_is_on_its_device() -> None:
    sample = XDetDataSample()
    sample.gt_segments = InstanceData(masks=masks(), labels=torch.arange(4))
    sample.gt_phrases = InstanceData(masks=masks()[:2], texts=['a', 'b'])
    sample.gt_regions = InstanceData(masks=masks()[1:2].expand(), texts=['c'])
    moved = sample.to('meta')
    assert moved.gt_segments.masks.index_map.device == moved.gt_phrases.masks.chosen.device == torch.device('meta')
    expand_masks(moved)
    assert moved.gt_segments.masks.shape == (4, 2, 4) and moved.gt_segments.masks.device == torch.device('meta')
    assert isinstance(sample.gt_segments.masks, MapMasks)
    assert isinstance(sample.gt_segments[1:].masks, MapMasks) and len(sample.gt_segments[1:]) == 3
    regions = sample.gt_regions.masks
    expand_masks(sample)
    expand_masks(sample)
    assert torch.equal(sample.gt_segments.masks, masks().expand()) and sample.gt_phrases.masks.shape == (2, 2, 4)
    assert sample.gt_regions.masks is regions
