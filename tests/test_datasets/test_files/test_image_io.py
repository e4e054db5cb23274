"""Every kind of image a user may have is read, or refused in one line."""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny.mutation import damaged

from xdet.datasets import ImageReadError, as_bgr, decode_image, read_image

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


def encoded(image: Image.Image, kind: str = 'PNG', **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_channels_are_bgr(tmp_path: Path) -> None:
    path = tmp_path / 'a.png'
    path.write_bytes(encoded(Image.fromarray(RGB)))
    image = read_image(path)
    assert image.dtype == np.uint8 and image.flags.c_contiguous
    np.testing.assert_array_equal(image, RGB[..., ::-1])


@pytest.mark.parametrize('mode', ['1', 'L', 'LA', 'P', 'RGBA', 'CMYK', 'YCbCr', 'LAB'])
def test_every_8_bit_mode_becomes_three_channels(mode: str) -> None:
    kind = 'TIFF' if mode in ('CMYK', 'YCbCr', 'LAB') else 'PNG'
    decoded = decode_image(encoded(Image.fromarray(RGB).convert(mode), kind))
    assert decoded.shape == (5, 7, 3) and decoded.dtype == np.uint8


def test_cmyk_jpeg_keeps_colours() -> None:
    red = Image.new('RGB', (16, 16), (250, 10, 10)).convert('CMYK')
    blue, green, red_value = decode_image(encoded(red, 'JPEG'))[8, 8]
    assert red_value > 200 and green < 60 and blue < 60


def test_transparency_is_dropped_not_composited() -> None:
    rgba = np.dstack([RGB, np.zeros((5, 7), np.uint8)])
    np.testing.assert_array_equal(decode_image(encoded(Image.fromarray(rgba))), RGB[..., ::-1])


def test_16_bit_grey_keeps_its_high_byte() -> None:
    values = np.array([[0, 255, 256, 40000, 65535]], dtype=np.uint16)
    decoded = decode_image(encoded(Image.fromarray(values)))
    np.testing.assert_array_equal(decoded[0, :, 0], [0, 0, 1, 156, 255])


def test_animation_gives_its_first_frame() -> None:
    frames = [Image.new('RGB', (4, 4), colour) for colour in ('red', 'blue')]
    decoded = decode_image(encoded(frames[0], 'GIF', save_all=True, append_images=frames[1:]))
    np.testing.assert_array_equal(decoded[0, 0], [0, 0, 255])


def test_exif_orientation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held so that the top row is the right-hand column
    decoded = decode_image(encoded(Image.fromarray(RGB), 'PNG', exif=exif))
    np.testing.assert_array_equal(decoded, np.rot90(RGB, -1)[..., ::-1])


@pytest.mark.parametrize('shape', [(1, 1), (300, 20000)])
def test_extreme_sizes_are_read(shape: tuple[int, int]) -> None:
    assert decode_image(encoded(Image.new('L', shape[::-1]))).shape == (*shape, 3)


def test_refusals_name_file_and_reason(tmp_path: Path) -> None:
    good = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)), 'JPEG')
    (tmp_path / 'empty.jpg').write_bytes(b'')
    (tmp_path / 'text.jpg').write_text('<html>not found</html>')
    (tmp_path / 'half.jpg').write_bytes(good[: len(good) // 2])
    (tmp_path / 'half.png').write_bytes(encoded(Image.fromarray(RGB))[:60])
    (tmp_path / 'float.tiff').write_bytes(encoded(Image.fromarray(np.zeros((2, 2), np.float32)), 'TIFF'))
    (tmp_path / 'deep.tiff').write_bytes(encoded(Image.fromarray(np.full((2, 2), 70000, np.int32)), 'TIFF'))
    (tmp_path / 'folder.jpg').mkdir()
    expected = {
        'absent.jpg': 'does not exist',
        'empty.jpg': 'empty',
        'text.jpg': 'not an image; accepted are',
        'half.jpg': 'truncated',
        'half.png': 'truncated',
        'float.tiff': 'floating-point',
        'deep.tiff': '70000',
        'folder.jpg': 'folder',
    }
    for name, reason in expected.items():
        with pytest.raises(ImageReadError, match=reason) as caught:
            read_image(tmp_path / name)
        assert name in str(caught.value) and '\n' not in str(caught.value)
        assert caught.value.path.endswith(name) and caught.value.reason


def test_error_survives_leaving_a_worker_process() -> None:
    error = ImageReadError('a.jpg', 'is empty')
    assert str(pickle.loads(pickle.dumps(error))) == str(ImageReadError(str(error))) == 'a.jpg: is empty'


def test_arrays_of_all_accepted_forms() -> None:
    grey = RGB[..., 0]
    for array in (grey, grey[..., None], grey.astype(np.uint16) << 8):
        np.testing.assert_array_equal(as_bgr(array), np.repeat(grey[..., None], 3, axis=-1))
    np.testing.assert_array_equal(as_bgr(np.dstack([RGB, grey])), RGB)
    np.testing.assert_array_equal(as_bgr(RGB[:, ::-1]), RGB[:, ::-1])


@pytest.mark.parametrize(
    'array', [np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4, 2), np.uint8), np.zeros((4, 4, 3)), np.zeros(4, np.uint8)]
)
def test_other_arrays_are_refused(array: np.ndarray) -> None:
    with pytest.raises(ImageReadError, match='my picture'):
        as_bgr(array, 'my picture')


def test_files_that_cannot_be_images_are_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'pipe.png')
    for path in (tmp_path / 'pipe.png', '/dev/zero', 'x' * 300, 'a\0b', '~nosuchuser/a.png', tmp_path):
        with pytest.raises(ImageReadError) as caught:
            read_image(path)
        assert caught.value.reason and '\n' not in str(caught.value)


def test_any_exception_of_a_decoder_is_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: object, **kwargs: object) -> None:
        raise RuntimeError('Failed to decode frame')  # as Pillow's AVIF plugin does

    buffer = io.BytesIO()
    Image.new('RGB', (4, 4)).save(buffer, 'PNG')
    monkeypatch.setattr(Image.Image, 'convert', fails)
    with pytest.raises(ImageReadError, match=r'damaged or truncated \(Failed to decode frame\)'):
        decode_image(buffer.getvalue())


def test_postscript_is_no_image() -> None:
    buffer = io.BytesIO()
    Image.new('RGB', (4, 4)).save(buffer, 'EPS')
    with pytest.raises(ImageReadError, match='not an image'):
        decode_image(buffer.getvalue())


@settings(max_examples=150, deadline=None)
@given(data=st.data(), kind=st.sampled_from(['PNG', 'JPEG', 'GIF', 'TIFF', 'WEBP', 'BMP', 'AVIF']))
def test_damaged_files_are_read_or_named(data: st.DataObject, kind: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)).save(buffer, kind)
    try:
        decode_image(damaged(buffer.getvalue(), data), 'a file')
    except ImageReadError as error:
        assert str(error).startswith('a file: ')
