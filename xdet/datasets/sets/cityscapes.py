"""Cityscapes in its published layout."""

from __future__ import annotations

from xdet.io.schema import checked
from xdet.registry import DATASETS

from .coco_panoptic import CocoPanopticSegDataset


@DATASETS.register_module()
class CityscapesPanopticDataset(CocoPanopticSegDataset):
    """Panoptic annotation file of Cityscapes, as ``tools/dataset_converters/cityscapes.py`` or cityscapesScripts write
    it.

    The file names images without their city and with an infix that the image files do not have; they are found by
    image id, ``<city>_<sequence>_<frame>``. Arguments are those of :class:`CocoPanopticSegDataset`.
    """

    def image_file(self, image: dict) -> str:
        """``<city>/<image id>_leftImg8bit.png``."""
        number = checked(image['id'], str, f"{self.ann_file}: image {image['id']}: 'id'")
        return f'{number.split("_")[0]}/{number}_leftImg8bit.png'
