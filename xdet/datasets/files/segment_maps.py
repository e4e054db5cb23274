"""Annotation PNGs as maps of small segment indices: value i + 1 means segment i of a list, 0 means void."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from PIL import Image

from xdet.io.errors import cause
from xdet.io.reading import MAX_IMAGE_BYTES, listed, read_bytes, shorten
from xdet.io.schema import checked, shown
from xdet.io.warnings import warn_once
from xdet.structures import Vocabulary, XDetDataSample
from xdet.structures.masks.panoptic import panoptic_ids

from .image_io import check_png, open_image


def read_panoptic_map(path: str, segments_info: list[dict]) -> tuple[np.ndarray, list[dict]]:
    """Read a COCO panoptic PNG.

    Args:
        path (str): PNG with ``id = R + 256 G + 65536 B`` and 0 for void.
        segments_info (list[dict]): Segments with ``id`` and ``label``; those with label -1 become void.

    Returns:
        tuple[np.ndarray, list[dict]]: Indices ``[H, W]`` (uint8, or uint16 if needed) and the segments they mean.

    Raises:
        ValueError: The file is no such PNG, or has an id that is not listed.
    """
    colours = read_pixels(path)
    if colours.ndim != 3 or colours.shape[-1] != 3:
        raise ValueError(f'{path}: not a panoptic PNG (three channels, id = R + 256 G + 65536 B)')
    ids = panoptic_ids(colours)
    if len(segments_info) > np.iinfo(np.uint16).max:
        raise ValueError(f'{path}: its annotation file lists {len(segments_info)} segments, more than 65535')
    kept = [segment for segment in segments_info if segment['label'] >= 0]
    if strange := [segment['id'] for segment in segments_info if not 0 <= segment['id'] < 1 << 24]:
        raise ValueError(
            f'{path}: its annotation file has the segment id {shown(strange[0])}; accepted are 1 to 16777215'
        )
    index_of = {segment['id']: index for index, segment in enumerate(kept, start=1)}
    known = np.array(sorted({0, *(segment['id'] for segment in segments_info)}), dtype=np.uint32)
    indices = np.array([index_of.get(int(segment_id), 0) for segment_id in known], dtype=_index_type(len(kept)))
    position = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    unknown = known[position] != ids
    if unknown.any():
        raise ValueError(f'{path}: segment id {ids[unknown][0]} is not among the segments of its annotation file')
    found = np.bincount(position.ravel(), minlength=len(known))
    if empty := [number for number, count in zip(known.tolist(), found, strict=True) if number and not count]:
        warn_once(
            f'{path}: has no pixel of the segment(s) {listed(empty, 5)}, which its annotation file lists; further '
            'images of this folder are not named',
            about=f'segments without pixels in {os.path.dirname(path)}',
        )
    return indices[position], kept


def read_label_map(
    path: str, vocabulary: Vocabulary, ignore_label: int | Sequence[int] = 255, label_offset: int = 0
) -> tuple[np.ndarray, list[dict]]:
    """Read a label image; every class in it becomes one segment.

    Args:
        path (str): Single-channel image of 8 or 16 bits; of a palette image the indices count.
        vocabulary (Vocabulary): Classes.
        ignore_label (int | Sequence[int]): Value, or values, of void pixels.
        label_offset (int): Value of the first class.

    Returns:
        tuple[np.ndarray, list[dict]]: Indices ``[H, W]`` (uint8, or uint16 if needed) and the segments they mean:
        dicts of ``id, label, is_thing, iscrowd``, sorted by label.

    Raises:
        ValueError: The file is no such image, or has a value outside the class list.
    """
    return _segments(path, _label_values(path), vocabulary, void_values(ignore_label), label_offset)


def read_semantic_map(
    path: str,
    vocabulary: Vocabulary,
    ignore_label: int | Sequence[int] = 255,
    label_offset: int = 0,
    background_label: int | None = None,
) -> np.ndarray:
    """Read a label image as semantic ground truth.

    Args:
        path (str): As in :func:`read_label_map`, and so are the other arguments.
        background_label (int, optional): Value of pixels that show none of the classes.

    Returns:
        np.ndarray: int64 ``[H, W]`` labels, ``XDetDataSample.IGNORE`` where unlabelled and ``BACKGROUND`` where none of
        the classes is.

    Raises:
        ValueError: As :func:`read_label_map`.
    """
    values = _label_values(path)
    void = void_values(ignore_label)
    if background_label is not None:
        void = (*void, background_label)
    indices, segments = _segments(path, values, vocabulary, void, label_offset)
    labels = np.array([XDetDataSample.IGNORE, *(segment['label'] for segment in segments)])[indices]
    if background_label is not None:
        labels[values == background_label] = XDetDataSample.BACKGROUND
    return labels


def _label_values(path: str) -> np.ndarray:
    values = read_pixels(path)
    if values.ndim != 2 or values.dtype.kind not in 'ui' or values.min() < 0 or values.max() > np.iinfo(np.uint16).max:
        raise ValueError(f'{path}: not a label image (one channel of 8 or 16 bits), it has {_describe(values)}')
    return values


def _segments(
    path: str, values: np.ndarray, vocabulary: Vocabulary, void: tuple[int, ...], label_offset: int
) -> tuple[np.ndarray, list[dict]]:
    counts = np.bincount(values.ravel())
    present = [value for value in np.flatnonzero(counts).tolist() if value not in void]
    outside = [value for value in present if not 0 <= value - label_offset < len(vocabulary)]
    if outside:
        raise ValueError(
            f'{path}: label value {outside[0]} ({counts[outside[0]]} pixels) is outside the class list; accepted are '
            f'{label_offset} to {label_offset + len(vocabulary) - 1} and {", ".join(map(str, void))} for unlabelled'
        )
    lookup = np.zeros(len(counts), dtype=_index_type(len(present)))
    lookup[present] = np.arange(1, len(present) + 1)
    labels = [value - label_offset for value in present]
    segments = [
        dict(id=index, label=label, is_thing=vocabulary.is_thing[label], iscrowd=False)
        for index, label in enumerate(labels, start=1)
    ]
    return lookup[values], segments


def void_values(ignore_label: int | Sequence[int]) -> tuple[int, ...]:
    """``ignore_label`` as several values.

    Raises:
        ValueError: It is something else than whole numbers, or beyond what pixels can have.
    """
    values = ignore_label if isinstance(ignore_label, (list, tuple, set, range)) else (ignore_label,)
    void = tuple(checked(value, int, 'ignore_label') for value in values)
    if wrong := [value for value in void if value > np.iinfo(np.uint16).max]:
        raise ValueError(f'ignore_label is {shown(wrong[0])}; label images have values from 0 to 65535')
    return void


def read_pixels(path: str, what: str = 'label image') -> np.ndarray:
    """Pixels of an annotation image, which errors call ``what``, without any conversion of values.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no image, damaged, or of a kind that does not keep values.
    """
    name = shorten(str(path))
    try:
        data = read_bytes(path, MAX_IMAGE_BYTES)
    except FileNotFoundError:
        raise FileNotFoundError(f'{name}: {what} does not exist') from None
    try:
        with open_image(data) as image:
            refused = _changes_values(image, data)
            pixels = np.array(image)
            check_png(data, pixels, sums=True)
    except Exception as error:  # Pillow's decoders report damage by exceptions of any type
        raise ValueError(f'{name}: {what} is damaged or no image ({shorten(cause(error))})') from error
    if refused:
        raise ValueError(f'{name}: {refused} a {what}; save it as PNG, upright and of one frame')
    return pixels.astype(np.uint8) if pixels.dtype == bool else pixels


_LOSSY = ('JPEG', 'MPO', 'JPEG2000', 'AVIF')
_ORIENTATION = 0x0112


def _changes_values(image: Image.Image, data: bytes) -> str:
    """Why the pixels that are read are not the values that were meant, in words; empty if they are."""
    if image.format in _LOSSY or (image.format == 'WEBP' and b'VP8L' not in data[:64]):
        return f'is a {"JPEG" if image.format == "MPO" else image.format} file, which changes the values of'
    if (frames := getattr(image, 'n_frames', 1)) > 1:
        return f'has {frames} frames, too many for'
    if len(image.getbands()) > 1 and any(';16' in str(part) for part in getattr(image, 'tile', ())):
        return 'has several channels of 16 bits, of which only the upper halves are read, too many for'
    if image.getexif().get(_ORIENTATION, 1) != 1:
        return 'is turned by its EXIF data, which says nothing certain about'
    return ''


def _describe(values: np.ndarray) -> str:
    if values.ndim != 2:
        return f'{values.shape[-1]} channels'
    return f'{values.dtype} values from {values.min()} to {values.max()}'


def _index_type(count: int) -> type[np.unsignedinteger]:
    """Smallest type that counts to ``count``; 8 bits let every resize backend handle the map."""
    return np.uint8 if count <= np.iinfo(np.uint8).max else np.uint16
