import builtins
import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from xdet.inference.outputs.writer import OutputError, ResultWriter, png_of_strips, unique_stems

PICTURE = np.zeros((4, 5, 3), np.uint8)


def files_of(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob('*') if path.is_file())


def test_layout(tmp_path):
    writer = ResultWriter(tmp_path / 'new' / 'out', ['a/street.jpg'])
    prediction = dict(image='a/street.jpg')
    files = writer.write(0, prediction, dict(panoptic=PICTURE), PICTURE)
    root = tmp_path / 'new' / 'out'
    assert files_of(root) == ['preds/street.json', 'preds/street_panoptic.png', 'vis/street.png']
    assert sorted(files.values()) == files_of(root)
    assert json.loads((root / files['json']).read_text()) == prediction
    assert prediction['files']['panoptic'] == 'preds/street_panoptic.png'


def test_sixteen_bit_maps_keep_their_values(tmp_path):
    array = np.array([[0, 1202, 65535]], np.uint16)
    files = ResultWriter(tmp_path, ['x']).write(0, {}, dict(semantic=array), None)
    assert (np.asarray(Image.open(tmp_path / files['semantic'])) == array).all()


def test_names_never_collide():
    stems = unique_stems(['a/x.jpg', 'b/x.jpg', 'x.PNG', 'X.jpg', 'x_2.jpg', 'https://h/x.jpg?size=1/2', '???', '/'])
    assert stems[:2] == ['x', 'x_2']
    assert len({stem.lower() for stem in stems}) == len(stems)
    assert all(stem and '/' not in stem and '?' not in stem for stem in stems)


@pytest.mark.parametrize('letter', ['a', 'ü', '雪'])
def test_long_names_are_cut_to_what_file_systems_take(tmp_path, letter):
    ResultWriter(tmp_path, [letter * 300, letter * 300]).write(1, {}, dict(panoptic=PICTURE), PICTURE)
    assert len(files_of(tmp_path)) == 3


@pytest.mark.parametrize('target', ['file', 'file/below'])
def test_output_folder_that_cannot_be_made(tmp_path, target):
    (tmp_path / 'file').write_text('taken')
    with pytest.raises(OutputError, match='cannot be written|is a file; give a folder') as caught:
        ResultWriter(tmp_path / target, ['x'])
    assert str(tmp_path / target) in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason='permissions do not bind root')
def test_output_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match='Permission denied'):
        ResultWriter(tmp_path / 'out', ['x'])


def test_folders_come_with_the_first_result(tmp_path):
    ResultWriter(tmp_path / 'out', ['x']).write(0, dict(value=1), {}, None)
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == ['preds']


def test_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch):
    writer = ResultWriter(tmp_path, ['x'])
    writer.write(0, dict(value=1), dict(semantic=PICTURE[..., 0]), PICTURE)
    before = {name: (tmp_path / name).read_bytes() for name in files_of(tmp_path)}
    real_open = builtins.open

    def full(path, mode='r', *args, **kwargs):
        file = real_open(path, mode, *args, **kwargs)
        if 'x' in mode and 'json' in str(path):
            file.write(b'{')
            file.close()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return file

    monkeypatch.setattr(builtins, 'open', full)
    with pytest.raises(OutputError, match="results of 'x'.*No space left"):
        writer.write(0, dict(value=2), dict(semantic=PICTURE[..., 0] + 1), PICTURE + 1)
    monkeypatch.undo()
    assert {name: (tmp_path / name).read_bytes() for name in files_of(tmp_path)} == before


def test_twelve_writers_share_a_folder(tmp_path):
    """None is refused, and none leaves anything unfinished behind."""

    def write(number):
        writer = ResultWriter(tmp_path / 'out', [f'{number}.jpg', 'same.jpg'])
        for index in range(2):
            writer.write(index, dict(number=number), {}, np.zeros((4, 4, 3), np.uint8))

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(write, range(12)))
    written = sorted(path.relative_to(tmp_path / 'out').as_posix() for path in (tmp_path / 'out').rglob('*.*'))
    names = [*map(str, range(12)), 'same']
    assert written == sorted([f'preds/{name}.json' for name in names] + [f'vis/{name}.png' for name in names])


@pytest.mark.parametrize('out_dir', ['~nosuchuser/out', 'a\0b', 'x' * 5000])
def test_impossible_folders_are_one_short_line(out_dir):
    with pytest.raises(OutputError, match='output folder') as caught:
        ResultWriter(out_dir, ['a.jpg'])
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize('dtype, depth', [(np.uint8, 3), (np.uint8, 0), (np.uint16, 0)])
def test_png_in_strips(tmp_path, dtype, depth):
    array = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (37, 23, *[depth] * (depth > 0))).astype(dtype)
    (tmp_path / 'a.png').write_bytes(png_of_strips((array[top : top + 10] for top in range(0, 37, 10)), 37, 23))
    assert (np.asarray(Image.open(tmp_path / 'a.png')) == array).all()
