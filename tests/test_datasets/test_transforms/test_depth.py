"""Depth maps in files, and how they follow the pixels of their image."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from xdet.datasets.files.depth_maps import read_depth
from xdet.datasets.sets import DepthFolderDataset
from xdet.datasets.transforms import (
    LargeScaleJitter,
    LoadDepth,
    PackXDetInputs,
    RandomFlipWithTexts,
    ResizeShortestEdge,
)
from xdet.datasets.transforms.depth import DepthMap

PIPELINE = [dict(type='LoadXDetImage'), dict(type='LoadDepth'), dict(type='PackXDetInputs', segments=False)]

# The head of an array of eight terabytes.
HUGE = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000), }"
HUGE = b'\x93NUMPY\x01\x00v\x00' + HUGE.ljust(117) + b'\n'


def save(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, values) if path.suffix == '.npy' else Image.fromarray(values).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images with depth maps, one of them in a folder of its own."""
    for name, millimetres in (('a', 1500), ('b/c', 2000)):
        save(tmp_path / 'rgb' / f'{name}.jpg', np.zeros((6, 8, 3), np.uint8))
        values = np.full((6, 8), millimetres, np.uint16)
        values[0, 0] = 0
        save(tmp_path / 'depth' / f'{name}.png', values)
    return tmp_path


def test_files_of_every_kind(tmp_path: Path) -> None:
    expected = np.array([[0, 1.5], [0.001, 65.535]], np.float32)
    whole = save(tmp_path / 'a.png', np.rint(1000 * expected).astype(np.uint16))
    np.testing.assert_allclose(read_depth(whole), expected)
    np.testing.assert_allclose(read_depth(whole, 256), expected * 1000 / 256)
    small = save(tmp_path / 'b.png', np.array([[0, 255]], np.uint8))
    np.testing.assert_allclose(read_depth(small, 1), [[0, 255]])
    wrong = np.array([[-1, np.nan, np.inf, 2.5]], np.float32)
    for name in ('c.tif', 'c.npy'):
        np.testing.assert_array_equal(read_depth(save(tmp_path / name, wrong), 1), [[0, 0, 0, 2.5]])


@pytest.mark.parametrize(
    ('name', 'content', 'told'),
    [
        ('a.png', b'', 'a.png: depth map is damaged or no image'),
        ('a.npy', b'no array', 'a.npy: depth map is damaged or no array'),
        ('b.npy', np.array([[dict()]], object), 'b.npy: depth map is damaged or no array'),
        ('c.npy', np.zeros((2, 2, 3)), r'c.npy: not a depth map \(one channel of numbers\), it has shape \(2, 2, 3\)'),
        ('d.npy', np.array([['x']]), 'd.npy: not a depth map'),
        ('g.npy', HUGE, 'g.npy: depth map is damaged or no array'),
        ('h.npy', b'PK\x03\x04 no zip', 'h.npy: depth map is damaged or no array'),
        ('e.png', np.zeros((2, 2, 3), np.uint8), 'e.png: not a depth map'),
        ('f.jpg', np.zeros((2, 2), np.uint8), 'f.jpg: is a JPEG file, which changes the values of a depth map'),
    ],
)
def test_bad_files_are_one_line(tmp_path: Path, name: str, content: object, told: str) -> None:
    path = tmp_path / name
    path.write_bytes(content) if isinstance(content, bytes) else save(path, content)
    with pytest.raises(ValueError, match=told) as error:
        read_depth(path)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('scale', [0, -1, float('nan'), float('inf'), 'x', None])
def test_scales_that_would_leave_nothing_known(tmp_path: Path, scale: object) -> None:
    path = save(tmp_path / 'a.png', np.ones((2, 2), np.uint16))
    with pytest.raises(ValueError, match='^scale is .*; accepted are numbers from 1e-06 to 1e'):
        read_depth(path, scale)


@pytest.mark.parametrize('name', ['x.png', 'x.npy'])
def test_missing_files_are_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileNotFoundError, match=f'{name}: depth map does not exist'):
        read_depth(tmp_path / name)


def test_folders(folder: Path) -> None:
    data = DepthFolderDataset(data_root=str(folder), data_prefix=dict(img='rgb', depth='depth'), pipeline=PIPELINE)
    assert [data.get_data_info(index)['img_id'] for index in range(len(data))] == ['a', 'b/c']
    for packed, metres in zip(data, (1.5, 2.0), strict=True):
        depth = packed['data_samples'].gt_depth.depth
        assert depth.shape == (1, 6, 8) and depth[0, 0, 0] == 0 and depth[0, 1:].unique().tolist() == [metres]


