"""PhraseCut: phrases of Visual Genome images and all regions that each describes."""

from __future__ import annotations

import os.path as osp
from typing import Any

import numpy as np
from mmengine.dataset import force_full_init
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask

from xdet.datasets.files.coco_json import load_json
from xdet.registry import DATASETS

from .base import ImageDataset

Polygons = list[list[list[float]]]
"""Polygons, each a list of points."""


@DATASETS.register_module()
class PhraseCutDataset(ImageDataset):
    """PhraseCut (Wu et al., arXiv 2008.01187) in its published files.

    One sample per image, with ``expressions`` as :class:`RefCocoDataset` has them: one sentence each, and the union of
    all instances that it describes as a mask. Regions are drawn as by the authors' evaluation (coordinates cut to
    integers, outlines filled), which matters for IoU: COCO's way to draw polygons gives masks about a pixel smaller.

    Args:
        ann_file (str): Phrases, such as ``refer_test.json``.
        image_file (str): ``image_data_split3000.json``, with the sizes of images; relative paths start from
            ``data_root``.
        img_name (str): Pattern of image file names.
        data_prefix (dict): Folder ``img``.
        kwargs: Arguments of :class:`ImageDataset`.

    Raises:
        FileNotFoundError: A file or listed images are missing.
        ValueError: A file is unusable.
    """

    def __init__(
        self, *, image_file: str = 'image_data_split3000.json', img_name: str = '{image_id}.jpg', **kwargs: Any
    ) -> None:
        self.image_file = image_file
        self.img_name = img_name
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the phrases and collect them by image."""
        sizes = self._sizes(self.in_root(self.image_file))
        tasks = load_json(self.ann_file)
        needed = ('task_id', 'image_id', 'phrase', 'Polygons')
        if not isinstance(tasks, list) or any(key not in task for task in tasks for key in needed):
            raise ValueError(f'{self.ann_file}: not a list of phrases with {", ".join(needed)}')
        images: dict[int, list[dict]] = {}
        for task in tasks:
            if task['image_id'] not in sizes:
                raise ValueError(
                    f'{self.ann_file}: phrase {task["task_id"]} is of image {task["image_id"]}, '
                    f'which {self.image_file} does not list'
                )
            images.setdefault(task['image_id'], []).append(task)
        return [self._parse(image_id, sizes[image_id], own) for image_id, own in images.items()]

    @staticmethod
    def _sizes(path: str) -> dict[int, tuple[int, int]]:
        images = load_json(path)
        needed = ('image_id', 'height', 'width')
        if not isinstance(images, list) or any(key not in image for image in images for key in needed):
            raise ValueError(f'{path}: not a list of images with {", ".join(needed)}')
        return {image['image_id']: (image['height'], image['width']) for image in images}

    def _parse(self, image_id: int, size: tuple[int, int], tasks: list[dict]) -> dict:
        expressions = []
        for task in tasks:
            phrase = ' '.join(task['phrase'].split())
            if not phrase:
                raise ValueError(f'{self.ann_file}: phrase {task["task_id"]} is empty')
            polygons = [polygon for instance in task['Polygons'] for polygon in instance]
            expressions.append(dict(sentences=(phrase,), polygons=polygons))
        folder = self.data_prefix.get('img', self.data_root)
        return dict(
            img_path=osp.join(folder, self.img_name.format(image_id=image_id)),
            img_id=image_id,
            height=size[0],
            width=size[1],
            expressions=expressions,
        )

    @force_full_init
    def get_data_info(self, idx: int) -> dict:
        """Annotation of sample ``idx``, with the regions drawn: as masks all of them would not fit into memory."""
        info = super().get_data_info(idx)
        info['expressions'] = [
            dict(sentences=expression['sentences'], mask=draw(expression['polygons'], info['height'], info['width']))
            for expression in info['expressions']
        ]
        return info


def draw(polygons: Polygons, height: int, width: int) -> dict:
    """Union of polygons as COCO's compressed RLE.

    Args:
        polygons (list): Polygons, each a list of (x, y); those of less than two points are left out.
        height (int): Of the image.
        width (int): Likewise.

    Returns:
        dict: ``size`` and ``counts`` (str).
    """
    canvas = Image.new('1', (width, height))
    pen = ImageDraw.Draw(canvas)
    for polygon in polygons:
        if len(polygon) > 1:
            pen.polygon([(int(x), int(y)) for x, y in polygon], fill=1, outline=1)
    rle = coco_mask.encode(np.asfortranarray(np.asarray(canvas), dtype=np.uint8))
    return dict(size=list(rle['size']), counts=rle['counts'].decode('ascii'))
