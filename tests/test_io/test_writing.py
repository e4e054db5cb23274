"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xdet.io import writing

ROOT = Path(__file__).resolve().parents[2]
IN_PLACE = re.compile(
    r"""(?<!store)(?<!self)\.write_(text|bytes)\(|\bopen\(.*['"][wx]b?['"]|imwrite\(|savefig\(\w*path"""
)
ELSEWHERE = {
    'xdet/io/writing.py': 'is the writer',
    'xdet/cli/running.py': 'opens the null device',
    'xdet/engine/log_lines.py': 'opens the null device',
    'xdet/engine/testing/result_files.py': 'adds rows with sums to a file of its own',
    'xdet/serve/label_studio/training.py': 'gives a process its log',
    'xdet/export/folder.py': 'fills an unfinished folder',
    'xdet/datasets/exchange/kinds.py': 'fills an unfinished folder',
    'tools/misc/download_dataset.py': 'goes on with an unfinished file',
    'benchmarks/calibration.py': 'fills a temporary folder',
    'benchmarks/metric_agreement.py': 'fills a temporary folder',
    'benchmarks/gpu_check.py': 'writes a log',
    'benchmarks/process_memory.py': 'tells the kernel',
}


def test_nothing_is_written_in_place() -> None:
    paths = [path for folder in ('xdet', 'tools', 'benchmarks', 'demo') for path in (ROOT / folder).rglob('*.py')]
    assert len(paths) > 300
    found = {path.relative_to(ROOT).as_posix() for path in paths if IN_PLACE.search(path.read_text(encoding='utf-8'))}
    assert found == ELSEWHERE.keys()


def test_writes_and_makes_folders(tmp_path: Path) -> None:
    writing.write_json(tmp_path / 'a' / 'b.json', dict(x='ü'), ensure_ascii=False)
    assert (tmp_path / 'a' / 'b.json').read_text(encoding='utf-8') == '{"x": "ü"}'
    assert (tmp_path / 'a' / 'b.json').stat().st_mode & 0o600 == 0o600
    writing.write_text(tmp_path / 'c', 'half a pair \ud800')
    assert (tmp_path / 'c').read_text() == 'half a pair ?'


@pytest.mark.parametrize('name', ['x' * 255, 'ü' * 127, '.hidden', 'a b'])
def test_any_name_that_the_file_system_takes(tmp_path: Path, name: str) -> None:
    writing.write_bytes(tmp_path / name, b'1')
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_an_error_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / 'a'
    path.write_bytes(b'old')
    with pytest.raises(KeyboardInterrupt), writing.replacing(path) as file:
        file.write(b'half')
        raise KeyboardInterrupt
    assert path.read_bytes() == b'old' and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize('step', ['fsync', 'replace'])
def test_all_files_or_none_and_the_error_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(writing.os, step, fail)
    with pytest.raises(OSError, match=f"No space left on device: '{tmp_path / 'a'}'"):
        writing.write_files({tmp_path / 'a': b'1', tmp_path / 'new' / 'folder' / 'b': b'2'})
    assert not list(tmp_path.iterdir())


def test_a_folder_that_another_process_has_filled_meanwhile(tmp_path: Path) -> None:
    with (
        pytest.raises(FileExistsError, match='another process has written into it'),
        writing.replacing_path(tmp_path / 'out') as part,
    ):
        part.mkdir()
        writing.write_bytes(tmp_path / 'out' / 'theirs', b'1')
    assert [path.name for path in tmp_path.rglob('*')] == ['out', 'theirs']


def test_folders_that_others_use_meanwhile_stay(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), writing.replacing_path(tmp_path / 'new' / 'folder' / 'a'):
        (tmp_path / 'new' / 'b').touch()
        raise KeyboardInterrupt
    assert sorted(path.name for path in tmp_path.rglob('*')) == ['b', 'new']


def test_places_are_checked_before_the_work(tmp_path: Path) -> None:
    (tmp_path / 'file').write_bytes(b'')
    (tmp_path / 'folder').mkdir()
    for path, folder in (('new', False), ('new', True), ('a/b/new', False), ('file', False), ('folder', True)):
        writing.check_place(tmp_path / path, folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['file', 'folder']
    for path, folder, told in (
        ('folder', False, 'is a folder; give a file'),
        ('file', True, 'is a file; give a folder'),
        ('file/new', False, 'cannot be written'),
        ('file/a/new', True, 'cannot be written'),
    ):
        with pytest.raises(OSError, match=told):
            writing.check_place(tmp_path / path, folder)
    with pytest.raises(PermissionError, match='cannot be written'):
        writing.check_place('/proc/new')


def test_folder_in_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / 'a').mkdir()
    with pytest.raises(IsADirectoryError, match="'.*/a'$"):
        writing.write_bytes(tmp_path / 'a', b'')
    assert [path.name for path in tmp_path.iterdir()] == ['a']


def test_writers_of_one_file_do_not_mix(tmp_path: Path) -> None:
    contents = [bytes([letter]) * 200_000 for letter in b'abcdefgh']
    threads = [threading.Thread(target=writing.write_bytes, args=(tmp_path / 'a', content)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / 'a').read_bytes() in contents and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize('suffix', ['.png', '.jpg', '.WEBP'])
def test_images(tmp_path: Path, suffix: str) -> None:
    pixels = np.full((4, 6, 3), (200, 30, 90), np.uint8)
    writing.write_image(tmp_path / f'a{suffix}', pixels, quality=95)
    with Image.open(tmp_path / f'a{suffix}') as image:
        assert np.abs(np.asarray(image).astype(int) - pixels).max() < 8
    with pytest.raises(ValueError, match=r"'.xyz' is no format of images"):
        writing.write_image(tmp_path / 'a.xyz', pixels)


def test_left_overs_of_killed_writers(tmp_path: Path) -> None:
    for name, age in (('.iter_1.pth.x.part', 7200), ('.iter_2.pth.x.part', 5), ('.other.x.part', 7200)):
        (tmp_path / name).write_bytes(b'half')
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    writing.remove_forgotten(tmp_path, '*.pth*')
    assert sorted(path.name for path in tmp_path.iterdir()) == ['.iter_2.pth.x.part', '.other.x.part']


def test_errors_within_an_unfinished_folder_name_the_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="'.*/new'$"), writing.replacing_path(tmp_path / 'new') as unfinished:
        (unfinished / 'a').mkdir()
    with pytest.raises(FileNotFoundError, match="'.*/other'$"), writing.replacing_path(tmp_path / 'new'):
        (tmp_path / 'other').read_bytes()
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_way_of_a_folder_is_named(tmp_path: Path) -> None:
    for _ in range(2):
        assert writing.make_folder(tmp_path / 'a' / 'b').is_dir()
    file = tmp_path / 'file'
    file.write_text('x')
    with pytest.raises(FileExistsError, match="^'.*/file' is a file; give a folder$"):
        writing.make_folder(file)
    told = "file/c' cannot be made: '.*/file' is a file; give a folder$"
    with pytest.raises(FileExistsError, match=told):
        writing.write_text(file / 'c' / 'd', 'x')
    with pytest.raises(FileExistsError, match=told), writing.replacing_path(file / 'c' / 'd'):
        pass
