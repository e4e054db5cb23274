import numpy as np
import pytest
import torch
from PIL import Image

from xdet.inference.inputs.regions import RegionError, resolve_boxes, resolve_masks

BOX = [2, 1, 5, 4]


def raster(regions, size=(6, 8)):
    return regions.rasterize(*size, 'x.png')


def area(regions):
    return raster(regions).sum(dim=(1, 2)).tolist()


@pytest.mark.parametrize('boxes', [BOX, [BOX], np.array([BOX]), torch.tensor([BOX]), (tuple(BOX),)])
def test_boxes_for_all_images(boxes):
    first, second = resolve_boxes(boxes, 2)
    for regions in (first, second):
        mask = raster(regions)
        assert mask.dtype == torch.bool and mask.shape == (1, 6, 8)
        assert mask[0, 1:4, 2:5].all() and mask.sum() == 9


def test_boxes_per_image_may_differ_in_number():
    first, second = resolve_boxes([[BOX], [BOX, [0, 0, 1, 1]]], 2)
    assert area(first) == [9] and area(second) == [9, 1]


def test_boxes_cover_pixels_whose_centres_they_contain_and_are_clipped():
    assert area(resolve_boxes([[1.6, 0, 3.4, 1], [-5, -5, 100, 100], [0.5, 0, 1.5, 1]], 1)[0]) == [1, 48, 1]


@pytest.mark.parametrize('box', [[20, 0, 30, 5], [1.6, 0, 2.4, 5]])
def test_box_without_a_pixel(box):
    with pytest.raises(RegionError, match=r'x.png: box \[.*\] covers no pixel of the image, which is 8x6'):
        raster(resolve_boxes([box], 1)[0])


@pytest.mark.parametrize(
    'boxes, message',
    [
        ([], 'no box given'),
        ([[]], 'no box given|four numbers'),
        ('10 20', "boxes: '10 20' are no boxes"),
        (3, 'boxes is a int'),
        ([1, 2, 3], 'not lists of four numbers'),
        ([[1, 2, 3, 4], [1, 2]], 'not lists of four numbers'),
        ([['a', 'b', 'c', 'd']], 'not lists of four numbers'),
        ([[5, 1, 2, 4]], r'box \[5, 1, 2, 4\] is impossible; accepted'),
        ([[0, 0, float('nan'), 4]], 'impossible'),
        ([[0, 0, 3j, 4]], 'not lists of four numbers'),
        ([[BOX]], '1 entries, one per image, but there are 2 images'),
        ([[BOX], []], 'boxes of image 1: no box given'),
    ],
)
def test_bad_boxes(boxes, message):
    with pytest.raises(ValueError, match=message) as caught:
        resolve_boxes(boxes, 2)
    assert '\n' not in str(caught.value)


def test_every_kind_of_mask(tmp_path):
    mask = np.zeros((6, 8), bool)
    mask[1:4, 2:5] = True
    Image.fromarray(mask.astype(np.uint8) * 7).save(tmp_path / 'm.png')
    file = tmp_path / 'm.png'
    for value in (
        mask,
        mask[None],
        torch.from_numpy(mask),
        mask.astype(np.uint8) * 255,
        [mask],
        file,
        str(file),
        [file],
    ):
        for regions in resolve_masks(value, 2):
            assert (raster(regions).numpy() == mask).all()
    first, second = resolve_masks([[mask], np.stack([mask, ~mask])], 2)
    assert area(first) == [9] and area(second) == [9, 39]
    assert area(resolve_masks([mask, ~mask, str(file)], 1)[0]) == [9, 39, 9]


@pytest.mark.parametrize(
    'masks, message',
    [
        ([], 'no mask given'),
        (np.zeros((0, 6, 8), bool), 'no mask given'),
        (np.zeros((6, 8)), 'float64 array of shape'),
        (np.zeros(6, bool), r'bool array of shape \(6,\) is no mask'),
        (3, 'is no mask'),
        ([[np.ones((6, 8), bool)]], '1 entries, one per image, but there are 2 images'),
    ],
)
def test_bad_masks(masks, message):
    with pytest.raises(ValueError, match=message):
        resolve_masks(masks, 2)


def test_masks_that_do_not_fit_the_image(tmp_path):
    with pytest.raises(RegionError, match='x.png: a mask is 8x6 pixels but the image is 9x5'):
        raster(resolve_masks(np.ones((6, 8), bool), 1)[0], (5, 9))
    with pytest.raises(RegionError, match='x.png: mask .*missing.png: file does not exist'):
        raster(resolve_masks(tmp_path / 'missing.png', 1)[0])


def looped() -> list:
    """A list that contains itself."""
    endless: list = []
    endless.append(endless)
    return endless


@pytest.mark.parametrize(
    'boxes',
    [
        [[0, 0, 1e300, 1e300]],
        [[-1e300, -1e300, 1e300, 1e300]],
        '0 0 4 3',
        '0,0,4,3',
        torch.tensor([[0.0, 0, 4, 3]], requires_grad=True),
        [torch.tensor([0.0, 0, 4, 3], requires_grad=True)],
        torch.tensor([[0, 0, 4, 3]], dtype=torch.bfloat16),
    ],
)
def test_boxes_of_any_size_and_kind_cover_the_image(boxes):
    (regions,) = resolve_boxes(boxes, 1)
    assert regions.rasterize(3, 4, 'x').all()


@pytest.mark.parametrize(
    'boxes',
    [
        [[0, 0, 10**400, 5]],
        [[0, 0, float('nan'), 5]],
        looped(),
        [[[[[1, 2, 3, 4]]]]],
        [[['dog']]],
        'ten',
        '1 2 3',
        '',
        b'1 2 3 4',
        [[0, 0, 1j, 5]],
        {'a': 1},
        [[1, 2, 3, 4], [5]],
        [[0] * 100_000],
    ],
)
def test_impossible_boxes_are_one_short_line(boxes):
    with pytest.raises(ValueError, match='^box') as caught:
        resolve_boxes(boxes, 1)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize('masks', [looped(), [[[True], [True, False]]], 10**400, '~nosuchuser/m.png', torch.ones(2, 2)])
def test_impossible_masks_are_one_short_line(masks):
    with pytest.raises(ValueError) as caught:
        resolve_masks(masks, 1)
    assert len(str(caught.value)) < 400


def test_masks_may_have_gradients_elsewhere_and_be_tensors():
    (regions,) = resolve_masks([torch.ones(3, 4, dtype=torch.bool)], 1)
    assert regions.rasterize(3, 4, 'x').shape == (1, 3, 4)


def test_empty_masks_and_too_many_regions_are_refused(tmp_path):
    Image.new('L', (4, 3)).save(tmp_path / 'black.png')
    for masks in (np.zeros((3, 4), bool), tmp_path / 'black.png'):
        with pytest.raises(RegionError, match='x: a mask is empty'):
            resolve_masks(masks, 1)[0].rasterize(3, 4, 'x')
    with pytest.raises(RegionError, match='too many at once'):
        resolve_boxes(np.tile([[0, 0, 1, 1]], (5000, 1)), 1)[0].rasterize(4000, 6000, 'x')
