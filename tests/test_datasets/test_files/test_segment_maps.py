"""Annotation PNGs become maps of small indices."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny.hostile_images import raw_png
from tiny.mutation import damaged

from xdet.datasets.files.depth_maps import read_depth
from xdet.datasets.files.segment_maps import read_label_map, read_panoptic_map
from xdet.io import warnings
from xdet.structures import Vocabulary

CLASSES = Vocabulary(('sky', 'car'), (False, True))


def save_ids(path: Path, ids: np.ndarray) -> str:
    Image.fromarray(np.stack([ids & 255, ids >> 8 & 255, ids >> 16], axis=-1).astype(np.uint8)).save(path)
    return str(path)


def test_ids_of_24_bits_become_positions(tmp_path: Path) -> None:
    ids = np.array([[0, 16777215, 65536], [256, 1, 65536]], dtype=np.uint32)
    segments = [dict(id=segment_id, label=0) for segment_id in (65536, 1, 16777215, 256)]
    indices, kept = read_panoptic_map(save_ids(tmp_path / 'a.png', ids), segments)
    assert kept == segments and indices.dtype == np.uint8
    np.testing.assert_array_equal(indices, [[0, 3, 1], [4, 2, 1]])


def test_segments_without_label_become_void(tmp_path: Path) -> None:
    path = save_ids(tmp_path / 'a.png', np.array([[4, 5, 6]], dtype=np.uint32))
    indices, kept = read_panoptic_map(path, [dict(id=4, label=1), dict(id=5, label=-1), dict(id=6, label=0)])
    np.testing.assert_array_equal(indices, [[1, 0, 2]])
    assert [segment['id'] for segment in kept] == [4, 6]


def test_more_than_255_segments_need_16_bits(tmp_path: Path) -> None:
    ids = np.arange(1, 301, dtype=np.uint32).reshape(15, 20)
    indices, _ = read_panoptic_map(
        save_ids(tmp_path / 'a.png', ids), [dict(id=segment_id, label=0) for segment_id in range(1, 301)]
    )
    assert indices.dtype == np.uint16
    np.testing.assert_array_equal(indices, ids)


def test_unlisted_ids_and_other_images_are_errors(tmp_path: Path) -> None:
    path = save_ids(tmp_path / 'a.png', np.array([[0, 7]], dtype=np.uint32))
    with pytest.raises(ValueError, match=r'a\.png: segment id 7 is not among'):
        read_panoptic_map(path, [dict(id=3, label=0)])
    Image.new('L', (2, 2)).save(tmp_path / 'b.png')
    with pytest.raises(ValueError, match=r'b\.png: not a panoptic PNG'):
        read_panoptic_map(str(tmp_path / 'b.png'), [])
    with pytest.raises(FileNotFoundError, match=r'c\.png: label image does not exist'):
        read_panoptic_map(str(tmp_path / 'c.png'), [])


@pytest.mark.parametrize('number', [-1, 1 << 24, 1 << 63, 10**30])
def test_ids_that_no_image_can_hold(tmp_path: Path, number: int) -> None:
    path = save_ids(tmp_path / 'a.png', np.array([[1]], dtype=np.uint32))
    with pytest.raises(ValueError, match=rf'a.png: its annotation file has the segment id {number}; accepted are 1 to'):
        read_panoptic_map(path, [dict(id=1, label=0), dict(id=number, label=0)])


def test_label_image_without_any_label(tmp_path: Path) -> None:
    Image.new('L', (3, 2), 255).save(tmp_path / 'a.png')
    indices, segments = read_label_map(str(tmp_path / 'a.png'), CLASSES)
    assert segments == [] and indices.shape == (2, 3) and not indices.any()


def test_segments_of_a_label_image(tmp_path: Path) -> None:
    Image.fromarray(np.array([[1, 255, 0]], dtype=np.uint8)).save(tmp_path / 'a.png')
    indices, segments = read_label_map(str(tmp_path / 'a.png'), CLASSES)
    np.testing.assert_array_equal(indices, [[2, 0, 1]])
    assert segments == [
        dict(id=1, label=0, is_thing=False, iscrowd=False),
        dict(id=2, label=1, is_thing=True, iscrowd=False),
    ]


def test_jpeg_is_refused(tmp_path: Path) -> None:
    Image.new('L', (3, 2), 1).save(tmp_path / 'a.png', 'JPEG')
    with pytest.raises(ValueError, match=r'a\.png: is a JPEG file, which changes the values'):
        read_label_map(str(tmp_path / 'a.png'), CLASSES)


def test_label_bomb_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new('L', (30, 20), 1).save(tmp_path / 'a.png')
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 10)
    with pytest.raises(ValueError, match=r'a\.png: label image is damaged or no image \(Image size'):
        read_label_map(str(tmp_path / 'a.png'), CLASSES)


@pytest.mark.parametrize('value', ['x', None, 1.5, ['x']])
def test_ignore_label_must_be_numbers(tmp_path: Path, value: object) -> None:
    Image.new('L', (3, 2)).save(tmp_path / 'a.png')
    with pytest.raises(ValueError, match='ignore_label is .*; it must be a whole number'):
        read_label_map(str(tmp_path / 'a.png'), CLASSES, ignore_label=value)


def test_segments_beyond_16_bits_are_refused(tmp_path: Path) -> None:
    path = save_ids(tmp_path / 'a.png', np.array([[1]], dtype=np.uint32))
    with pytest.raises(ValueError, match='lists 70000 segments, more than 65535'):
        read_panoptic_map(path, [dict(id=number, label=0) for number in range(1, 70001)])


def test_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'a.png')
    with pytest.raises(ValueError, match=r'a\.png: is a pipe'):
        read_label_map(str(tmp_path / 'a.png'), CLASSES)


def _labels(kind: str = 'PNG', frames: int = 1, **options: object) -> bytes:
    image = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8) % 2)
    if frames > 1:
        more = [Image.fromarray(np.full((6, 8), number, np.uint8)) for number in range(1, frames)]
        options.update(save_all=True, append_images=more)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


@pytest.mark.parametrize(
    ('data', 'says'),
    [
        (lambda: _labels('AVIF'), 'is a AVIF file'),
        (lambda: _labels('TIFF', frames=3), 'has 3 frames, too many for a label image; save it as PNG'),
        (lambda: _labels(frames=2), 'has 2 frames'),
        (lambda: _labels(exif=_turned()), 'is turned by its EXIF data'),
        (lambda: raw_png(8, 6, 2, 16, bytes(6 * 49)), 'has several channels of 16 bits'),
        (lambda: raw_png(8, 24, 0, 8, bytes(6 * 9)), 'damaged or no image .*it has 54 of 216 bytes of pixels'),
        (lambda: _labels()[:-6] + b'\0' * 6, 'damaged or no image'),
        (lambda: _labels()[:-12], 'its end is missing'),
    ],
)
def test_values_that_would_not_be_those_meant(tmp_path: Path, data: Callable[[], bytes], says: str) -> None:
    """What Pillow reads without a word, as other values than those that the file holds, or as some of them."""
    path = tmp_path / 'labels.png'
    path.write_bytes(data())
    for read in (lambda: read_label_map(str(path), CLASSES), lambda: read_panoptic_map(str(path), [])):
        with pytest.raises(ValueError, match=rf'labels\.png: .*({says})'):
            read()


def test_listed_segments_without_pixels_are_told_once_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[str] = []
    monkeypatch.setattr(warnings, 'warn', logged.append)
    for name in 'ab':
        path = save_ids(tmp_path / f'{name}.png', np.array([[4, 5]], dtype=np.uint32))
        read_panoptic_map(path, [dict(id=number, label=0) for number in (4, 5, 6, 70000)])
    [line] = logged
    assert 'a.png: has no pixel of the segment(s) 6, 70000, which' in line


@pytest.mark.parametrize('value', [1 << 16, 10**30, [255, 1 << 16]])
def test_void_values_that_no_pixel_has(tmp_path: Path, value: object) -> None:
    Image.new('L', (2, 2)).save(tmp_path / 'a.png')
    with pytest.raises(ValueError, match='ignore_label is .*; label images have values from 0 to 65535'):
        read_label_map(str(tmp_path / 'a.png'), CLASSES, ignore_label=value)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), kind=st.sampled_from(['PNG', 'TIFF', 'BMP', 'GIF']))
def test_damaged_maps_are_read_or_named(tmp_path: Path, data: st.DataObject, kind: str) -> None:
    path = tmp_path / 'odd.png'
    path.write_bytes(damaged(_labels(kind), data))
    for read in (
        lambda: read_label_map(str(path), CLASSES),
        lambda: read_panoptic_map(str(path), []),
        lambda: read_depth(str(path)),
    ):
        try:
            read()
        except ValueError as error:
            assert str(error).startswith(str(path)) and '\n' not in str(error)
