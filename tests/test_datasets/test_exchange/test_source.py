"""Where files and their images are found, and what they may not reach."""

from __future__ import annotations

import json
import tracemalloc
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny.annotation_files import BOX, coco, cvat, geojson, labelme, voc, write

from xdet.datasets.exchange import read_annotations
from xdet.datasets.exchange.entries import read_xml
from xdet.datasets.exchange.source import Source, inner_path
from xdet.inference.names.calibration import Case, read_cases

DECOMPOSED = unicodedata.normalize('NFD', 'Zoë.png')


@pytest.mark.parametrize('mark', ['utf-8-sig', 'utf-16'])
@pytest.mark.parametrize(
    'kind, content', [('coco', json.dumps(coco())), ('cvat', cvat('<box label="é" xtl="1" ytl="1" xbr="2" ybr="2"/>'))]
)
def test_byte_order_marks(mark: str, kind: str, content: str, folder: Path) -> None:
    path = write(folder, kind, content)
    path.write_bytes(content.encode(mark))
    (image,) = read_annotations(Source(path), kind).images
    assert len(image.segments) == 1 and image.path


@pytest.mark.parametrize('kind', ['labelme', 'voc', 'cvat'])
def test_files_that_systems_add(kind: str, folder: Path) -> None:
    """They come first when names are sorted; the ending of a name may be in upper case."""
    path = write(folder, kind, dict(labelme=labelme(), voc=voc(), cvat=cvat(BOX))[kind])
    path = folder / 'Annotations' / 'a.xml' if kind == 'voc' else path
    path = path.rename(path.with_suffix(path.suffix.upper()))
    for name in (f'._{path.name}', f'.ipynb_checkpoints/{path.name}', f'__MACOSX/{path.name}'):
        (path.parent / name).parent.mkdir(exist_ok=True)
        (path.parent / name).write_bytes(b'\0\5\x16')
    (image,) = read_annotations(folder).images
    assert len(image.segments) == 1 and image.path


def test_images_may_lie_elsewhere(folder: Path) -> None:
    path = folder / 'labels' / 'a.json'
    path.parent.mkdir()
    path.write_text(json.dumps(labelme(imagePath='..\\images\\a.png')))
    (image,) = read_annotations(Source(path, images=folder / 'images'), 'labelme').images
    assert image.file == 'a.png' and image.path == str(folder / 'images' / 'a.png')


@pytest.mark.parametrize('name', ['Zoë.JPG', DECOMPOSED])
def test_images_of_the_same_stem(name: str, folder: Path) -> None:
    """Neither the case of the ending nor the form of Unicode need be that of the annotations."""
    (folder / 'a.png').rename(folder / name)
    (folder / 'JPEGImages' / 'a.png').rename(folder / 'JPEGImages' / name)
    outline = geojson([[[1, 1], [5, 1], [5, 4], [1, 1]]])
    outline['xdet'].pop('image')
    file = write(folder, 'geojson', outline)
    file = file.rename(file.with_stem('Zoë'))
    write(folder, 'voc', voc().replace('<filename>a.png</filename>', ''))
    (folder / 'Annotations' / 'a.xml').rename(folder / 'Annotations' / 'Zoë.xml')
    for path, kind in ((file, 'geojson'), (folder, 'voc')):
        (image,) = read_annotations(Source(path), kind).images
        assert Path(image.path).name == name and len(image.segments) == 1


@pytest.mark.parametrize('kind', ['labelme', 'coco', 'cvat', 'voc', 'label-studio', 'geojson', 'png', 'coco-panoptic'])
def test_folders_without_files(kind: str, tmp_path: Path) -> None:
    with pytest.raises((FileNotFoundError, ValueError), match=str(tmp_path)):
        read_annotations(Source(tmp_path), kind)


@settings(max_examples=100, deadline=None)
@given(name=st.text(st.sampled_from('ab./\\:\0\n~'), max_size=8))
def test_paths_stay_in_their_folder(name: str) -> None:
    try:
        found = inner_path(name, 'it')
    except ValueError as error:
        assert str(error).startswith('it: ') and '\n' not in str(error)
    else:
        assert Path('/some/folder', found).resolve().is_relative_to('/some/folder') and '\\' not in found


def test_bombs_take_no_memory(tmp_path: Path) -> None:
    levels = ''.join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    path = tmp_path / 'a.xml'
    path.write_text(f'<!DOCTYPE x [<!ENTITY a0 "{"x" * 1000}">{levels}]><annotations>&a11;</annotations>')
    tracemalloc.start()
    with pytest.raises(ValueError, match='DOCTYPE'):
        read_xml(path)
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


@pytest.mark.parametrize('pngs', ['panoptic_val', 'panoptic/val', '.', '../panoptic_val'])
def test_usual_places_of_panoptic_images(tmp_path: Path, pngs: str) -> None:
    root = tmp_path / 'annotations'
    for name in (f'{pngs}/{DECOMPOSED}', f'images/val/{DECOMPOSED}'):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((6, 8, 3), (1, 0, 0), np.uint8)
        Image.fromarray(pixels).save(root / name)
    annotation = dict(image_id=1, file_name='Zoë.png', segments_info=[dict(id=1, category_id=1)])
    content = dict(coco(image=dict(file_name='Zoë.png')), annotations=[annotation])
    path = root / 'panoptic_val.json'
    path.write_text(json.dumps(content))
    (image,) = read_annotations(path).images
    assert image.file == 'Zoë.png' and Path(image.path) == root / 'images' / 'val' / DECOMPOSED
    assert len(image.segments) == 1
    assert read_cases(path) == ('names', [Case(image.path, ('dog',), ())])
    (root / pngs / DECOMPOSED).unlink()
    told = 'Zoë.png is neither beside the file nor in any of panoptic_val/, panoptic/val/, ../panoptic_val/'
    with pytest.raises(FileNotFoundError, match=told):
        read_annotations(path)
