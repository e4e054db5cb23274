"""What is particular to single formats."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny.annotation_files import POLYGON, coco, cvat, geojson, labelme, studio, voc, write

from xdet.datasets.exchange import Problems, check_set, read_annotations, write_annotations, wrong_sizes
from xdet.datasets.exchange.row_codes import decode_brush, encode_brush
from xdet.datasets.exchange.source import Source
from xdet.structures import decode_mask


@pytest.mark.parametrize(
    'kind, content',
    [
        ('coco', coco(annotation=dict(segmentation=[[1, 1, 5, 4]]))),
        ('labelme', labelme(shape=dict(points=[[1, 1], [5, 4]]))),
        ('labelme', labelme(shape=dict(shape_type='line', points=[[1, 1], [5, 4]]))),
        ('label-studio', studio(POLYGON | dict(points=[[1, 5], [2, 2]]), type='polygonlabels')),
        ('label-studio', studio(type='keypointlabels')),
        ('geojson', geojson([[[1, 1], [2, 2]]])),
        ('cvat', cvat('<polygon label="dog" points="1,1;2,2"/>')),
        ('cvat', cvat('<points label="dog" points="1,1;2,2"/>')),
        ('cvat', cvat('<box label="a" xtl="2" ytl="1" xbr="2" ybr="2"/>')),
        ('yolo-seg', '0 0.1 0.1 0.2 0.2 0.3'),
    ],
)
def test_what_encloses_nothing_is_left_out_and_told(kind: str, content: Any, folder: Path) -> None:
    source = Source(write(folder, kind, content))
    (image, *_) = read_annotations(source, kind).images
    if kind == 'yolo-seg':  # four numbers and a score are a box
        assert image.segments[0].score == 0.3
        return
    assert not image.segments and sum(map(len, source.problems.left_out.values())) == 1


def test_what_is_turned_or_round(folder: Path) -> None:
    """As a program draws it: turned clockwise about its middle."""
    shapes = (
        '<box label="a" xtl="1" ytl="2" xbr="7" ybr="4" rotation="90"/>'
        '<ellipse label="a" cx="4" cy="3" rx="3" ry="1" rotation="90"/>'
    )
    (image,) = read_annotations(Source(write(folder, 'cvat', cvat(shapes))), 'cvat').images
    for segment in image.segments:
        np.testing.assert_allclose(segment.polygons[0].outer.min(axis=0), [3, 0], atol=0.01)
        np.testing.assert_allclose(segment.polygons[0].outer.max(axis=0), [5, 6], atol=0.01)
    corners = [[1, 1], [5, 1], [5, 4], [1, 4]]
    for kind in ('rotation', 'oriented_rectangle', 'rectangle'):
        path = write(folder, 'labelme', labelme(shape=dict(shape_type=kind, points=corners)))
        (image,) = read_annotations(Source(path), 'labelme').images
        assert image.segments[0].area == 12
    outline = '<polygon><x1>1</x1><y1>1</y1><x2>5</x2><y2>1</y2><x3>5</x3><y3>4</y3></polygon>'
    path = write(folder, 'voc', voc().replace('<bndbox>', f'{outline}<bndbox>'))
    (image,) = read_annotations(Source(path), 'voc').images
    assert image.segments[0].polygons[0].outer.tolist() == [[1, 1], [5, 1], [5, 4]]


@pytest.mark.parametrize('place', ['../photos/a.png', 'C:\\photos\\a.png', 'gone.png'])
def test_labelme_holds_the_image(place: str, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where the image is nowhere, that of ``imageData`` counts."""
    own, out = tmp_path_factory.mktemp('own'), tmp_path_factory.mktemp('out')
    text = base64.b64encode((folder / 'a.png').read_bytes()).decode()
    content = labelme(imagePath=place, imageData=text, imageHeight=None, imageWidth=None)
    (own / 'one.json').write_text(json.dumps(content))
    data = read_annotations(own)
    assert data.images[0].size == (6, 8) and not wrong_sizes(data)
    assert not check_set(data, Problems(), Source(own)).errors
    write_annotations(data, 'coco', out / 'coco')
    (copy,) = (out / 'coco' / 'images').iterdir()
    assert copy.read_bytes() == (folder / 'a.png').read_bytes()
    with pytest.raises(ValueError, match='lies in .*one.json alone, so it has to be copied'):
        write_annotations(data, 'coco', out / 'other', copy_images=False)
    (own / 'one.json').write_text(json.dumps({**content, 'imageData': 'no base64'}))
    with pytest.raises(ValueError, match='one.json: imageData is not in base64'):
        read_annotations(own)


