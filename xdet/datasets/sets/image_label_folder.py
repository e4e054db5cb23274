"""A user's own data: a folder of images, a folder of label images, a list of class names."""

from __future__ import annotations

import os
import os.path as osp
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xdet.datasets.files.image_io import IMAGE_SUFFIXES, is_clutter
from xdet.datasets.files.segment_maps import read_pixels, void_values
from xdet.datasets.vocab import VOCABULARIES, load_class_names, make_vocabulary
from xdet.io.reading import listed, read_text
from xdet.io.schema import checked, shown
from xdet.io.warnings import warn_once
from xdet.registry import DATASETS
from xdet.structures import BACKGROUND

from .base import SegmentationDataset, require_folder, suffixes, without_suffix

_LOOKED_AT = 50
"""Label images that are read to see whether their values are meant."""
_FEW_CLASSES = 10


@DATASETS.register_module()
class ImageLabelFolderDataset(SegmentationDataset):
    """Semantic segmentation from two folders with equal file names.

    ``images/a/b.jpg`` belongs to ``labels/a/b.png``. A label image has one channel of 8 or 16 bits whose values are
    ``label_offset`` + the position in the class list, or ``ignore_label``. One class of one image makes one segment.

    Args:
        classes (str | Mapping | Sequence[str]): Names in label order, the name of a known list such as
            ``'coco_panoptic'`` (or ``dict(name=..., synonyms=True)``), or the path of a ``.txt`` or ``.json`` file,
            also relative to ``data_root``, see :func:`xdet.datasets.vocab.load_class_names`.
        things (Sequence[str], optional): Which classes are countable; default none, or what the known list says.
        ignore_label (int | Sequence[int]): Value, or values, of unlabelled pixels; compared before ``label_offset`` is
            subtracted.
        label_offset (int): Value of the first class.
        background_label (int, optional): Value of pixels that are known to show none of the classes. In training they
            are no segment, as unlabelled pixels; in testing ``SemanticIoU(background=True)`` counts them as a class of
            their own. A list of names may begin or end with ``background``, which the model is then not told.
        img_suffix (str | Sequence[str]): Ends of image file names, in any case.
        label_suffix (str): End of label file names, in any case, which replaces the image's.
        ann_file (str): Text file with the names to use, without suffix, one a line. Empty: all images of the folder.
        data_prefix (dict): Folders ``img`` and ``seg``; without ``seg`` (test mode only) there are no labels.
        kwargs: Arguments of :class:`SegmentationDataset`.

    Raises:
        FileNotFoundError: A folder, or listed files, are missing.
        ValueError: The class list is unusable, or there are no images.
    """

    def __init__(
        self,
        *,
        classes: str | Mapping | Sequence[str],
        things: Sequence[str] | None = None,
        ignore_label: int | Sequence[int] = 255,
        label_offset: int = 0,
        background_label: int | None = None,
        img_suffix: str | Sequence[str] = IMAGE_SUFFIXES,
        label_suffix: str = '.png',
        data_root: str = '',
        metainfo: dict | None = None,
        **kwargs: Any,
    ) -> None:
        if isinstance(classes, str) and classes.endswith(('.json', '.txt')) and not osp.exists(classes):
            classes = osp.join(data_root, classes)
        if background_label is not None:
            classes, label_offset = _without_background(classes, background_label, label_offset)
        vocabulary = make_vocabulary(classes, things)
        metainfo = {**(metainfo or {}), 'vocabulary': vocabulary, 'classes': vocabulary.names}
        self.ignore_label = void_values(ignore_label)
        self.label_offset = checked(label_offset, int, 'label_offset')
        if background_label is not None:
            checked(background_label, int, 'background_label')
            if not 0 <= background_label < 1 << 16:
                raise ValueError(
                    f'background_label is {shown(background_label)}; label images have values from 0 to 65535'
                )
            if background_label in self.ignore_label or 0 <= background_label - self.label_offset < len(vocabulary):
                last = self.label_offset + len(vocabulary) - 1
                raise ValueError(
                    f'background_label is {background_label}, which is taken: classes have {self.label_offset} to '
                    f'{last}, unlabelled pixels {listed(self.ignore_label)}'
                )
        self.background_label = background_label
        self.img_suffixes = suffixes('img_suffix', img_suffix)
        (self.label_suffix,) = suffixes('label_suffix', [label_suffix])
        super().__init__(data_root=data_root, metainfo=metainfo, **kwargs)

    @property
    def label_values(self) -> dict[str, Any]:
        """What the values of label images mean, for :class:`LoadSegments`."""
        values = dict(ignore_label=self.ignore_label, label_offset=self.label_offset)
        return values if self.background_label is None else {**values, 'background_label': self.background_label}

    def load_data_list(self) -> list[dict]:
        """List the images, and name the label file of each."""
        folder = require_folder(self.data_prefix.get('img', ''), "the images, data_prefix['img']")
        label_folder = self.data_prefix.get('seg')
        if label_folder is None and not self.test_mode:
            raise ValueError("data_prefix has no folder 'seg' of label images; only test_mode=True works without")
        if label_folder is not None:
            require_folder(label_folder, "the label images, data_prefix['seg']")
        names = self._image_names(folder)
        labels = {}
        if label_folder is not None:
            found = files_below(Path(label_folder), (self.label_suffix,))
            labels = {without_suffix(name, (self.label_suffix,)): name for name in found}
            self._check_names(folder, names)
            if not self.ann_file and self.missing_images == 'error':
                self._check_labels(folder, label_folder, names, labels)
        return [self._parse(folder, label_folder, name, labels) for name in names]

    def filter_data(self) -> list[dict]:
        """Samples whose files exist; warns if what label images hold does not seem to be meant."""
        kept = super().filter_data()
        self._check_values([info['seg_map_path'] for info in kept if info['seg_map_path']])
        return kept

    def _check_values(self, paths: Sequence[str]) -> None:
        """Warn of classes that some label images, or all if they are few, do not have.

        Binary masks with 0 and 255 are read without complaint, and then train one class on its own.
        """
        some = paths[:: max(len(paths) // _LOOKED_AT, 1)][:_LOOKED_AT]
        counts = np.zeros(1 << 16, dtype=np.int64)
        for path in some:
            try:
                values = read_pixels(path)
                if values.ndim != 2:
                    return
                counts += np.bincount(values.ravel(), minlength=len(counts))
            except (OSError, ValueError, TypeError):
                return  # whoever reads it says what is wrong
        void = [value for value in self.ignore_label if 0 <= value < len(counts)]
        unlabelled = int(counts[void].sum())
        counts[void] = 0
        if self.background_label is not None and 0 <= self.background_label < len(counts):
            counts[self.background_label] = 0
        seen = counts[max(self.label_offset, 0) :][: len(self.vocabulary)]
        absent = [name for name, count in zip(self.vocabulary.names, seen, strict=False) if not count]
        telling = len(some) == len(paths) or len(seen) - len(absent) < 2 or len(seen) <= _FEW_CLASSES
        if some and absent and telling:
            share = 100 * unlabelled / max(unlabelled + int(counts.sum()), 1)
            void_names = ', '.join(map(str, self.ignore_label))
            warn_once(
                f'{Path(some[0]).parent}: no pixel of class {listed(absent)} in {len(some)} of {len(paths)} label '
                f'images, and {share:.3g} % of their pixels are unlabelled ({void_names}); values of classes begin at '
                f'{self.label_offset}'
            )

    def _parse(self, folder: Path, label_folder: str | None, name: str, labels: Mapping) -> dict:
        stem = without_suffix(name, self.img_suffixes)
        info: dict = dict(img_path=str(folder / name), img_id=stem, seg_map_path=None)
        if label_folder is not None:
            path = osp.join(label_folder, labels.get(stem, f'{stem}{self.label_suffix}'))
            info.update(seg_map_path=path, **self.label_values)
        return info

    def _image_names(self, folder: Path) -> list[str]:
        """Image files relative to ``folder``, sorted."""
        names = files_below(folder, self.img_suffixes)
        if not names:
            raise ValueError(f'{folder}: no images; accepted are files that end in {", ".join(self.img_suffixes)}')
        return self._listed(names) if self.ann_file else names

    def _check_names(self, folder: Path, names: list[str]) -> None:
        """Refuse images that share a label image; probably one of them is the label image itself."""
        name_of: dict[str | None, str] = {}
        for name in names:
            other = name_of.setdefault(without_suffix(name, self.img_suffixes), name)
            if other != name:
                raise ValueError(
                    f'{folder}: {other} and {name} would have the same label image; remove one of them, or set '
                    'img_suffix to how the images end'
                )

    def _check_labels(self, folder: Path, label_folder: str, names: list[str], labels: Mapping) -> None:
        """Refuse label images of no image; probably some images were not copied."""
        if not labels:
            raise FileNotFoundError(
                f'{label_folder}: no label images; accepted are files that end in {self.label_suffix} (label_suffix)'
            )
        stems = {without_suffix(name, self.img_suffixes) for name in names}
        stray = [name for stem, name in labels.items() if stem not in stems]
        if stray:
            raise FileNotFoundError(
                f'{label_folder}: {len(stray)} label image(s) have no image in {folder}, the first is {stray[0]}; '
                "add the images, remove the labels, or set missing_images='skip'"
            )

    def _listed(self, names: list[str]) -> list[str]:
        if not osp.isfile(self.ann_file):
            raise FileNotFoundError(f'{self.ann_file}: annotation file (a list of image names) does not exist')
        by_stem = {without_suffix(name, self.img_suffixes): name for name in names}
        stems = [line.strip() for line in read_text(self.ann_file).splitlines() if line.strip()]
        # A listed image that is not there keeps its guessed name, and is reported with the other missing files.
        return [by_stem.get(stem, f'{stem}{self.img_suffixes[0]}') for stem in stems]


def _without_background(
    classes: str | Mapping | Sequence[str], background_label: int, label_offset: int
) -> tuple[str | Mapping | Sequence[str], int]:
    """The class list without a first or last name that only says what ``background_label`` means, and its offset."""
    if isinstance(classes, Mapping) or (isinstance(classes, str) and classes in VOCABULARIES):
        return classes, label_offset
    names = load_class_names(classes) if isinstance(classes, str) else tuple(classes)
    if BACKGROUND not in names or names.index(BACKGROUND) != background_label - label_offset:
        return names, label_offset
    if names[0] == BACKGROUND:
        return names[1:], label_offset + 1
    return (names[:-1] if names[-1] == BACKGROUND else names), label_offset


def files_below(folder: Path, suffixes: Sequence[str]) -> list[str]:
    """Files that end in one of ``suffixes``, relative to ``folder``, sorted.

    Hidden files, which systems add to folders, are left out; folders are entered once, however many links lead there.
    """
    entered: set[tuple[int, int]] = set()
    found = []
    for parent, folders, files in os.walk(folder, followlinks=True):
        status = os.stat(parent)
        if (status.st_dev, status.st_ino) in entered:
            folders.clear()
            continue
        entered.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not is_clutter(name))
        found += [osp.join(parent, file) for file in files if not is_clutter(file) and without_suffix(file, suffixes)]
    return sorted(osp.relpath(path, folder) for path in found)
