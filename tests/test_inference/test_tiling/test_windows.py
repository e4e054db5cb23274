"""Windows of images show what the reader of whole images shows."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from xdet.datasets.files.image_io import ImageReadError, read_image
from xdet.inference.inputs.images import ImageSource
from xdet.inference.tiling import windows

WINDOWS = [(slice(0, 20), slice(0, 30)), (slice(33, 90), slice(17, 101)), (slice(119, 120), slice(100, 150))]


def pixels(depth=3, size=(120, 150)):
    return np.random.default_rng(0).integers(0, 256, (*size, depth), np.uint8)


def check(path):
    whole = read_image(path)
    with windows.open_windows(ImageSource(str(path), str(path))) as opened:
        assert opened.size == whole.shape[:2]
        for rows, columns in WINDOWS:
            assert (opened.read(rows, columns) == whole[rows, columns]).all()
        small, factor = opened.reduced(40)
        assert factor == 4 and small.shape == (30, 38, 3)
        assert np.abs(small.mean((0, 1)) - whole.mean((0, 1))).max() < 3
        assert (opened.reduced(1000)[0] == whole).all()


@pytest.mark.parametrize('suffix', ['.png', '.jpg', '.webp', '.tif'])
@pytest.mark.parametrize('limit', [0, 10**6])
def test_files(tmp_path, monkeypatch, suffix, limit):
    monkeypatch.setattr(windows, 'IN_MEMORY', limit)
    path = tmp_path / f'a{suffix}'
    Image.fromarray(pixels()).save(path)
    check(path)


@pytest.mark.parametrize('mode', ['L', 'RGBA', 'I;16', 'P'])
def test_large_files_of_other_kinds(tmp_path, monkeypatch, mode):
    monkeypatch.setattr(windows, 'IN_MEMORY', 0)
    image = Image.fromarray(pixels(1)[..., 0].astype(np.uint16) * 250) if mode == 'I;16' else None
    image = image or Image.fromarray(pixels()).convert(mode)
    image.save(tmp_path / 'a.png')
    check(tmp_path / 'a.png')


@pytest.mark.parametrize(
    'options', [dict(tile=(32, 48)), dict(tile=(32, 48), compression='zlib'), dict(rowsperstrip=7)]
)
@pytest.mark.parametrize('kind', ['rgb', 'rgba', 'grey', 'deep'])
def test_tiff_by_parts(tmp_path, kind, options, monkeypatch):
    tifffile = pytest.importorskip('tifffile')
    array = pixels(dict(rgb=3, rgba=4, grey=1, deep=1)[kind])
    array = array[..., 0] if array.shape[-1] == 1 else array
    array = array.astype(np.uint16) * 250 if kind == 'deep' else array
    photometric = 'rgb' if array.ndim == 3 else 'minisblack'
    tifffile.imwrite(tmp_path / 'a.tif', array, photometric=photometric, **options)
    check(tmp_path / 'a.tif')
    # One strip that is larger than the cache is mapped, not read.
    monkeypatch.setattr(windows, '_CACHE_BYTES', 100)
    check(tmp_path / 'a.tif')


def test_arrays_of_any_kind():
    for array in (pixels(), pixels(1)[..., 0], pixels(4)):
        with windows.open_windows(ImageSource('array', array)) as opened:
            assert opened.read(*WINDOWS[1]).shape == (57, 84, 3)
    with (
        pytest.raises(ImageReadError, match='has type float64'),
        windows.open_windows(ImageSource('x', pixels() * 1.0)),
    ):
        pass


def test_damaged_and_missing_files(tmp_path, monkeypatch):
    monkeypatch.setattr(windows, 'IN_MEMORY', 0)
    Image.fromarray(pixels()).save(tmp_path / 'cut.png')
    data = (tmp_path / 'cut.png').read_bytes()
    (tmp_path / 'cut.png').write_bytes(data[: len(data) // 2])
    (tmp_path / 'no.png').write_bytes(b'nothing')
    (tmp_path / 'no.tif').write_bytes(b'nothing')
    for name in ('cut.png', 'no.png', 'no.tif', 'missing.tif', 'missing.png'):
        path = str(tmp_path / name)
        with (
            pytest.raises(ImageReadError, match=name) as caught,
            windows.open_windows(ImageSource(path, path)) as opened,
        ):
            opened.read(slice(0, 120), slice(0, 150))
        assert '\n' not in str(caught.value)
    monkeypatch.setattr(windows, 'MAX_PIXELS', 100)
    Image.fromarray(pixels()).save(tmp_path / 'a.png')
    path = str(tmp_path / 'a.png')
    with pytest.raises(ImageReadError, match='150x120 pixels; accepted are at most 100'):
        with windows.open_windows(ImageSource(path, path)):
            pass
