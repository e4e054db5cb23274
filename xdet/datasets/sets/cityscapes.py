"""Cityscapes in its published layout."""

from __future__ import annotations

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
        return f'{image["id"].split("_")[0]}/{image["id"]}_leftImg8bit.png'
