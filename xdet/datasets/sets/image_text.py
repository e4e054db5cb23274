"""Image-text pairs from a list and a folder of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xdet.datasets.files.pair_lists import read_pairs
from xdet.datasets.order.broken import TolerantDataset
from xdet.registry import DATASETS

from .base import ImageDataset, as_list


@DATASETS.register_module()
class ImageTextDataset(TolerantDataset, ImageDataset):
    """Images with captions, for captioning and retrieval.

    One sample per image, with all its ``captions`` (tuple[str]): :class:`ChooseCaption` takes one at random for
    training; metrics compare with all.

    Args:
        ann_file (str): COCO captions JSON, Karpathy's ``dataset_*.json``, or a list as JSON, JSONL, CSV, TSV or
            Parquet; see :func:`~xdet.datasets.files.pair_lists.read_pairs`.
        data_prefix (dict): Folder ``img``, which relative image paths start from.
        image_column (str, optional): Column of the image path, if it has an unusual name.
        caption_column (str, optional): Column of the caption, likewise.
        splits (Sequence[str], optional): Rows to use, by their column ``split``.
        kwargs: Arguments of :class:`~xdet.datasets.order.broken.TolerantDataset` and :class:`ImageDataset`.

    Raises:
        FileNotFoundError: The list or listed images are missing.
        ValueError: The list is unusable.
    """

    def __init__(
        self,
        *,
        image_column: str | None = None,
        caption_column: str | None = None,
        splits: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        self.image_column = image_column
        self.caption_column = caption_column
        self.splits = None if splits is None else as_list(splits)
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the list."""
        pairs, _ = read_pairs(self.ann_file, self.image_column, self.caption_column, self.splits)
        return [
            dict(img_path=self.image_path(pair.image), img_id=pair.img_id, captions=pair.captions) for pair in pairs
        ]
