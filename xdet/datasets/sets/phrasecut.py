"""PhraseCut: phrases of Visual Genome images and all regions that each describes."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmengine.dataset import force_full_init
from PIL import Image, ImageDraw

from xdet.datasets.files.coco_json import image_size, load_json
from xdet.datasets.files.left_out import LeftOut
from xdet.datasets.files.outlines import check_coordinates
from xdet.io.schema import ID, checked, require, shown
from xdet.registry import DATASETS
from xdet.structures.masks.codes import EncodedMask, encode_mask

from .base import ImageDataset, format_name

_NEEDED = ('task_id', 'image_id', 'phrase', 'Polygons')

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
        if not isinstance(tasks, list):
            raise ValueError(f'{self.ann_file}: not a list of phrases with {", ".join(_NEEDED)}')
        left_out = LeftOut(self.ann_file, 'phrases')
        images: dict[int | str, list[dict]] = {}
        for position, task in enumerate(tasks):
            number = require(task, 'task_id', ID, f'{self.ann_file}: not a list of phrases; entry {position}')
            where = f'{self.ann_file}: phrase {number}'
            image_id = require(task, 'image_id', ID, where)
            if image_id not in sizes:
                raise ValueError(f'{where} is of image {image_id}, which {self.image_file} does not list')
            expression = self._expression(task, sizes[image_id], where)
            if expression['polygons']:
                images.setdefault(image_id, []).append(expression)
            else:
                left_out.add('have no polygon', f'phrase {number}')
        left_out.report(len(tasks))
        return [self._parse(image_id, sizes[image_id], own) for image_id, own in images.items()]

    @staticmethod
    def _sizes(path: str) -> dict[int | str, tuple[int, int]]:
        images = load_json(path)
        if not isinstance(images, list):
            raise ValueError(f'{path}: not a list of images with image_id, height, width')
        sizes: dict[int | str, tuple[int, int]] = {}
        for position, image in enumerate(images):
            number = require(image, 'image_id', ID, f'{path}: not a list of images; entry {position}')
            size = image_size(image, f'{path}: image {number}')
            if sizes.setdefault(number, size) != size:
                raise ValueError(f'{path}: image {number} is listed more than once, with different sizes')
        return sizes

    @staticmethod
    def _expression(task: dict, size: tuple[int, int], where: str) -> dict:
        phrase = ' '.join(require(task, 'phrase', str, where).split())
        if not phrase:
            raise ValueError(f'{where} is empty')
        polygons = []
        for instance in require(task, 'Polygons', list, where):
            for polygon in checked(instance, list, f'{where}: an instance of Polygons'):
                for point in checked(polygon, list, f'{where}: a polygon'):
                    if len(checked(point, list, f'{where}: a point of a polygon')) != 2:
                        raise ValueError(f'{where}: a point of a polygon is {shown(point)}; it must be [x, y]')
                    check_coordinates(point, size, f'{where}: Polygons')
                if len(polygon) > 1:
                    polygons.append(polygon)
        return dict(sentences=(phrase,), polygons=polygons)

    def _parse(self, image_id: int | str, size: tuple[int, int], expressions: list[dict]) -> dict:
        return dict(
            img_path=self.image_path(format_name(f'{self.ann_file}: img_name', self.img_name, dict(image_id=image_id))),
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


def draw(polygons: Polygons, height: int, width: int) -> EncodedMask:
    """Union of polygons as COCO's compressed RLE.

    Args:
        polygons (list): Polygons, each a list of (x, y); those of less than two points are left out.
        height (int): Of the image.
        width (int): Likewise.
    """
    canvas = Image.new('1', (width, height))
    pen = ImageDraw.Draw(canvas)
    for polygon in polygons:
        if len(polygon) > 1:
            pen.polygon([(int(x), int(y)) for x, y in polygon], fill=1, outline=1)
    return encode_mask(np.asarray(canvas))
