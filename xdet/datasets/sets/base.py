"""What datasets share: annotation errors found before training, and for segmentation a vocabulary on every sample."""

from __future__ import annotations

import os
import os.path as osp
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset, force_full_init
from mmengine.logging import print_log

from xdet.datasets.files.coco_json import listed_images
from xdet.io.errors import cause
from xdet.io.reading import as_on_disk, is_address, listed, shorten
from xdet.io.schema import checked, shown
from xdet.structures import Vocabulary


class ImageDataset(BaseDataset):
    """Base of the datasets of image files; a subclass implements ``load_data_list``.

    Every sample has ``img_path``, ``img_id`` and, where known, ``height`` and ``width``.

    Args:
        missing_images (str): What to do about images or label files that do not exist: ``'error'`` says how many and
            names the first, ``'skip'`` leaves those samples out.
        exclude (str | Sequence[str]): JSON files in COCO's layout whose images (by id) are left out, such as the test
            sets that the official training data does without; relative ones are looked for in ``data_root``.
        kwargs: Arguments of :class:`mmengine.dataset.BaseDataset`.
    """

    def __init__(self, *, missing_images: str = 'error', exclude: str | Sequence[str] = (), **kwargs: Any) -> None:
        if missing_images not in ('error', 'skip'):
            raise ValueError(f"missing_images is {missing_images!r}; accepted are 'error' and 'skip'")
        self.missing_images = missing_images
        self.exclude = as_list(exclude)
        for path in self.exclude:
            checked(path, str, 'exclude: a file')
        super().__init__(**kwargs)

    def in_root(self, path: str) -> str:
        """``path`` inside of ``data_root``, unless it is absolute or an address of a remote file backend."""
        return path if osp.isabs(path) or '://' in path else osp.join(self.data_root, path)

    def folder(self, key: str) -> str:
        """Folder ``data_prefix[key]``; without the entry ``img``, images are in ``data_root``.

        Raises:
            ValueError: There is no such entry.
        """
        if key in self.data_prefix:
            return self.data_prefix[key]
        if key == 'img':
            return self.data_root
        raise ValueError(f"{type(self).__name__}: data_prefix has no folder '{key}'; it has {listed(self.data_prefix)}")

    def image_path(self, name: str) -> str:
        """Path of the image that a file calls ``name``."""
        return name if is_address(name) else osp.join(self.folder('img'), name)

    def filter_data(self) -> list[dict]:
        """Samples that are not excluded and whose files exist.

        Raises:
            FileNotFoundError: Files are missing and ``missing_images`` is ``'error'``.
            ValueError: Nothing is left.
        """
        source = self.ann_file or self.data_prefix.get('img', self.data_root)
        if not self.data_list:
            raise ValueError(f'{source}: no samples; the split is empty')
        if self.exclude:
            self.data_list = self._without_excluded(source)
        missing = missing_files(info[key] for info in self.data_list for key in FILE_KEYS if info.get(key))
        there = {path: found for path in missing if (found := as_on_disk(path)) != path}
        if there:
            for info in self.data_list:
                info.update({key: there[info[key]] for key in FILE_KEYS if info.get(key) in there})
            missing -= there.keys()
        if not missing:
            return self.data_list
        first = min(missing)
        message = f'{source}: {len(missing)} listed file(s) do not exist, the first is {shorten(str(first), 500)}'
        if self.missing_images == 'error':
            named = ' (xdet convert finds images by their names)' if str(source).endswith('.json') else ''
            raise FileNotFoundError(f"{message}; fix the paths{named} or set missing_images='skip'")
        kept = [info for info in self.data_list if not any(info.get(key) in missing for key in FILE_KEYS)]
        if not kept:
            raise ValueError(f'{message}; nothing is left to use')
        print_log(f'{message}; {len(self.data_list) - len(kept)} samples are skipped', logger='current')
        return kept

    def _without_excluded(self, source: str) -> list[dict]:
        excluded = {number for path in self.exclude for number in listed_images(self.in_root(path))}
        kept = [info for info in self.data_list if info['img_id'] not in excluded]
        if not kept:
            raise ValueError(f'{source}: all images are in {", ".join(self.exclude)}; nothing is left to use')
        print_log(f'{source}: {len(self.data_list) - len(kept)} images are excluded', logger='current')
        return kept


