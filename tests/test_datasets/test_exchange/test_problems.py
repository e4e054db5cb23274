"""Files of others: whatever is in them, one line says what is wrong."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny.annotation_files import coco, cvat, geojson, labelme, studio, supervisely, via, voc, write

from xdet.datasets.exchange import Problems, read_annotations
from xdet.datasets.exchange.kinds import KINDS
from xdet.datasets.exchange.source import Source

HUGE = 10**400
MASK = 'label="dog" left="1" top="1" width="3" height="2"'
DOCTYPE = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
OUTSIDE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
BAD = [
    ('coco', coco(image=dict(file_name='../../etc/passwd')), "'../../etc/passwd' leaves the folder"),
    ('coco', coco(image=dict(file_name='/etc/passwd')), 'leaves the folder'),
    ('coco', coco(image=dict(file_name='C:\\b.png')), 'leaves the folder'),
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
    ('labelme', labelme(imagePath='../b.png'), '--images DIR'),
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
    ('label-studio', studio(image_rotation=90), 'accepted is image_rotation 0'),
    ('label-studio', studio(data=dict(image='/data/local-files/?d=..%2F..%2Fb.png')), 'leaves the folder'),
    (
        'label-studio',
        studio(type='polygonlabels', value=dict(polygonlabels=['a'], points=[[1, 500], [2, 2], [3, 3]])),
        'far',
    ),
    ('label-studio', dict(data=1), 'a list of tasks'),
    ('geojson', geojson([[[1, 1], [5, 1], [5, None], [1, 1]]]), 'coordinates must be finite'),
    ('geojson', geojson(5), "'coordinates' is 5"),
    ('geojson', geojson([[1, 2]]), 'a ring must be a list'),
    ('geojson', geojson([], image='../b.png'), 'leaves the folder'),
    ('cvat', cvat('<polygon label="dog" points="1,1;2"/>'), 'points must be x,y'),
    ('cvat', cvat('<polygon label="dog" points="1,1;2,nan;3,3"/>'), "'nan'; it must be a number"),
    ('cvat', cvat('<polygon points="1,1;2,2;3,3"/>'), 'needs the name of a class'),
    ('cvat', cvat(f'<mask {MASK} rle="1, 2"/>'), 'for 3 pixels; it has 3x2'),
    ('cvat', cvat(f'<mask {MASK} rle="-6, 12"/>'), 'for 6 pixels'),
    ('cvat', cvat('<mask label="a" left="7" top="1" width="3" height="2" rle="6"/>'), 'outside of its image'),
    ('cvat', cvat('<box label="a" xtl="1" ytl="x" xbr="2" ybr="2"/>'), "ytl is 'x'"),
    ('cvat', cvat('', 'name="../b.png" width="8" height="6"'), 'leaves the folder'),
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
    ('via', via(filename='b.png'), "b.png' is not there"),
    ('via', via(region_attributes={}), 'has no attribute that says its class'),
    ('via', via(region_attributes=dict(colour='red', size='s')), "has the attributes ['colour', 'size']"),
    ('via', via(shape=dict(all_points_x=[1, 2])), 'has 2 x and 3 y'),
    ('via', via(shape=dict(all_points_x=[1, 2, 'x'])), 'must be finite'),
    ('supervisely', supervisely(data='?'), 'no PNG, compressed'),
    ('supervisely', supervisely(origin=[7, 1]), 'outside of its image'),
    ('supervisely', supervisely(origin='x'), "'origin' is 'x'"),
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


def test_every_format_is_tested() -> None:
    assert {kind for kind, _, _ in BAD} >= {kind for kind in KINDS if '-' not in kind} | {'yolo-seg', 'label-studio'}


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
