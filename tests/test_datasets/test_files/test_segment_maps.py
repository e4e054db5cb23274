"""Annotation PNGs become maps of small indices."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xdet.datasets.files.segment_maps import read_label_map, read_panoptic_map
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