class SegmentationDataset(ImageDataset):
    """Base of the datasets with segments; a subclass also sets the vocabulary in ``load_data_list`` or earlier.

    Every sample has a ``vocabulary``. Meta information has ``classes`` and ``vocabulary``; when the class list comes
    from the annotation file, they are there after ``full_init``. Arguments are those of :class:`ImageDataset`.
    """

    @property
    def vocabulary(self) -> Vocabulary:
        """Class names that the labels index."""
        return self._metainfo['vocabulary']

    def set_vocabulary(self, vocabulary: Vocabulary) -> None:
        """Publish the class list in the meta information."""
        self._metainfo.update(vocabulary=vocabulary, classes=vocabulary.names)

    @force_full_init
    def get_data_info(self, idx: int) -> dict:
        """Annotation of sample ``idx`` with the vocabulary, which the stored list of samples does not repeat."""
        data_info = super().get_data_info(idx)
        data_info.setdefault('vocabulary', self.vocabulary)
        return data_info

    @force_full_init
    def get_cat_ids(self, idx: int) -> list[int]:
        """Labels of the segments of sample ``idx``, for samplers that balance classes."""
        info = self.get_data_info(idx)
        if 'instances' in info:
            return [instance['bbox_label'] for instance in info['instances']]
        if 'segments_info' in info:
            return [segment['label'] for segment in info['segments_info'] if segment['label'] >= 0]
        raise NotImplementedError(f'{type(self).__name__} knows the labels of a sample only after reading its pixels')


FILE_KEYS = ('img_path', 'seg_map_path', 'sem_map_path', 'depth_path')
"""Keys of a sample that name files which must exist."""


def missing_files(paths: Iterable[str]) -> set[str]:
    """Which of the local ``paths`` do not exist; reads every folder once instead of asking for every file.

    Addresses of remote file backends (``s3://...``) are taken to exist.
    """
    folders: dict[str, set[str]] = {}
    missing = set()
    for path in paths:
        if '://' in path:
            continue
        folder, name = os.path.split(path)
        if folder not in folders:
            folders[folder] = set(os.listdir(folder or '.')) if os.path.isdir(folder or '.') else set()
        if name not in folders[folder]:
            missing.add(path)
    return missing


def as_list(paths: str | Sequence[str]) -> list[str]:
    """One path or several as a list."""
    if not isinstance(paths, (str, Sequence)):
        raise ValueError(f'{shown(paths)} is neither a text nor a list of texts')
    return [paths] if isinstance(paths, str) else list(paths)


def format_name(option: str, pattern: str, entry: Mapping[str, Any]) -> str:
    """``pattern`` filled with the fields of ``entry``.

    Raises:
        ValueError: The pattern asks for something else.
    """
    try:
        return pattern.format(**entry)
    except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f'{option} is {pattern!r}, which cannot be filled ({cause(error)}); there are {listed(entry)}'
        ) from None


def require_folder(path: str | Path, what: str) -> Path:
    """``path`` as a folder that exists.

    Raises:
        FileNotFoundError: It is not a folder; the message says what was to be found there.
    """
    path = Path(path)
    if not path.is_dir():
        raise FileNotFoundError(f'{path}: no such folder ({what})')
    return path


def suffixes(option: str, given: str | Sequence[str]) -> tuple[str, ...]:
    """One end of names or several, as several.

    Raises:
        ValueError: It is something else.
    """
    ends = [given] if isinstance(given, str) else given
    if not isinstance(ends, Sequence) or not all(isinstance(end, str) for end in ends):
        raise ValueError(f"{option} is {shown(given)}; accepted are ends of file names, such as '.png'")
    return tuple(ends)


def without_suffix(name: str, suffixes: Sequence[str]) -> str | None:
    """``name`` without the first of ``suffixes`` it ends with (in any case), or None."""
    for suffix in suffixes:
        if name.lower().endswith(suffix.lower()):
            return name[: len(name) - len(suffix)]
    return None
