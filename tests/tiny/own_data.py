"""A folder that all benchmarks on users' own data can read: a few pictures with every kind of annotation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as mask_util
from tiny.data import CLASSES, write_pictures

COLOURS = ('red', 'green', 'blue', 'white')
OWN_BENCHMARKS = ('folder-semantic', 'coco-instances', 'coco-panoptic', 'captions', 'referring', 'questions')


def write_own_data(root: Path, number: int = 4) -> Path:
    """Sky above grass with a ball; captions and answers differ from picture to picture."""
    source = write_pictures(root / 'source', number)
    (root / 'classes.json').write_text(json.dumps(CLASSES))
    for folder in ('images/val', 'labels/val', 'val', 'panoptic_val', 'annotations'):
        (root / folder).mkdir(parents=True)
    images, instances, segments, captions, expressions, questions = [], [], [], [], [], []
    for index in range(number):
        picture = Image.open(source / 'images' / f'{index}.png')
        labels = np.array(Image.open(source / 'labels' / f'{index}.png'))
        for folder in ('images/val', 'images', 'val'):
            picture.save(root / folder / f'{index}.png')
        Image.fromarray(labels).save(root / 'labels/val' / f'{index}.png')
        # ids 1, 2, 3 in the red channel
        Image.fromarray(np.stack([labels + 1, 0 * labels, 0 * labels], axis=-1)).save(
            root / f'panoptic_val/{index}.png'
        )
        width, height = picture.size
        images.append(dict(id=index, file_name=f'{index}.png', width=width, height=height))
        ball, sky = (_annotation(labels == value) for value in (2, 0))
        instances.append(dict(id=index + 1, image_id=index, category_id=3, iscrowd=0, **ball))
        parts = [dict(id=label + 1, category_id=label + 1, iscrowd=0) for label in np.unique(labels).tolist()]
        segments.append(dict(image_id=index, file_name=f'{index}.png', segments_info=parts))
        name = COLOURS[index % len(COLOURS)]
        captions.append(dict(image_id=index, caption=f'a {name} ball lies in picture number {index} of the grass'))
        for row, (text, part) in enumerate((('the ball', ball), ('what is above', sky))):
            sentences = [dict(raw=text, sent=text)]
            expressions.append(dict(id=2 * index + row, image_id=index, category_id=3, sentences=sentences, **part))
        questions.append(dict(image=f'{index}.png', question='what colour is the ball?', answer=name))
    _write(root / 'annotations/instances_val.json', images, instances, _categories(('ball',), first=3))
    _write(root / 'annotations/panoptic_val.json', images, segments, _categories(CLASSES))
    _write(root / 'captions.json', images, captions)
    _write(root / 'referring.json', images, expressions)
    (root / 'questions.json').write_text(json.dumps(questions))
    return root


def _annotation(mask: np.ndarray) -> dict:
    code = mask_util.encode(np.asfortranarray(mask.astype(np.uint8)))
    box = mask_util.toBbox(code).tolist()
    return dict(segmentation=dict(size=code['size'], counts=code['counts'].decode()), area=int(mask.sum()), bbox=box)


def _categories(names: tuple[str, ...], first: int = 1) -> list[dict]:
    return [dict(id=number, name=name, isthing=int(name == 'ball')) for number, name in enumerate(names, start=first)]


def _write(path: Path, images: list, annotations: list, categories: list | None = None) -> None:
    content = dict(images=images, annotations=annotations)
    path.write_text(json.dumps(content if categories is None else dict(content, categories=categories)))