YAML = [
    ('names: [yes, no]', 'in quotes'),
    ('names: [dog, null]', 'in quotes'),
    ('nc: 3\nnames: [dog]', 'nc is 3, but names lists 1'),
    ('names: {0: dog, 2: cat}', '0 to 1, each once'),
]


@pytest.mark.parametrize('text, told', YAML)
def test_what_yaml_makes_of_words(text: str, told: str, folder: Path) -> None:
    write(folder, 'yolo-seg', '')
    (folder / 'data.yaml').write_text(text)
    with pytest.raises(ValueError, match=told):
        read_annotations(folder)


def test_yolo_loses_nothing_silently(folder: Path) -> None:
    write(folder, 'yolo-seg', '0 0.5 0.5 0.5 0.5')
    (folder / 'labels' / 'gone.txt').write_text('0 0.5 0.5 0.5 0.5')
    source = Source(folder)
    read_annotations(source)
    assert source.problems.left_out['are labels whose image is not there'] == [str(folder / 'labels' / 'gone.txt')]
    # Numbers behind a box are keypoints where the file says so, and no outline.
    (folder / 'labels' / 'a.txt').write_text('0 0.5 0.5 0.5 0.5 0.4 0.4 2 0.6 0.6 2 0.5 0.5 1 0.5 0.5 0')
    (folder / 'data.yaml').write_text('names: {"0": dog}\nkpt_shape: [4, 3]')
    source = Source(folder)
    (image,) = read_annotations(source).images
    assert image.segments[0].box == (2, 1.5, 6, 4.5) and 'keypoints' in str(source.problems.left_out)
    for path in (folder / 'labels').iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match='has no labels'):
        read_annotations(folder)


def test_label_image_without_a_class(folder: Path) -> None:
    """A mask of 0 and 255 says background and void in VOC."""
    write(folder, 'voc', voc())
    (folder / 'SegmentationClass').mkdir()
    mask = np.zeros((6, 8), np.uint8)
    mask[:3] = 255
    Image.fromarray(mask).save(folder / 'SegmentationClass' / 'b.png')
    source = Source(folder)
    assert [len(image.segments) for image in read_annotations(source).images] == [1, 0]
    assert [*source.problems.left_out.values()] == [['b']]


def test_panoptic_segments_have_one_id_each(folder: Path) -> None:
    pixels = np.zeros((6, 8, 3), np.uint8)
    pixels[:3, ..., 0] = 7
    (folder / 'panoptic').mkdir()
    Image.fromarray(pixels).save(folder / 'panoptic' / 'a.png')
    content = coco(annotation=dict(file_name='a.png', segments_info=[dict(id=7, category_id=1)]))
    (folder / 'panoptic.json').write_text(json.dumps(content))
    assert len(read_annotations(folder / 'panoptic.json').images[0].segments) == 1
    for more, told in ((7, 'another one has'), (0, 'accepted are 1 to'), (-1, 'accepted are 1 to')):
        wrong = dict(content['annotations'][0], segments_info=[dict(id=n, category_id=1) for n in (7, more)])
        (folder / 'panoptic.json').write_text(json.dumps(dict(content, annotations=[wrong])))
        with pytest.raises(ValueError, match=told):
            read_annotations(folder / 'panoptic.json')
    (folder / 'panoptic.json').write_text(json.dumps(dict(content, annotations=content['annotations'] * 2)))
    with pytest.raises(ValueError, match='annotated more than once'):
        read_annotations(folder / 'panoptic.json')


@settings(max_examples=60, deadline=None)
@given(
    numbers=st.lists(st.integers(0, 255), max_size=60),
    head=st.booleans(),
)
def test_brushes_of_noise(numbers: list[int], head: bool) -> None:
    try:
        decode_brush([0, 0, 0, 192, 0b00111001, *numbers] if head else numbers, (6, 8), 'it')
    except ValueError as error:
        assert str(error).startswith('it: ')


@settings(max_examples=60, deadline=None)
@given(height=st.integers(1, 30), width=st.integers(1, 30), seed=st.integers(0, 1000), share=st.floats(0, 1))
def test_brushes_come_back(height: int, width: int, seed: int, share: float) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < share
    assert (decode_mask(decode_brush(encode_brush(mask), mask.shape, 'it')) == mask).all()
