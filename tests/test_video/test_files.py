"""Films in and out: files, folders, arrays, and all that can be wrong with them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from xdet.datasets.files.image_io import IMAGE_SUFFIXES, ImageReadError, as_bgr, read_image
from xdet.video.reading import FALLBACK_FPS, FilmError, open_film
from xdet.video.writing import CODECS, check_output, writing_film


def opened(source):
    return open_film(source, read_image, as_bgr, IMAGE_SUFFIXES)


def picture(number, size=(48, 64)):
    return np.full((*size, 3), (10 * number, 50, 200 - 10 * number), np.uint8)


def write(path, count=8, fps=10, **options):
    with writing_film(path, fps, **options) as writer:
        for number in range(count):
            writer.add(dict(frame=number, classes=['a', 'b']), picture(number))
    return path


@pytest.mark.parametrize('suffix', CODECS)
def test_films_come_back(tmp_path, suffix):
    path = write(tmp_path / 'new' / f'film{suffix}')
    film = opened(path)
    frames = list(film)
    assert len(frames) == film.read == 8 and film.fps == pytest.approx(10) and not film.broken
    for number, frame in enumerate(frames):
        assert frame.shape == (48, 64, 3) and np.abs(frame[..., ::-1].mean((0, 1)) - picture(number)[0, 0]).max() < 12
    assert {file.name for file in path.parent.iterdir()} == {f'film{suffix}', 'film.jsonl'}
    lines = [json.loads(line) for line in path.with_suffix('.jsonl').read_text().splitlines()]
    assert lines[0]['classes'] == ['a', 'b'] and lines[1:] == [dict(frame=number) for number in range(1, 8)]


def test_folders_and_lines(tmp_path):
    folder = write(tmp_path / 'frames', 3)
    assert [file.name for file in sorted(folder.iterdir())] == [
        '000000.png',
        '000001.png',
        '000002.png',
        'frames.jsonl',
    ]
    film = opened(folder)
    assert [frame[0, 0].tolist() for frame in film] == [picture(number)[0, 0, ::-1].tolist() for number in range(3)]
    assert film.fps == FALLBACK_FPS
    write(tmp_path / 'only.jsonl', 3)
    write(tmp_path / 'silent.mp4', 3, lines=False)
    write(tmp_path / 'blind.mp4', 3, pictures=False)
    names = ['blind.jsonl', 'frames', 'only.jsonl', 'silent.mp4']
    assert sorted(file.name for file in tmp_path.iterdir()) == names


@pytest.mark.parametrize('out', ['film.mp4', 'frames', 'film.jsonl'])
def test_nothing_is_left_half_written(tmp_path, out):
    write(tmp_path / 'film.mp4', 2)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(RuntimeError, match='stop'), writing_film(tmp_path / out, 10) as writer:
        writer.add(dict(frame=0), picture(0))
        raise RuntimeError('stop')
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_arrays(tmp_path):
    frames = np.stack([picture(number) for number in range(4)])
    assert [frame.tolist() for frame in opened(frames)] == frames.tolist()
    assert len(list(opened(frame for frame in frames))) == 4
    assert len(list(opened([frames[0, ..., 0]]))) == 1  # grey


@pytest.mark.parametrize(
    'source, message',
    [
        ([], 'frames: holds no frame'),
        (
            [picture(0), picture(1, (40, 64))],
            r'frame 1 is 64x40 pixels, those before are 64x48',
        ),
        ([picture(0), 'x'], r'frame 1: has shape \(\)'),
        ([picture(0).astype(float)], 'frame 0: has type float64'),
        ('', 'path of a film is empty'),
        ('no/such.mp4', 'such.mp4: does not exist'),
        (None, 'a film is None'),
        (3.5, 'a film is a float'),
        (picture(0), r'shape \(48, 64, 3\); accepted is \[T, H, W, 3\]'),
        (977, 'camera 977: is not there'),
        ('977', 'camera 977: is not there'),
    ],
)
def test_unusable_films(source, message, capfd):
    with pytest.raises((FilmError, ImageReadError), match=message) as caught:
        list(opened(source))
    assert '\n' not in str(caught.value)


def test_damaged_files(tmp_path, capfd):
    whole = write(tmp_path / 'film.avi', 40).read_bytes()
    cases = dict(
        empty=(b'', 'file is empty'),
        noise=(bytes(range(256)) * 40, 'is no film that can be decoded'),
        head=(whole[:600], 'is no film|holds no frame'),
        text=('Notes é\n'.encode() * 9, 'is a text'),
        wide=('Notes'.encode('utf-16'), 'is a text'),
        list=(b'ffconcat version 1.0\nfile film.avi\n', 'lists of films are not followed'),
        m3u=(b'#EXTM3U\n#EXTINF:1,\nfilm.avi\n', 'lists of films are not followed'),
    )
    for name, (data, message) in cases.items():
        path = tmp_path / f'{name}.avi'
        path.write_bytes(data)
        with pytest.raises(FilmError, match=message):
            list(opened(path))
    os.mkfifo(tmp_path / 'pipe.avi')
    with pytest.raises(FilmError, match='neither a file nor a folder'):
        opened(tmp_path / 'pipe.avi')
    (tmp_path / 'folder').mkdir()
    with pytest.raises(FilmError, match='folder has no image files'):
        opened(tmp_path / 'folder')
    cut = tmp_path / 'cut.avi'
    cut.write_bytes(whole[: len(whole) // 2])
    film = opened(cut)
    count = len(list(film))
    assert 0 < count < 40 and f'ends after {count} of 40 frames' in film.broken
    broken = bytearray((write(tmp_path / 'b.mp4', 40)).read_bytes())
    broken[200:1200] = bytes(1000)
    (tmp_path / 'b.mp4').write_bytes(broken)
    try:
        assert len(list(opened(tmp_path / 'b.mp4'))) <= 40
    except FilmError as error:
        assert 'b.mp4' in str(error)
    assert capfd.readouterr().err == ''


def test_folders_of_images_of_several_sizes_and_broken_ones(tmp_path):
    for number, size in enumerate([(48, 64), (48, 64), (50, 64)]):
        cv2.imwrite(str(tmp_path / f'{number}.png'), picture(number, size))
    with pytest.raises(FilmError, match='frame 2 is 64x50'):
        list(opened(tmp_path))
    (tmp_path / '1.png').write_bytes(b'no image')
    with pytest.raises(ImageReadError, match='1.png: not an image'):
        list(opened(tmp_path))


def test_unusable_outputs(tmp_path):
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full' / 'file').write_text('x')
    (tmp_path / 'dir.mp4').mkdir()
    for out, message in (
        ('', 'empty'),
        (tmp_path / 'a.png', "'.png' is no format of films"),
        (tmp_path / 'full', 'has something in it'),
        (tmp_path / 'full' / 'file', 'is a file'),
        (tmp_path / 'dir.mp4', 'is a folder'),
        (tmp_path / 'full' / 'file' / 'a.mp4', 'cannot be written'),
        (Path('/proc/nowhere/a.mp4'), 'cannot be written'),
    ):
        with pytest.raises(FilmError, match=message):
            check_output(out)


def test_numbers_of_frames_are_counted_without_zeros_before_them(tmp_path):
    for number in (10, 9, 2, 1):
        Image.fromarray(np.full((4, 4, 3), number, np.uint8)).save(tmp_path / f'frame{number}.png')
    assert [int(frame[0, 0, 0]) for frame in opened(tmp_path)] == [1, 2, 9, 10]


def test_a_camera_of_no_machine():
    with pytest.raises(FilmError, match='camera 1.*: is not there or in use'):
        opened(10**20)
