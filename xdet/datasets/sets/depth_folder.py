"""Images with depth maps, in the layouts of NYUv2 and KITTI."""

from __future__ import annotations

import os.path as osp
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from xdet.datasets.files.image_io import IMAGE_SUFFIXES
from xdet.io.reading import read_text
from xdet.io.schema import number
from xdet.registry import DATASETS

from .base import ImageDataset, require_folder, suffixes, without_suffix
from .image_label_folder import files_below


@DATASETS.register_module()
class DepthFolderDataset(ImageDataset):
    """Images and depth maps of equal names in two folders, or named by a list.

    ``images/a/b.jpg`` belongs to ``depth/a/b.png``. A list has in every line an image and its depth map, perhaps more
    (the focal length in common lists of NYUv2 and KITTI), separated by white space; lines whose depth map is called
    ``None`` are left out, as in KITTI's. Depth maps are those of :func:`~xdet.datasets.files.depth_maps.read_depth`.

    Args:
        depth_scale (float): What the values of files are divided by for metres: 1000 for millimetres (NYUv2), 256 for
            KITTI.
        img_suffix (str | Sequence[str]): Ends of image file names, in any case.
        depth_suffix (str): End of the names of depth maps, in any case, which replaces the image's.
        ann_file (str): The list; empty: all images of the folder.
        data_prefix (dict): Folders ``img`` and ``depth``; with a list, default ``data_root`` for both.
        kwargs: Arguments of :class:`ImageDataset`.

    Raises:
        FileNotFoundError: A folder, the list, or files are missing.
        ValueError: The scale is not positive, or there are no images.
    """

    def __init__(
        self,
        *,
        depth_scale: float = 1000.0,
        img_suffix: str | Sequence[str] = IMAGE_SUFFIXES,
        depth_suffix: str = '.png',
        data_prefix: dict | None = None,
        **kwargs: Any,
    ) -> None:
        self.depth_scale = number('depth_scale', depth_scale, float, 1e-6)
        self.img_suffixes = suffixes('img_suffix', img_suffix)
        (self.depth_suffix,) = suffixes('depth_suffix', [depth_suffix])
        super().__init__(data_prefix=data_prefix or dict(img='', depth=''), **kwargs)

    def load_data_list(self) -> list[dict]:
        """Images with the files of their depth maps."""
        folder = require_folder(self.folder('img') or '.', "the images, data_prefix['img']")
        depths = require_folder(self.folder('depth') or '.', "the depth maps, data_prefix['depth']")
        pairs = self._listed() if self.ann_file else self._pairs(folder)
        return [
            dict(
                img_path=str(folder / image),
                img_id=osp.splitext(image)[0],
                depth_path=str(depths / depth),
                depth_scale=self.depth_scale,
            )
            for image, depth in pairs
        ]

    def _pairs(self, folder: Path) -> list[tuple[str, str]]:
        names = files_below(folder, self.img_suffixes)
        if not names:
            raise ValueError(f'{folder}: no images; accepted are files that end in {", ".join(self.img_suffixes)}')
        return [(name, f'{without_suffix(name, self.img_suffixes)}{self.depth_suffix}') for name in names]

    def _listed(self) -> list[tuple[str, str]]:
        if not osp.isfile(self.ann_file):
            raise FileNotFoundError(
                f'{self.ann_file}: annotation file (a list of images and depth maps) does not exist'
            )
        pairs, without = [], 0
        for line, text in enumerate(read_text(self.ann_file).splitlines(), start=1):
            fields = text.split()
            if len(fields) == 1:
                raise ValueError(
                    f'{self.ann_file}: line {line} names {fields[0]} alone; expected an image and its depth map'
                )
            if fields and fields[1] == 'None':
                without += 1
            elif fields:
                pairs.append((fields[0].lstrip('/'), fields[1].lstrip('/')))
        if without:
            print_log(f'{self.ann_file}: {without} images without a depth map are left out', logger='current')
        return pairs
