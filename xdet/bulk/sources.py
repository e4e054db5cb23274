"""Chunks of images from folders, tar shards and Parquet files."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from xdet.datasets.files.image_io import IMAGE_SUFFIXES, ImageReadError, decode_image
from xdet.datasets.files.tar_shards import expand_shards, load_index
from xdet.inference.inputs.images import ImageSource, expand_images
from xdet.io.errors import cause
from xdet.io.reading import MAX_IMAGE_BYTES, listed, shorten
from xdet.io.schema import shown
from xdet.lazy import import_optional

SHARD, PARQUET = '.tar', '.parquet'


@dataclass(frozen=True)
class ShardImage(ImageSource):
    """An image in a tar shard; ``image`` is the path of the shard.

    Attributes:
        offset, size (int): Where it lies.
    """

    offset: int = 0
    size: int = 0

    def stamp(self) -> None:
        """Nothing is known of a file within a shard."""

    def read(self) -> np.ndarray:
        """As :meth:`ImageSource.read`; safe to call from several threads."""
        try:
            if self.size > MAX_IMAGE_BYTES:
                raise ImageReadError(self.name, f'has {self.size} bytes; accepted are {MAX_IMAGE_BYTES} at most')
            with open(str(self.image), 'rb') as file:
                file.seek(self.offset)
                data = file.read(self.size)
        except OSError as error:
            raise ImageReadError(self.name, error.strerror or str(error)) from error
        return decode_image(data, self.name)


@dataclass(frozen=True)
class EncodedSource(ImageSource):
    """An image whose file is in memory.

    Attributes:
        data (bytes): Content of the file.
    """

    data: bytes = b''

    def stamp(self) -> None:
        """It is no file."""

    def read(self) -> np.ndarray:
        """As :meth:`ImageSource.read`."""
        return decode_image(self.data, self.name)


@dataclass(frozen=True)
class Chunk:
    """Images that one worker takes at a time, and that become one file of results.

    Attributes:
        number (int): Position among the chunks.
        first (int): Position of its first image among all images.
        count (int): Number of images.
        images (tuple[ImageSource, ...]): The images, of a chunk that is no part of a Parquet file.
        parquet (tuple[str, str, int, int, int] | None): File, column, row group, place among the pieces of the group,
            and rows in each of these.
        row (int): First row in that file.
    """

    number: int
    first: int
    count: int
    images: tuple[ImageSource, ...] = ()
    parquet: tuple[str, str, int, int, int] | None = None
    row: int = 0

    def sources(self) -> list[ImageSource]:
        """Its images, to be read."""
        return list(self.images) if self.parquet is None else list(self._rows(*self.parquet))

    def names(self) -> Iterator[str]:
        """What its images are called."""
        if self.parquet is None:
            return (source.name for source in self.images)
        return (f'{self.parquet[0]}#{self.row + place}' for place in range(self.count))

    def _rows(self, path: str, column: str, group: int, place: int, size: int) -> Iterator[ImageSource]:
        names = self.names()
        try:
            from pyarrow import parquet

            with parquet.ParquetFile(path) as file:
                pieces = file.iter_batches(batch_size=size, row_groups=[group], columns=[column])
                values = next(islice(pieces, place, None)).column(0).to_pylist()
        except Exception as error:  # damage shows by exceptions of many types; the images are named with it
            reason = f'cannot be read from its file ({shorten(cause(error))})'
            yield from (ImageSource(name, ImageReadError(name, reason)) for name in names)
            return
        for name, value in zip(names, values, strict=True):
            data = value.get('bytes') if isinstance(value, dict) else value
            if data is None:
                yield ImageSource(name, ImageReadError(name, 'has no image, the entry is empty'))
            else:
                yield EncodedSource(name, path, data)


def find_chunks(
    images: str | Path | Sequence[str | Path], size: int, column: str, leave_out: str | Path | None = None
) -> tuple[list[Chunk], list[str]]:
    """Divide what a user handed in.

    Args:
        images (str | Path | Sequence[str | Path]): Image files, folders and patterns; tar shards
            (``'shards/{00000..00012}.tar'``, ``'shards/*.tar'``); Parquet files (``'photos/*.parquet'``).
        size (int): Most images in a chunk.
        column (str): Column of Parquet files with the images: binary, or a struct with ``bytes``.
        leave_out (str | Path, optional): A folder that is not listed, that of the results.

    Returns:
        tuple[list[Chunk], list[str]]: The chunks, and what is missing because shards are damaged.

    Raises:
        FileNotFoundError: There is no such file.
        ImageReadError: There is no image at all.
        ValueError: A shard or a Parquet file cannot be used.
    """
    entries = [images] if isinstance(images, (str, Path)) else list(images)
    chunks: list[Chunk] = []
    problems: list[str] = []
    waiting: list[ImageSource] = []

    def add(count: int, **content: Any) -> None:
        first = chunks[-1].first + chunks[-1].count if chunks else 0
        chunks.append(Chunk(len(chunks), first, count, **content))

    def add_waiting(least: int) -> None:
        while len(waiting) >= least and waiting:
            part = tuple(waiting[:size])
            del waiting[:size]
            add(len(part), images=part)

    for entry in entries:
        text = str(entry)
        if text.endswith(PARQUET):
            add_waiting(1)
            for path in _matching(text):
                row = 0
                for group, rows in enumerate(_groups(path, column)):
                    for place, start in enumerate(range(0, rows, size)):
                        count = min(size, rows - start)
                        add(count, parquet=(path, column, group, place, size), row=row + start)
                    row += rows
        elif text.endswith(SHARD):
            for path in expand_shards(text):
                waiting.extend(_of_shard(path, problems))
                add_waiting(size)
        else:
            waiting.extend(expand_images(entry, leave_out)[0])
            add_waiting(size)
    add_waiting(1)
    if not chunks:
        raise ImageReadError(f'{listed(list(map(str, entries))) or "the list of images"}: has no images')
    if not any(chunk.parquet or any(source.is_there() for source in chunk.images) for chunk in chunks):
        chunks[0].images[0].read()  # says what is wrong with it
    return chunks, problems


def _matching(pattern: str) -> list[str]:
    found = sorted(glob.glob(pattern)) if glob.has_magic(pattern) else [pattern]
    if not found or not Path(found[0]).exists():
        raise FileNotFoundError(f"no such Parquet file: '{shorten(pattern)}'")
    for path in found:  # opening a named pipe would wait for somebody who writes
        if not Path(path).is_file():
            what = 'folder' if Path(path).is_dir() else 'pipe, socket or device'
            raise ValueError(f'{shorten(path)}: is a {what}, not a Parquet file')
    return found


def _groups(path: str, column: str) -> list[int]:
    """Rows of every row group of a Parquet file that has the column."""
    parquet = import_optional('pyarrow.parquet', f'{path}: reading Parquet', 'data')
    types = import_optional('pyarrow.types', f'{path}: reading Parquet', 'data')
    try:
        with parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
            rows = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
    except Exception as error:  # a damaged file shows by exceptions of many types
        raise ValueError(f'{path}: not a Parquet file ({shorten(cause(error))})') from None
    if column not in schema.names:
        raise ValueError(f'{path}: has no column {shown(column)}; its columns are {listed(schema.names, 20)}')
    kind = schema.field(column).type
    inner = kind.field('bytes').type if types.is_struct(kind) and kind.get_field_index('bytes') >= 0 else kind
    if not (types.is_binary(inner) or types.is_large_binary(inner)):
        raise ValueError(
            f'{path}: column {shown(column)} is {kind}; accepted are binary, the content of image files, and structs '
            "with binary 'bytes'"
        )
    return rows


def _of_shard(path: str, problems: list[str]) -> Iterator[ImageSource]:
    """The first image of every sample of a shard."""
    index = load_index(path)
    if index.damage:
        problems.append(f'{path}: {index.damage}')
    for key, members in index.samples:
        suffix = next((suffix for suffix in members if f'.{suffix}' in IMAGE_SUFFIXES), None)
        name = f'{path}/{key}' + (f'.{suffix}' if suffix else '')
        if suffix is None:
            reason = f'the sample has no image, only {listed(sorted(members))}'
            yield ImageSource(name, ImageReadError(name, reason))
        else:
            yield ShardImage(name, path, *members[suffix])
