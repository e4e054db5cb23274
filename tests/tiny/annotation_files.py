"""Small files of every format that is read, about an image of 8x6 pixels, with room for what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from xdet.datasets.exchange.row_codes import encode_brush

BOX = '<box label="é" xtl="1" ytl="1" xbr="2" ybr="2"/>'
POLYGON: dict = dict(polygonlabels=['a'])


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
