"""COCO for joint training: panoptic segments, captions and referring expressions of the same images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

from mmengine.logging import print_log

from xdet.datasets.files.coco_json import load_captions, load_expressions
from xdet.registry import DATASETS

from .base import as_list
from .coco_panoptic import CocoPanopticSegDataset


@DATASETS.register_module()
class CocoJointDataset(CocoPanopticSegDataset):
    """:class:`CocoPanopticSegDataset` with what other files say about the same images, joined by image id.

    The images are those of the panoptic file. Every sample gets ``captions``, a tuple[str], and ``expressions``, a list
    of ``dict(sentences=tuple[str], mask=polygons or RLE)``; both may be empty. :class:`ChooseCaption` and
    :class:`ChoosePhrases` make training targets of them.

    Args:
        captions_file (str | Sequence[str]): COCO captions file(s); relative ones are looked for in ``data_root``.
        grounding_file (str | Sequence[str]): File(s) of referring expressions, see
            :func:`~xdet.datasets.files.coco_json.load_expressions`.
        splits (Sequence[str], optional): Splits of the expressions to use, for files that name them. Plain RefCOCO
            files also have the expressions of validation and test.
        kwargs: Arguments of :class:`CocoPanopticSegDataset`.

    Raises:
        FileNotFoundError: A file or listed images are missing.
        ValueError: A file is unusable, or says nothing about any image of the panoptic file.
    """

    def __init__(
        self,
        *,
        captions_file: str | Sequence[str] = (),
        grounding_file: str | Sequence[str] = (),
        splits: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        self.captions_file = as_list(captions_file)
        self.grounding_file = as_list(grounding_file)
        self.splits = None if splits is None else as_list(splits)
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict]:
        """Read and join the files."""
        data_list = super().load_data_list()
        images = {info['img_id'] for info in data_list}
        sizes = {info['img_id']: (info['height'], info['width']) for info in data_list}
        captions: dict[Any, tuple[str, ...]] = defaultdict(tuple)
        expressions: dict[Any, list[dict]] = defaultdict(list)
        for path in map(self.in_root, self.captions_file):
            found = load_captions(path)
            self._report(path, 'captions', found.keys() & images, images)
            for image_id, texts in found.items():
                captions[image_id] += texts
        for path in map(self.in_root, self.grounding_file):
            known = load_expressions(path, self.splits, sizes)
            self._report(path, 'referring expressions', known.keys() & images, images)
            for image_id, own in known.items():
                expressions[image_id] += own
        for info in data_list:
            info['captions'] = captions.get(info['img_id'], ())
            info['expressions'] = expressions.get(info['img_id'], [])
        return data_list

    def _report(self, path: str, what: str, found: Collection, images: Collection) -> None:
        if not found:
            raise ValueError(f'{path}: has {what} of none of the {len(images)} images of {self.ann_file}')
        print_log(f'{path}: {what} of {len(found)} of {len(images)} images', logger='current')