def test_lists_of_nyu_and_kitti(folder: Path) -> None:
    lines = ['/rgb/a.jpg /depth/a.png 518.8579', 'rgb/x.jpg None 721.5', '', 'rgb/b/c.jpg depth/b/c.png 721.5']
    (folder / 'list.txt').write_text('\n'.join(lines))
    data = DepthFolderDataset(data_root=str(folder), ann_file='list.txt', depth_scale=256, pipeline=PIPELINE)
    assert [round(float(packed['data_samples'].gt_depth.depth.max()), 3) for packed in data] == [5.859, 7.812]


def test_bad_data_sets_are_one_line(folder: Path) -> None:
    def data(**options: object) -> DepthFolderDataset:
        return DepthFolderDataset(
            **{'data_root': str(folder), 'data_prefix': dict(img='rgb', depth='depth'), **options}
        )

    (folder / 'list.txt').write_text('rgb/a.jpg\n')
    with pytest.raises(ValueError, match=r'list.txt: line 1 names rgb/a.jpg alone; expected an image and its depth'):
        data(ann_file='list.txt')
    with pytest.raises(FileNotFoundError, match='none.txt: annotation file'):
        data(ann_file='none.txt')
    with pytest.raises(ValueError, match='depth_scale is 0'):
        data(depth_scale=0)
    with pytest.raises(FileNotFoundError, match=r'nowhere: no such folder \(the depth maps'):
        data(data_prefix=dict(img='rgb', depth='nowhere'))
    (folder / 'depth' / 'a.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'1 listed file\(s\) do not exist, the first is .*a.png'):
        data()
    assert len(data(missing_images='skip')) == 1


def test_another_size_than_the_image(folder: Path) -> None:
    save(folder / 'depth' / 'a.png', np.ones((3, 8), np.uint16))
    data = DepthFolderDataset(data_root=str(folder), data_prefix=dict(img='rgb', depth='depth'), lazy_init=True)
    data.full_init()
    with pytest.raises(ValueError, match=r'a.png: depth map is 8x3 pixels but its image \(.*a.jpg\) 8x6'):
        LoadDepth()(dict(data.get_data_info(0), ori_shape=(6, 8)))
    with pytest.raises(ValueError, match='x.jpg: no depth_path to load; use DepthFolderDataset'):
        LoadDepth()(dict(img_path='x.jpg'))


def moved(values: np.ndarray, *transforms: object) -> tuple[np.ndarray, np.ndarray]:
    """An image that shows its depth map, and the map, after some transforms."""
    image = values.astype(np.uint8)[..., None].repeat(3, axis=2)
    results = dict(img=image, img_path='a.png', ori_shape=values.shape, img_shape=values.shape)
    results['loaded_depth'] = DepthMap(values, 'a.png')
    for transform in transforms:
        results = transform(results)
    return results['img'][..., 0], PackXDetInputs(segments=False)(results)['data_samples'].gt_depth.depth[0].numpy()


def assert_like(image: np.ndarray, depth: np.ndarray) -> None:
    """The image shows the map, and is blurred only where depths meet."""
    inside = cv2.erode(depth, np.ones((3, 3))) == cv2.dilate(depth, np.ones((3, 3)))
    assert inside.mean() > 0.5 and np.abs(image - depth)[inside].max() <= 1


@pytest.mark.parametrize('size', [(24, 24), (48, 36), (11, 30)])
def test_maps_follow_their_pixels(size: tuple[int, int]) -> None:
    np.random.seed(0)
    values = np.zeros((40, 60), np.float32)
    values[:20, :30], values[:20, 30:], values[20:, :30], values[20:, 30:] = 50, 100, 150, 200
    for _ in range(8):
        flip, jitter = (
            RandomFlipWithTexts(prob=0.5),
            LargeScaleJitter(size, (0.6, 1.6), shared_offset=False, image_pad_value=0),
        )
        image, depth = moved(values, flip, jitter)
        assert depth.shape == image.shape == size and set(np.unique(depth)) <= {0, 50, 100, 150, 200}
        assert_like(image, depth)
    image, depth = moved(values, ResizeShortestEdge(80))
    assert depth.shape == image.shape == (80, 120)
    assert_like(image, depth)


def test_unrecorded_moves_are_refused() -> None:
    def crop(results: dict) -> dict:
        return dict(results, img=results['img'][:10])

    with pytest.raises(ValueError, match='a.png: a transform moved the pixels without recording it'):
        moved(np.ones((20, 20), np.float32), crop)
