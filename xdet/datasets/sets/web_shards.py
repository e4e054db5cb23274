"""Image-text pairs in WebDataset shards, as img2dataset writes them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from mmengine.dataset import force_full_init
from mmengine.logging import print_log

from xdet.datasets.files.image_io import IMAGE_SUFFIXES
from xdet.datasets.files.tar_shards import Members, ShardIndex, ShardReader, expand_shards, load_indices
from xdet.datasets.order.broken import BrokenSampleError, TolerantDataset
from xdet.io.reading import decode_text, parse_json, shorten
from xdet.io.schema import require
from xdet.registry import DATASETS

from .base import ImageDataset

_NAMED = 3
_IMAGE_SUFFIXES = tuple(suffix.removeprefix('.') for suffix in IMAGE_SUFFIXES)


@DATASETS.register_module()
class WebShardsDataset(TolerantDataset, ImageDataset):
    """Image-text pairs in tar shards: ``KEY.jpg`` with ``KEY.txt``, or with a caption in ``KEY.json``.

    An index of where each file begins makes shards a dataset with random access. So everything that holds for other
    datasets holds for them: :class:`ResumableSampler` (or :class:`ShardSampler`, which reads neighbours together)
    shuffles, shares samples between ranks and workers without repeats or losses, and resumes in the middle of an epoch
    at exactly the next sample. The index is made once per shard and kept beside it as ``.idx.json``
    (``tools/dataset_converters/index_shards.py`` makes it ahead). Shards must be on a file system.

    Samples without image or caption are left out, what a truncated shard has lost is reported, and images that cannot
    be decoded are replaced (:class:`~xdet.datasets.order.broken.TolerantDataset`). Samples have ``img_bytes`` for
    :class:`LoadXDetImage`, ``img_path`` and ``img_id`` (shard and key) and ``captions`` of one text.

    Args:
        shards (str | Sequence[str]): Paths, ranges or wildcards, see
            :func:`~xdet.datasets.files.tar_shards.expand_shards`; relative ones are looked for in ``data_root``.
        image (str | Sequence[str]): Suffix of the file with the image, such as ``'input.png'``, or several that may be.
        caption (str): Suffix of the file with the caption, such as ``'txt'``; or ``'json:KEY'`` for the value of a key
            in the JSON file.
        index_dir (str, optional): Folder of the index files, if not next to the shards.
        kwargs: Arguments of :class:`~xdet.datasets.order.broken.TolerantDataset` and :class:`ImageDataset`;
            ``indices`` chooses samples.

    Raises:
        FileNotFoundError: A shard is missing.
        ValueError: A shard is no tar file, or there is no usable sample.
    """

    def __init__(
        self,
        *,
        shards: str | Sequence[str],
        image: str | Sequence[str] = _IMAGE_SUFFIXES,
        caption: str = 'txt',
        index_dir: str | None = None,
        **kwargs: Any,
    ) -> None:
        if kwargs.get('exclude'):
            raise ValueError('exclude works by image ids of COCO, which shards do not have')
        self.shards = shards
        self.image_suffixes = [suffix.lower() for suffix in ([image] if isinstance(image, str) else image)]
        self.caption_suffix, _, self.caption_key = caption.partition(':')
        self.index_dir = index_dir
        super().__init__(**kwargs)

    def full_init(self) -> None:
        """Read the index of every shard; needs 32 bytes of memory per sample and those of its key."""
        if self._fully_initialized:
            return
        paths = expand_shards(self.shards, self.data_root)
        suffixes: Counter[str] = Counter()
        indices = load_indices(paths, self.index_dir)
        tables = [self._table(path, index, suffixes) for path, index in zip(paths, indices, strict=True)]
        self._reader = ShardReader(paths)
        self._keys = [keys for keys, _ in tables]
        self._places = [places for _, places in tables]
        self.shard_sizes = [len(keys) for keys in self._keys]
        self._ends = np.cumsum(self.shard_sizes)
        if not self._ends[-1]:
            there = ', '.join(shorten(suffix, 40) for suffix, _ in suffixes.most_common(10)) or 'none'
            raise ValueError(
                f'{paths[0]} and {len(paths) - 1} more shards have no usable sample: each needs an image '
                f'({", ".join(self.image_suffixes)}) and a caption ({self.caption_suffix}); the suffixes there are: '
                f'{there}. Name yours by image= and caption=; the files of a sample must follow each other'
            )
        self._chosen = None if self._indices is None else _choose(int(self._ends[-1]), self._indices)
        self._fully_initialized = True

    def _table(self, path: str, index: ShardIndex, suffixes: Counter[str]) -> tuple[np.ndarray, np.ndarray]:
        """Keys ``[n]`` and places ``[n, 4]`` (offset and size of image and text) of the usable samples of a shard."""
        keys, places, unusable = [], [], []
        for key, members in index.samples:
            suffixes.update(list(members))
            image = _first(members, self.image_suffixes)
            text = members.get(self.caption_suffix)
            if image is None or text is None or not image[1] or not text[1]:
                unusable.append(key)
            else:
                keys.append(key.encode(errors='backslashreplace'))  # names in tar files need not be UTF-8
                places.append((*image, *text))
        if index.damage:
            print_log(f'{path}: {index.damage}; samples after it are lost', logger='current', level=logging.WARNING)
        if index.repeated:
            message = f'{path}: {index.repeated} samples have the key of the one before them; they are kept apart'
            print_log(message, logger='current', level=logging.WARNING)
        if unusable:
            named = ', '.join(unusable[:_NAMED]) + (', ...' if len(unusable) > _NAMED else '')
            message = f'{path}: {len(unusable)} samples without image or {self.caption_suffix} are left out: {named}'
            print_log(message, logger='current', level=logging.WARNING)
        return np.array(keys, dtype=np.bytes_), np.array(places, dtype=np.int64).reshape(-1, 4)

    @property
    def source_files(self) -> list[str]:
        """The shards."""
        self.full_init()
        return self._reader.paths

    @force_full_init
    def __len__(self) -> int:
        return int(self._ends[-1]) if self._chosen is None else len(self._chosen)

    @force_full_init
    def get_data_info(self, idx: int) -> dict:
        """Bytes and caption of sample ``idx``.

        Raises:
            BrokenSampleError: They cannot be read.
        """
        position = range(len(self))[idx]  # an IndexError beyond the end
        position = position if self._chosen is None else int(self._chosen[position])
        shard = int(np.searchsorted(self._ends, position, side='right'))
        row = position - int(self._ends[shard - 1] if shard else 0)
        begin, size, text_begin, text_size = self._places[shard][row].tolist()
        name = f'{self._reader.paths[shard]}/{self._keys[shard][row].decode()}'
        try:
            image, text = self._reader.read(shard, begin, size), self._reader.read(shard, text_begin, text_size)
        except OSError as error:
            raise BrokenSampleError(f'{name}: cannot be read ({error})') from error
        return dict(img_bytes=image, img_path=name, img_id=name, captions=(self._caption(text, name),), sample_idx=idx)

    def _caption(self, data: bytes, name: str) -> str:
        try:
            text = decode_text(data, name)
            if self.caption_key:
                text = require(parse_json(text, name), self.caption_key, str, name)
        except ValueError as error:
            raise BrokenSampleError(f'{name}: caption cannot be read ({error})') from error
        text = ' '.join(text.split()) if isinstance(text, str) else ''
        if not text:
            raise BrokenSampleError(f'{name}: caption is empty')
        return text


def _choose(total: int, indices: int | Sequence[int]) -> np.ndarray:
    """Positions of some of ``total`` samples: the first ``indices``, the last ones if it is negative, or these.

    Raises:
        ValueError: One is out of range.
    """
    everything = np.arange(total)
    if isinstance(indices, int):
        return everything[:indices] if indices >= 0 else everything[indices:]
    try:
        return everything[np.array(indices, dtype=np.int64)]
    except IndexError as error:
        raise ValueError(f'indices of shards with {total} samples: {error}') from None


def _first(members: Members, suffixes: Iterable[str]) -> tuple[int, int] | None:
    return next((members[suffix] for suffix in suffixes if suffix in members), None)
