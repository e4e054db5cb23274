"""Referring expressions: RefCOCO, RefCOCO+, RefCOCOg and data in their form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xdet.datasets.files.coco_json import file_name, load_referring
from xdet.registry import DATASETS

from .base import ImageDataset, as_list, format_name


@DATASETS.register_module()
class RefCocoDataset(ImageDataset):
    """Images with referring expressions and the masks of what they refer to.

    One sample per image that has any, with ``expressions``: a list of ``dict(sentences=tuple[str], mask=...)`` which
    :class:`ChoosePhrases` turns into phrases for training or testing.

    Args:
        ann_file (str): The official ``refcocog_umd_val.json`` and its like, or the result of
            ``tools/dataset_converters/refer_to_json.py`` (see :func:`~xdet.datasets.files.coco_json.load_expressions`).
        data_prefix (dict): Folder ``img``.
        splits (Sequence[str], optional): Splits of the expressions to use (``'train'``, ``'val'``, ``'testA'``, ...),
            for files that name them.
        img_name (str, optional): Pattern of image file names, such as ``'{id:012d}.jpg'`` for images of COCO 2017
            (RefCOCO's files name those of 2014: the same images with the same ids). Default: names as in the file.
        kwargs: Arguments of :class:`ImageDataset`.

    Raises:
        FileNotFoundError: The annotation file or listed images are missing.
        ValueError: The annotation file is unusable.
    """

    def __init__(self, *, splits: Sequence[str] | None = None, img_name: str | None = None, **kwargs: Any) -> None:
        self.splits = None if splits is None else as_list(splits)
        self.img_name = img_name
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the annotation file."""
        images, expressions = load_referring(self.ann_file, self.splits)
        return [self._parse(images[image_id], own) for image_id, own in expressions.items()]

    def _parse(self, image: dict, expressions: list[dict]) -> dict:
        if self.img_name is None:
            name = file_name(self.ann_file, image)
        else:
            name = format_name(f'{self.ann_file}: img_name', self.img_name, image)
        return dict(
            img_path=self.image_path(name),
            img_id=image['id'],
            height=image['height'],
            width=image['width'],
            expressions=expressions,
        )
