"""Exports as other tools leave them: paths of other machines, layouts, formats that are only read."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny.annotation_files import coco, cvat, labelme, studio, supervisely, via, voc, write

from xdet.datasets.exchange import Problems, check_set, detect_kind, read_annotations, write_annotations
from xdet.datasets.exchange.annotated import AnnotatedImage, AnnotatedSet
from xdet.datasets.exchange.source import Source
from xdet.datasets.exchange.splitting import split_coco_file

LINE = '0 0.1 0.1 0.5 0.1 0.5 0.5\n'


def images(root: Path, *names: str) -> None:
    """Images of 8x6 pixels, each with a content of its own."""
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((6, 8, 3), number, np.uint8)).save(root / name)


def texts(root: Path, **contents: str) -> None:
    for name, content in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)


def found(path: Path, **options: object) -> list[tuple[str, str, int]]:
    """Splits and places of the images below ``path``, and how many segments they have."""
    data = read_annotations(Source(path, **options))
    root = path if path.is_dir() else path.parent
    places = [Path(image.path).relative_to(root).as_posix() if image.path else '' for image in data.images]
    return sorted((i.split, place, len(i.segments)) for i, place in zip(data.images, places, strict=True))


@pytest.mark.parametrize(
    'name',
    [
        '/home/me/photos/a.png', 'C:\\Users\\me\\a.png', '../../media/upload/1/a.png', 'images\\a.png', 'photos/a.png',
        'A.PNG', '1a2b3c4d-a.png', 'images/1a2b3c4d-a.png',
    ],
)  # fmt: skip
def test_names_of_another_machine(name: str, tmp_path: Path) -> None:
    images(tmp_path, 'images/a.png', 'images/b.png')
    path = write(tmp_path, 'coco', coco(image=dict(file_name=name)))
    assert found(path) == [('', 'images/a.png', 1)]
    (image,) = read_annotations(path).images
    assert image.file == ('images/a.png' if name == 'images\\a.png' else 'a.png')


def test_folders_must_not_contradict(tmp_path: Path) -> None:
    images(tmp_path, 'images/train/a.png', 'images/val/a.png', 'images/val/b.png')
    for name, place in (
        ('/data/train/a.png', 'images/train/a.png'), ('train/b.png', ''), ('a.png', ''), ('b.png', 'images/val/b.png'),
        ('/x/val/B.png', 'images/val/b.png'),
    ):  # fmt: skip
        assert found(write(tmp_path, 'coco', coco(image=dict(file_name=name)))) == [('', place, 1)], name
    # The folder of one file of annotations may be a home: nothing is looked for in the folders in it.
    images(tmp_path, 'other/c.png')
    assert found(write(tmp_path, 'coco', coco(image=dict(file_name='c.png')))) == [('', '', 1)]
    assert found(tmp_path) == [('', 'other/c.png', 1)]


def test_layouts_of_coco(tmp_path: Path) -> None:
    groups = [dict(id=0, name='pets', supercategory='none'), dict(id=1, name='dog', supercategory='pets')]
    for number, split in enumerate(('train', 'valid', 'test')):
        images(tmp_path, f'{split}/a{number}.png')
        content = coco(image=dict(file_name=f'a{number}.png'), categories=groups)
        texts(tmp_path, **{f'{split}/_annotations.coco.json': json.dumps(content)})
    texts(tmp_path, **{'train/notes.json': '[]'})
    assert found(tmp_path) == [('test', 'test/a2.png', 1), ('train', 'train/a0.png', 1), ('val', 'valid/a1.png', 1)]
    problems = Problems(strict=False)
    data = read_annotations(Source(tmp_path, problems=problems))
    assert data.names == ('dog',) and [len(names) for names in problems.left_out.values()] == [1]


def test_a_folder_of_several_kinds_of_coco(tmp_path: Path) -> None:
    """As ``generate_scenes.py`` and COCO itself leave it: captions first, panoptic segments among others."""
    images(tmp_path, 'val/a.png')
    Image.fromarray(np.full((6, 8, 3), [1, 0, 0], np.uint8)).save(tmp_path / 'val' / 'map.png')
    segments = dict(image_id=1, file_name='map.png', segments_info=[dict(id=1, category_id=1)])
    captions = dict(images=coco()['images'], annotations=[dict(id=1, image_id=1, caption='a dog')])
    panoptic = coco(annotations=[segments])
    panoptic['categories'][0]['isthing'] = 1
    files = dict(captions_val=captions, panoptic_val=panoptic, notes=[])
    texts(tmp_path, **{f'annotations/{name}.json': json.dumps(content) for name, content in files.items()})
    (tmp_path / 'annotations' / 'panoptic_val').mkdir()
    (tmp_path / 'val' / 'map.png').rename(tmp_path / 'annotations' / 'panoptic_val' / 'map.png')
    assert detect_kind(tmp_path) == 'coco-panoptic' and found(tmp_path) == [('', 'val/a.png', 1)]
    texts(tmp_path, **{'annotations/instances_val.json': json.dumps(coco())})
    assert detect_kind(tmp_path) == 'coco' and found(tmp_path) == [('', 'val/a.png', 1)]


def test_label_images_are_told(tmp_path: Path) -> None:
    images(tmp_path, 'images/train/a.png', 'labels/train/a.png')
    texts(tmp_path, **{'classes.txt': 'dog'})
    with pytest.raises(ValueError, match='holds label images, which are trained with as they are'):
        read_annotations(tmp_path)


def test_what_was_divided_is_read_once(tmp_path: Path) -> None:
    """``xdet data split`` leaves the parts beside the whole."""
    images(tmp_path, 'images/a.png', 'images/b.png', 'images/c.png')
    entries = [dict(id=number, file_name=f'{name}.png', width=8, height=6) for number, name in enumerate('abc', 1)]
    texts(tmp_path, **{'instances.json': json.dumps(coco(images=entries))})
    list(split_coco_file(tmp_path / 'instances.json', {n: tmp_path / f'{n}.json' for n in ('train', 'val')}, 1, 0))
    problems = Problems(strict=False)
    data = read_annotations(Source(tmp_path, problems=problems))
    assert sorted(image.split for image in data.images) == ['train', 'train', 'val']
    assert problems.left_out == {'are what the files beside them divide': [str(tmp_path / 'instances.json')]}


@pytest.mark.parametrize(
    ('train', 'line'),
    [
        ('images/train', ''), ('../images/train', ''), ('/home/me/cells/images/train', ''),
        ('C:\\cells\\images\\train', ''),
        ('train.txt', './images/train/a.png'), ('lists/../train.txt', '/home/me/images/train/a.png'),
        ('./train.txt', 'data\\images\\train\\a.png'),
    ],
)  # fmt: skip
def test_paths_of_yolo(train: str, line: str, tmp_path: Path) -> None:
    images(tmp_path, 'images/train/a.png')
    texts(tmp_path, **{'labels/train/a.txt': LINE, 'cells.yaml': f'train: {train}\nval: gone\nnames: [dog]\n'})
    if line:
        texts(tmp_path, **{'train.txt': line})
    problems = Problems(strict=False)
    (image,) = read_annotations(Source(tmp_path, problems=problems)).images
    assert (image.split, image.file, len(image.segments)) == ('train', 'a.png', 1)
    (names,) = problems.left_out.values()
    assert "val is 'gone'" in names[0]


def test_yolo_beside_images(tmp_path: Path) -> None:
    images(tmp_path, 'a.png')
    texts(tmp_path, **{'a.txt': LINE, 'classes.txt': 'dog'})
    assert detect_kind(tmp_path) == 'yolo-seg' and found(tmp_path) == [('', 'a.png', 1)]
    texts(tmp_path, **{'data.yaml': 'train: gone\nnames: [dog]'})
    with pytest.raises(FileNotFoundError, match="train is 'gone', which is neither a folder nor a list"):
        found(tmp_path)


@pytest.mark.parametrize('folder', ['.', 'train', 'annotations'])
def test_voc_without_its_folders(folder: str, tmp_path: Path) -> None:
    images(tmp_path, 'images/a.png' if folder == 'annotations' else f'{folder}/a.png')
    texts(tmp_path, **{f'{folder}/a.xml': voc().replace('a.png', 'C:\\me\\a.png')})
    place = {'.': 'a.png', 'train': 'train/a.png', 'annotations': 'images/a.png'}[folder]
    assert found(tmp_path) == [('train' if folder == 'train' else '', place, 1)]
    (image,) = read_annotations(tmp_path).images
    assert image.file == 'a.png'


@pytest.mark.parametrize('mode', ['RGB', 'RGBA'])
def test_label_images_in_colours(mode: str, tmp_path: Path) -> None:
    """CVAT's segmentation masks: colours of classes are in ``labelmap.txt``, those of objects VOC's palette."""
    images(tmp_path, 'JPEGImages/a.png')
    classes, objects = np.zeros((2, 6, 8, 3), np.uint8)
    classes[:2], classes[2:4], classes[5] = (250, 50, 83), (10, 20, 30), (224, 224, 192)
    objects[0], objects[1], objects[2:4], objects[5] = (128, 0, 0), (0, 128, 0), (128, 128, 0), (224, 224, 192)
    for name, pixels in (('SegmentationClass', classes), ('SegmentationObject', objects)):
        (tmp_path / name).mkdir()
        Image.fromarray(pixels).convert(mode).save(tmp_path / name / 'a.png')
    lines = '# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:10,20,30::\ndog:250,50,83::\n'
    texts(tmp_path, **{'labelmap.txt': lines})
    data = read_annotations(tmp_path)
    assert data.names == ('cat', 'dog')
    (image,) = data.images
    assert [(one.name, one.area) for one in image.segments] == [('dog', 8), ('dog', 8), ('cat', 16)]
    texts(tmp_path, **{'labelmap.txt': lines.replace('10,20,30', '10,20,31')})
    with pytest.raises(ValueError, match='a.png: has the colour 10, 20, 30, which neither'):
        read_annotations(tmp_path)
    texts(tmp_path, **{'labelmap.txt': 'cat:10,20'})
    with pytest.raises(ValueError, match="'cat:10,20' is no name:red,green,blue"):
        read_annotations(tmp_path)


def test_images_of_labelme_and_cvat(tmp_path: Path) -> None:
    images(tmp_path, 'labelme/images/a.png', 'cvat/images/default/a.png', 'studio/images/a.png')
    texts(tmp_path, **{'labelme/labels/a.json': json.dumps(labelme(imagePath='..\\images\\a.png'))})
    texts(tmp_path, **{'cvat/annotations.xml': cvat(''), 'studio/tasks.json': json.dumps(studio())})
    assert found(tmp_path / 'labelme') == [('', 'images/a.png', 1)]
    assert found(tmp_path / 'cvat') == [('', 'images/default/a.png', 0)]
    link = dict(image='/data/upload/3/1a2b3c4d-a.png')
    texts(tmp_path, **{'studio/tasks.json': json.dumps(studio(data=link))})
    assert found(tmp_path / 'studio') == [('', 'images/a.png', 1)]
    texts(tmp_path, **{'studio/tasks.json': json.dumps([link])})
    with pytest.raises(ValueError, match='JSON-MIN of Label Studio'):
        found(tmp_path / 'studio')


@pytest.mark.parametrize('kind', ['json', 'project', 'csv', 'version 1'])
def test_via(kind: str, tmp_path: Path) -> None:
    images(tmp_path, 'a.png')
    content = via()
    regions = content['a.png7']['regions']
    for shape in (
        dict(name='rect', x=1, y=1, width=3, height=2), dict(name='circle', cx=4, cy=3, r=2),
        dict(name='point', cx=1, cy=1), dict(name='ellipse', cx=4, cy=3, rx=3, ry=1, theta=np.pi / 2),
    ):  # fmt: skip
        regions.append(dict(shape_attributes=shape, region_attributes=dict(type=dict(cat=True, dog=False), note='x')))
    file = 'a.csv' if kind == 'csv' else 'a.json'
    if kind == 'version 1':
        content['a.png7']['regions'] = {str(number): region for number, region in enumerate(regions)}
    if kind == 'csv':
        with (tmp_path / file).open('w', newline='') as out:
            keys = 'file_size file_attributes region_count region_id region_shape_attributes region_attributes'.split()
            rows = csv.writer(out)
            rows.writerow(['filename', *keys])
            for number, region in enumerate(regions):
                told = (json.dumps(region[key]) for key in ('shape_attributes', 'region_attributes'))
                rows.writerow(['a.png', 7, '{}', len(regions), number, *told])
    else:
        texts(tmp_path, **{file: json.dumps(dict(_via_img_metadata=content) if kind == 'project' else content)})
    problems = Problems(strict=False)
    assert detect_kind(tmp_path) == detect_kind(tmp_path / file) == 'via'
    (image,) = read_annotations(Source(tmp_path, problems=problems)).images
    assert [segment.name for segment in image.segments] == ['dog', 'cat', 'cat', 'cat'] and not problems.errors
    assert image.segments[0].bounds == (2, 1, 5, 4) and image.segments[1].box == (1, 1, 4, 3)
    assert image.segments[1].attributes == dict(note='x')
    outer = image.segments[3].outlines[0].outer
    assert np.allclose([outer.min(0), outer.max(0)], [[3, 0], [5, 6]])
    assert [len(names) for names in problems.left_out.values()] == [1]


@pytest.mark.parametrize(
    'row', ['a.png,1', 'a.png,1,{},1,0,{},{},x', 'a.png,1,{},1,0,"{""name",{}', 'a.png,"' + 'x' * 140000]
)
def test_via_tables_that_are_damaged(row: str, tmp_path: Path) -> None:
    header = 'filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes'
    texts(tmp_path, **{'a.csv': f'{header}\n{row}\n'})
    with pytest.raises(ValueError, match=r'a\.csv: (line 2: has other cells|is no table)'):
        read_annotations(tmp_path / 'a.csv')


def test_via_without_attributes(tmp_path: Path) -> None:
    images(tmp_path, 'a.png')
    texts(tmp_path, **{'a.json': json.dumps(via(region_attributes={}))})
    (image,) = read_annotations(Source(tmp_path, names=('balloon',))).images
    assert image.segments[0].name == 'balloon'


def test_supervisely(tmp_path: Path) -> None:
    images(tmp_path, 'train/img/a.png', 'ds0/img/b.png')
    for name in ('train/ann/a.png', 'ds0/ann/b.png'):
        texts(tmp_path, **{f'{name}.json': json.dumps(supervisely())})
    texts(tmp_path, **{'meta.json': json.dumps(dict(classes=[dict(title='cat'), dict(title='dog')]))})
    problems = Problems(strict=False)
    data = read_annotations(Source(tmp_path, problems=problems))
    assert data.names == ('cat', 'dog') and [len(names) for names in problems.left_out.values()] == [2]
    assert [(image.split, image.file) for image in data.images] == [('', 'ds0/b.png'), ('train', 'a.png')]
    bitmap, polygon, box = data.images[0].segments
    assert bitmap.area == 6 and bitmap.bounds == (1, 2, 4, 4)
    assert polygon.area == 24 - 4 and box.box == (1, 1, 5, 4)
    with pytest.raises(ValueError, match="'supervisely' can only be read; accepted are coco,"):
        write_annotations(data, 'supervisely', tmp_path / 'out')


def test_sides_that_are_exchanged_are_told(tmp_path: Path) -> None:
    images(tmp_path, 'a.png')
    data = AnnotatedSet((), (AnnotatedImage('a.png', (8, 6), path=str(tmp_path / 'a.png')),))
    (told,) = check_set(data, Problems()).findings['wrong_sizes'].names
    assert told.startswith('a.png: 6x8 annotated, 8x6 in the file (annotated without the turn')
