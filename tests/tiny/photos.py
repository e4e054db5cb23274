"""Small data sets in the layouts that training and measuring on photographs expect."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from .coco import save_ids

NAMES = ('cat', 'cow', 'dog', 'horse', 'person', 'sheep', 'sofa')
SIDE = 48


def write_photos(root: Path, splits: tuple[str, ...] = ('train', 'val'), number: int = 3, alike: int = 0) -> Path:
    """``voc_animals`` in a folder: two animals in every image, the rest of the panoptic map void, labels complete.

    In the last ``alike`` images they are of one class.
    """
    folder = root / 'voc_animals'
    for split in splits:
        for part in ('images', 'panoptic', 'labels'):
            (folder / part / split).mkdir(parents=True)
        images, annotations = [], []
        for index in range(number):
            name = f'{index}.png'
            ids = np.zeros((SIDE, SIDE), np.uint32)
            ids[5:40, 2:20], ids[10:44, 24:46] = 1, 2
            other = index if index >= number - alike else index + 2
            classes = index % len(NAMES) + 1, other % len(NAMES) + 1
            labels = np.select([ids == 1, ids == 2], classes, 0).astype(np.uint8)
            labels[0] = 255
            noise = np.random.default_rng(index).integers(0, 60, (SIDE, SIDE, 3))
            Image.fromarray((noise + 25 * labels[..., None] % 190).astype(np.uint8)).save(
                folder / 'images' / split / name
            )
            Image.fromarray(labels).save(folder / 'labels' / split / name)
            save_ids(folder / 'panoptic' / split / name, ids)
            images.append(dict(id=index, file_name=name, height=SIDE, width=SIDE))
            segments = [dict(id=number, category_id=label, iscrowd=0) for number, label in enumerate(classes, start=1)]
            annotations.append(dict(image_id=index, file_name=name, segments_info=segments))
        content = dict(images=images, annotations=annotations, categories=_categories(NAMES))
        (folder / f'panoptic_{split}.json').write_text(json.dumps(content))
    return root


def write_more(coco: Path, camvid: Path) -> None:
    """COCO with a panoptic image and another one of which boxes are known, and two frames of CamVid."""
    for part in ('annotations', 'train2017', 'panoptic_train2017'):
        (coco / part).mkdir(parents=True)
    for number in (1, 2):
        pixels = np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(coco / 'train2017' / f'{number}.jpg')
    images = [dict(id=number, file_name=f'{number}.jpg', height=SIDE, width=SIDE) for number in (1, 2)]
    ids = np.ones((SIDE, SIDE), np.uint32)
    ids[20:, 10:30] = 2
    save_ids(coco / 'panoptic_train2017' / '1.png', ids)
    segments = [dict(id=number, category_id=number, iscrowd=0) for number in (1, 2)]
    categories = [dict(id=1, name='grass-merged', isthing=0), dict(id=2, name='dog', isthing=1)]
    panoptic = dict(
        images=images[:1],
        categories=categories,
        annotations=[dict(image_id=1, file_name='1.png', segments_info=segments)],
    )
    (coco / 'annotations' / 'panoptic_train2017.json').write_text(json.dumps(panoptic))
    outline = [[4, 4, 34, 4, 34, 34, 4, 34]]
    boxes = [
        dict(id=number, image_id=number, category_id=1, bbox=[4, 4, 30, 30], segmentation=outline, area=900, iscrowd=0)
        for number in (1, 2)
    ]
    instances = dict(images=images, annotations=boxes, categories=[dict(id=1, name='dog')])
    (coco / 'annotations' / 'instances_train2017.json').write_text(json.dumps(instances))
    for part in ('images', 'labels'):
        (camvid / part / 'train').mkdir(parents=True)
    for index in range(2):
        pixels = np.random.default_rng(index).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(camvid / 'images' / 'train' / f'{index}.jpg')
        labels = np.repeat(np.arange(12, dtype=np.uint8), SIDE // 12)[:, None].repeat(SIDE, 1)
        Image.fromarray(np.where(labels == 11, 255, labels).astype(np.uint8)).save(
            camvid / 'labels' / 'train' / f'{index}.png'
        )


def _categories(names: tuple[str, ...]) -> list[dict]:
    return [dict(id=number, name=name, isthing=1) for number, name in enumerate(names, start=1)]
