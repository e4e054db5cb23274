"""Files of others: whatever is in them, one line says what is wrong, and nothing leaves the folder."""

from __future__ import annotations

import base64
import json
import tracemalloc
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from xdet.datasets.exchange import Problems, read_annotations
from xdet.datasets.exchange.formats.label_studio import decode_brush, encode_brush
from xdet.datasets.exchange.kinds import KINDS
from xdet.datasets.exchange.source import Source, inner_path, read_xml
from xdet.inference.names.calibration import Case, read_cases
from xdet.structures import decode_mask

HUGE = 10**400
DECOMPOSED = unicodedata.normalize('NFD', 'Zoë.png')


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With an image of 8x6 pixels, at the places where formats look for it."""
    for name in ('images/a.png', 'a.png', 'JPEGImages/a.png'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(tmp_path / name)
    return tmp_path


def coco(**changes: Any) -> dict:
    annotation = dict(id=1, image_id=1, category_id=1, segmentation=[[1, 1, 5, 1, 5, 4]])
    image = dict(id=1, file_name='a.png', width=8, height=6)
    known = {'image', 'category', 'annotation'} & changes.keys()
    parts = dict(image=image, category=dict(id=1, name='dog'), annotation=annotation)
    for key in known:
        parts[key] = {**parts[key], **changes.pop(key)}
    content = dict(images=[parts['image']], categories=[parts['category']], annotations=[parts['annotation']])
    return {**content, **changes}


def labelme(**changes: Any) -> dict:
    shape = dict(label='dog', shape_type='polygon', points=[[1, 1], [5, 1], [5, 4]])
    shape.update(changes.pop('shape', {}))
    return {**dict(shapes=[shape], imagePath='a.png', imageHeight=6, imageWidth=8), **changes}


def studio(value: dict | None = None, **changes: Any) -> list:
    result = dict(
        type='brushlabels',
        original_width=8,
        original_height=6,
        value=dict(format='rle', rle=encode_brush(np.ones((6, 8), bool)), brushlabels=['dog']),
    )
    result['value'].update(value or {})
    data = changes.pop('data', dict(image='a.png'))
    return [dict(data=data, annotations=[dict(result=[{**result, **changes}])])]


def geojson(coordinates: Any, **about: Any) -> dict:
    feature = dict(geometry=dict(type='Polygon', coordinates=coordinates), properties=dict(name='dog'))
    return dict(
        type='FeatureCollection', features=[feature], xdet=dict(dict(image='a.png', height=6, width=8), **about)
    )


def cvat(shape: str, image: str = 'name="a.png" width="8" height="6"') -> str:
    return f'<annotations><image id="0" {image}>{shape}</image></annotations>'


def voc(box: str = '<xmin>1</xmin><ymin>1</ymin><xmax>4</xmax><ymax>4</ymax>', name: str = 'dog') -> str:
    size = '<size><width>8</width><height>6</height></size>'
    thing = f'<object><name>{name}</name><bndbox>{box}</bndbox></object>'
    return f'<annotation><filename>a.png</filename>{size}{thing}</annotation>'


MASK = 'label="dog" left="1" top="1" width="3" height="2"'
DOCTYPE = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
OUTSIDE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
BOX = '<box label="é" xtl="1" ytl="1" xbr="2" ybr="2"/>'
POLYGON: dict = dict(polygonlabels=['a'])
BAD = [
    ('coco', coco(image=dict(file_name='../../etc/passwd')), "'../../etc/passwd' leaves the folder"),
    ('coco', coco(image=dict(file_name='/etc/passwd')), 'leaves the folder'),
    ('coco', coco(image=dict(file_name='C:\\a.png')), 'leaves the folder'),
    ('coco', coco(image=dict(file_name='')), "'file_name' is ''"),
    ('coco', coco(image=dict(width=HUGE)), 'which no image can have'),
    ('coco', coco(image=dict(width=30000, height=30000)), 'which no image can have'),
    ('coco', coco(category=dict(name='  ')), 'every category needs a name'),
    ('coco', coco(categories=[dict(id=1, name='a'), dict(id=2, name='a')]), 'repeated'),
    ('coco', coco(annotation=dict(segmentation=[[1, 1, 5, float('nan'), 5, 4]])), 'coordinates must be finite'),
    ('coco', coco(annotation=dict(segmentation=[[1, 1, 5, 1e9, 5, 4]])), 'far outside'),
    ('coco', coco(annotation=dict(segmentation=dict(size=[60, 8], counts=[480]))), 'RLE of size [60, 8]'),
    ('coco', coco(annotation=dict(segmentation=dict(size=[6, 8], counts=[7]))), 'for 7 pixels'),
    ('coco', coco(annotation=dict(bbox=[1, 2])), 'bbox has 2 numbers'),
    ('coco', coco(annotation=dict(image_id=[])), "'image_id' is []"),
    ('coco', coco(annotations=['x']), 'an object with keys'),
    ('coco', coco(annotations=5), 'not a COCO annotation file'),
    ('coco', '{"images": ', 'not valid JSON'),
    ('coco', '[' * 100_000, 'nested too deeply'),
    ('labelme', labelme(imagePath='../a.png'), '--images DIR'),
    ('labelme', labelme(shapes='x'), "'shapes' is 'x'"),
    ('labelme', labelme(shape=dict(label='')), 'needs the name of a class'),
    ('labelme', labelme(shape=dict(points=[1, 2])), 'a list of [x, y]'),
    ('labelme', labelme(shape=dict(points=[[1, 1], [5, HUGE], [5, 4]])), 'coordinate'),
    ('labelme', labelme(shape=dict(shape_type='mask', points=[[0, 0], [1, 1]], mask='?')), 'no PNG in base64'),
    (
        'labelme',
        labelme(shape=dict(shape_type='mask', points=[[0, 0], [1, 1]], mask=base64.b64encode(b'GIF').decode('ascii'))),
        'no PNG in base64',
    ),
    ('labelme', labelme(imageHeight=0), 'which no image can have'),
    ('label-studio', studio(value=dict(rle=[1, 2, 3])), 'ends too early'),
    ('label-studio', studio(value=dict(rle=[300])), 'from 0 to 255'),
    ('label-studio', studio(original_width=80), 'for 192 bytes'),
    ('label-studio', studio(value=dict(brushlabels=[])), 'every region needs one'),
    ('label-studio', studio(image_rotation=90), 'export it upright'),
    ('label-studio', studio(data=dict(image='/data/local-files/?d=..%2F..%2Fa.png')), 'leaves the folder'),
    (
        'label-studio',
        studio(type='polygonlabels', value=dict(polygonlabels=['a'], points=[[1, 500], [2, 2], [3, 3]])),
        'far',
    ),
    ('label-studio', dict(data=1), 'a list of tasks'),
    ('geojson', geojson([[[1, 1], [5, 1], [5, None], [1, 1]]]), 'coordinates must be finite'),
    ('geojson', geojson(5), "'coordinates' is 5"),
    ('geojson', geojson([[1, 2]]), 'a ring must be a list'),
    ('geojson', geojson([], image='../a.png'), 'leaves the folder'),
    ('cvat', cvat('<polygon label="dog" points="1,1;2"/>'), 'points must be x,y'),
    ('cvat', cvat('<polygon label="dog" points="1,1;2,nan;3,3"/>'), "'nan'; it must be a number"),
    ('cvat', cvat('<polygon points="1,1;2,2;3,3"/>'), 'needs the name of a class'),
    ('cvat', cvat(f'<mask {MASK} rle="1, 2"/>'), 'for 3 pixels; it has 3x2'),
    ('cvat', cvat(f'<mask {MASK} rle="-6, 12"/>'), 'for 6 pixels'),
    ('cvat', cvat('<mask label="a" left="7" top="1" width="3" height="2" rle="6"/>'), 'outside of its image'),
    ('cvat', cvat('<box label="a" xtl="1" ytl="x" xbr="2" ybr="2"/>'), "ytl is 'x'"),
    ('cvat', cvat('', 'name="../a.png" width="8" height="6"'), 'leaves the folder'),
    ('cvat', cvat('', f'name="a.png" width="{HUGE}" height="6"'), 'a whole number'),
    ('cvat', DOCTYPE + cvat('&b;'), 'has a DOCTYPE'),
    ('cvat', OUTSIDE + cvat('&a;'), 'has a DOCTYPE'),
    ('cvat', '<a>' * 500, 'nested more than'),
    ('cvat', '<annotations>', 'not valid XML'),
    ('cvat', '<other/>', 'its root is'),
    ('voc', DOCTYPE + voc(), 'has a DOCTYPE'),
    ('voc', voc('<xmin>4</xmin><ymin>1</ymin><xmax>1</xmax><ymax>4</ymax>'), 'ends before it begins'),
    ('voc', voc('<xmin>4</xmin>'), 'ymin is missing'),
    ('voc', voc(name=''), 'needs the name of a class'),
    ('png', json.dumps(dict(image='a.png', height=6, width=8, segments=[dict(name='a', file='../x.png')])), 'leaves'),
    ('png', json.dumps(dict(image='a.png', height=6, width=8, segments=[dict(name='a')])), 'neither a file nor a box'),
    ('png', json.dumps(dict(image='a.png', height=6, width=8, segments=[dict(name='a', file='b.png')])), 'b.png'),
    ('yolo-seg', '0 0.1 0.1 nan 0.1 0.5 0.5', "'nan'; it must be a number"),
    ('yolo-seg', '7 0.1 0.1 0.5 0.1 0.5 0.5', 'the class is 7; accepted are 0 to 0'),
    ('yolo-seg', '0 0.1 0.1 0.5 0.1 900 0.5', 'far outside'),
    ('yolo-seg', 'dog 0.1 0.1 0.5 0.1 0.5 0.5', 'a whole number'),
    ('cvat', cvat('<box label="a" xtl="4" ytl="1" xbr="2" ybr="2"/>'), 'ends before it begins'),
    ('png', json.dumps(dict(image='a.png', height=6, width=8, segments=[dict(name='a', box=[4, 1, 2, 2])])), 'begins'),
    # Files and folders are named after splits.
    ('cvat', cvat('', 'name="a.png" width="8" height="6" subset="../../up"'), "its split is '../../up'"),
    ('label-studio', studio(data=dict(image='a.png', split='/tmp/up')), "its split is '/tmp/up'"),
    ('geojson', geojson([], split='..'), "its split is '..'"),
    ('png', json.dumps(dict(image='a.png', height=6, width=8, segments=[], split='a\\b')), 'its split is'),
]


def write(folder: Path, kind: str, content: Any) -> Path:
    """A file of that kind; returns what is to be read."""
    text = content if isinstance(content, str) else json.dumps(content)
    names = {'cvat': 'a.xml', 'voc': 'Annotations/a.xml', 'png': 'segments.jsonl', 'geojson': 'a.geojson'}
    names['yolo-seg'] = 'labels/a.txt'
    path = folder / names.get(kind, 'a.json')
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    if kind == 'yolo-seg':
        (folder / 'data.yaml').write_text('names: [dog]')
    return folder if kind in ('voc', 'yolo-seg') else path


@pytest.mark.parametrize('kind, content, told', BAD, ids=[f'{row[0]}-{number}' for number, row in enumerate(BAD)])
def test_damage_is_one_line(kind: str, content: Any, told: str, folder: Path) -> None:
    path = write(folder, kind, content)
    with pytest.raises((ValueError, OSError)) as caught:
        read_annotations(Source(path), kind)
    message = str(caught.value)
    assert told in message and '\n' not in message and len(message) < 700 and folder.name in message
    # A check goes on after entries that are damaged, and tells the same.
    problems = Problems(strict=False)
    try:
        read_annotations(Source(path, problems=problems), kind)
    except (ValueError, OSError) as error:
        assert str(error) == message
    else:
        assert problems.errors[0] == message


@pytest.mark.parametrize('mark', ['utf-8-sig', 'utf-16'])
@pytest.mark.parametrize(
    'kind, content', [('coco', json.dumps(coco())), ('cvat', cvat('<box label="é" xtl="1" ytl="1" xbr="2" ybr="2"/>'))]
)
def test_byte_order_marks(mark: str, kind: str, content: str, folder: Path) -> None:
    path = write(folder, kind, content)
    path.write_bytes(content.encode(mark))
    (image,) = read_annotations(Source(path), kind).images
    assert len(image.segments) == 1 and image.path


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


YAML = [
    ('names: [yes, no]', 'in quotes'),
    ('names: [dog, null]', 'in quotes'),
    ('nc: 3\nnames: [dog]', 'nc is 3, but names lists 1'),
    ('names: {0: dog, 2: cat}', '0 to 1, each once'),
    ('train: /data/images\nnames: [dog]', 'below that of the file'),
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


def test_images_may_lie_elsewhere(folder: Path) -> None:
    path = folder / 'labels' / 'a.json'
    path.parent.mkdir()
    path.write_text(json.dumps(labelme(imagePath='..\\images\\a.png')))
    (image,) = read_annotations(Source(path, images=folder / 'images'), 'labelme').images
    assert image.file == 'a.png' and image.path == str(folder / 'images' / 'a.png')


@pytest.mark.parametrize('kind', ['labelme', 'coco', 'cvat', 'voc', 'label-studio', 'geojson', 'png', 'coco-panoptic'])
def test_folders_without_files(kind: str, tmp_path: Path) -> None:
    with pytest.raises((FileNotFoundError, ValueError), match=str(tmp_path)):
        read_annotations(Source(tmp_path), kind)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """All places in plain data."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, one in inner for place in places(one, (*path, key)))]


