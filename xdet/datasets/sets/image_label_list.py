"""Label images whose names differ from those of their images, as several benchmarks have them: a list of pairs."""

from __future__ import annotations

import os.path as osp
from typing import Any

from xdet.io.reading import read_text
from xdet.registry import DATASETS

from .base import require_folder
from .image_label_folder import ImageLabelFolderDataset


@DATASETS.register_module()
class ImageLabelListDataset(ImageLabelFolderDataset):
    """Semantic segmentation from a text file that names an image and its label image in every line.

    Columns are separated by white space, so that lists with further ones, such as the ``image depth label`` of SUN
    RGB-D, are read as they are. Label images are those of :class:`ImageLabelFolderDataset`.

    Args:
        ann_file (str): The list.
        columns (tuple[int, int]): Positions of image and label image in a line; negative ones count from its end.
        data_prefix (dict): Folders ``img`` and ``seg`` that the paths begin from; default ``data_root`` for both.
        kwargs: Arguments of :class:`ImageLabelFolderDataset`; suffixes do not matter.

    Raises:
        FileNotFoundError: The list, or listed files, are missing.
        ValueError: The list is empty, or a line has not the columns.
    """

    def __init__(
        self,
        *,
        ann_file: str,
        columns: tuple[int, int] = (0, -1),
        data_prefix: dict | None = None,
        **kwargs: Any,
    ) -> None:
        self.columns = tuple(columns)
        super().__init__(ann_file=ann_file, data_prefix={'img': '', 'seg': '', **(data_prefix or {})}, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the list."""
        require_folder(self.data_root or '.', 'the data, data_root')
        if not osp.isfile(self.ann_file):
            raise FileNotFoundError(f'{self.ann_file}: annotation file (a list of images and labels) does not exist')
        lines = read_text(self.ann_file).splitlines()
        return [self._parse_line(number, line.split()) for number, line in enumerate(lines, start=1) if line.strip()]

    def _parse_line(self, number: int, fields: list[str]) -> dict:
        if len(fields) < 2:
            raise ValueError(
                f'{self.ann_file}: line {number} names {fields[0]} alone; expected an image and its label image'
            )
        try:
            image, label = (fields[column] for column in self.columns)
        except IndexError:
            raise ValueError(
                f'{self.ann_file}: line {number} has {len(fields)} columns; columns={self.columns} asks for others'
            ) from None
        return dict(
            img_path=osp.join(self.data_prefix['img'], image),
            img_id=osp.splitext(image)[0],
            seg_map_path=osp.join(self.data_prefix['seg'], label),
            **self.label_values,
        )
