"""Small files of every format that is read, about an image of 8x6 pixels, with room for what is wrong."""

from __future__ import annotations

import base64
import io
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

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


def via(shape: dict | None = None, filename: str = 'a.png', **changes: Any) -> dict:
    outline = dict(name='polygon', all_points_x=[1, 5, 5], all_points_y=[1, 1, 4])
    region = dict(shape_attributes={**outline, **(shape or {})}, region_attributes=dict(kind='dog'))
    return {f'{filename}7': dict(filename=filename, size=7, regions=[{**region, **changes}], file_attributes={})}


def supervisely(**changes: Any) -> dict:
    file = io.BytesIO()
    Image.fromarray(np.full((2, 3, 4), 255, np.uint8)).save(file, 'PNG')
    bitmap = dict(data=base64.b64encode(zlib.compress(file.getvalue())).decode('ascii'), origin=[1, 2])
    outline = dict(exterior=[[1, 1], [7, 1], [7, 5], [1, 5]], interior=[[[2, 2], [4, 2], [4, 4], [2, 4]]])
    objects = [
        dict(classTitle='dog', geometryType='bitmap', bitmap={**bitmap, **changes}),
        dict(classTitle='cat', geometryType='polygon', points=outline),
        dict(classTitle='cat', geometryType='rectangle', points=dict(exterior=[[5, 4], [1, 1]], interior=[])),
        dict(classTitle='cat', geometryType='line', points=dict(exterior=[[5, 4], [1, 1]], interior=[])),
    ]
    return dict(size=dict(height=6, width=8), objects=objects)


def write(folder: Path, kind: str, content: Any) -> Path:
    """A file of that kind; returns what is to be read."""
    text = content if isinstance(content, str) else json.dumps(content)
    names = {'cvat': 'a.xml', 'voc': 'Annotations/a.xml', 'png': 'segments.jsonl', 'geojson': 'a.geojson'}
    names |= {'yolo-seg': 'labels/a.txt', 'supervisely': 'ann/a.png.json'}
    path = folder / names.get(kind, 'a.json')
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    if kind == 'yolo-seg':
        (folder / 'data.yaml').write_text('names: [dog]')
    if kind == 'supervisely':
        (folder / 'img').mkdir(exist_ok=True)
        (folder / 'img' / 'a.png').write_bytes((folder / 'a.png').read_bytes())
    return folder if kind in ('voc', 'yolo-seg', 'supervisely') else path