def replaced(value: Any, path: tuple, by: Any) -> Any:
    if not path:
        return by
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], by)
    return copy


GOOD: dict[str, Callable[[], Any]] = {
    'coco': coco,
    'labelme': labelme,
    'label-studio': studio,
    'geojson': lambda: geojson([[[1, 1], [5, 1], [5, 4], [1, 1]]]),
    'png': lambda: dict(image='a.png', height=6, width=8, segments=[dict(name='a', box=[1, 1, 3, 3], score=0.5)]),
}


@pytest.mark.parametrize('kind', GOOD)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_anywhere_is_read_or_refused_in_one_line(kind: str, folder: Path, data: st.DataObject) -> None:
    good = GOOD[kind]()
    content = replaced(good, data.draw(st.sampled_from(places(good))), data.draw(PLAIN))
    path = write(folder, kind, content)
    try:
        found = read_annotations(Source(path), kind)
    except (ValueError, OSError) as error:
        assert '\n' not in str(error) and len(str(error)) < 900
    else:
        for image in found.images:
            for segment in image.segments:
                assert segment.name in found.names and segment.array().shape == image.size


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


def test_every_format_is_tested() -> None:
    assert {kind for kind, _, _ in BAD} >= {kind for kind in KINDS if '-' not in kind} | {'yolo-seg', 'label-studio'}


@pytest.mark.parametrize('pngs', ['panoptic_val', 'panoptic/val', '.'])
def test_usual_places_of_panoptic_images(tmp_path: Path, pngs: str) -> None:
    for name in (f'{pngs}/{DECOMPOSED}', f'images/val/{DECOMPOSED}'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((6, 8, 3), (1, 0, 0), np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
    annotation = dict(image_id=1, file_name='Zoë.png', segments_info=[dict(id=1, category_id=1)])
    content = dict(coco(image=dict(file_name='Zoë.png')), annotations=[annotation])
    path = tmp_path / 'panoptic_val.json'
    path.write_text(json.dumps(content))
    (image,) = read_annotations(path).images
    assert image.file == 'Zoë.png' and Path(image.path) == tmp_path / 'images' / 'val' / DECOMPOSED
    assert len(image.segments) == 1
    assert read_cases(path) == ('names', [Case(image.path, ('dog',), ())])
    (tmp_path / pngs / DECOMPOSED).unlink()
    told = 'Zoë.png is neither beside the file nor in panoptic_val/ or panoptic/val/'
    with pytest.raises(FileNotFoundError, match=told):
        read_annotations(path)
