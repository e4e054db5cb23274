"""Masks as runs along the rows, as CVAT and Label Studio write them; COCO's run down the columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdet.structures.masks.codes import EncodedMask, encode_mask

_SIZES = (3, 4, 8, 16)  # bits of lengths of runs
_BITS = 8


def row_runs(flat: np.ndarray) -> list[int]:
    """Lengths of the runs of False and True in turn; the first is of False and may be 0."""
    edges = np.flatnonzero(np.diff(flat.astype(np.int8), prepend=0))
    return np.diff(np.concatenate([[0], edges, [len(flat)]])).astype(int).tolist()


def decode_brush(numbers: Sequence[Any], size: tuple[int, int], where: str) -> EncodedMask:
    """A mask of Label Studio's run-length encoding: the bytes of an RGBA image, of which the last channel counts.

    32 bits say how many words there are, 5 the bits of a word, 4 times 4 the bits that lengths have. Then, until all
    words are told: one bit (1: a run, 0: words one by one), 2 bits (which length), the length, the word or words.

    Raises:
        ValueError: The encoding is damaged, or is for another size.
    """
    height, width = size
    try:
        data = bytes(numbers)
    except (TypeError, ValueError):
        raise ValueError(f'{where}: rle must be a list of whole numbers from 0 to 255') from None
    total, position = 8 * len(data), 0

    def take(bits: int) -> int:
        nonlocal position
        first, position = position, position + bits
        if position > total:
            raise ValueError(f'{where}: its rle ends too early')
        last = (position + 7) // 8
        return int.from_bytes(data[first // 8 : last], 'big') >> (8 * last - position) & ((1 << bits) - 1)

    words = take(32)
    if words != 4 * height * width:
        raise ValueError(
            f'{where}: its rle is for {words} bytes; an image of {width}x{height} has {4 * height * width}'
        )
    if take(5) + 1 != _BITS:
        raise ValueError(f'{where}: the words of its rle have other than {_BITS} bits')
    sizes = [take(4) + 1 for _ in range(4)]
    pixels = np.zeros(words, np.uint8)
    done = 0
    while done < words:
        run = take(1)
        length = take(sizes[take(2)]) + 1
        if done + length > words:
            raise ValueError(f'{where}: its rle tells more than the {words} bytes of the image')
        if run:
            pixels[done : done + length] = take(_BITS)
        else:
            pixels[done : done + length] = np.frombuffer(take(_BITS * length).to_bytes(length, 'big'), np.uint8)
        done += length
    return encode_mask(pixels.reshape(height, width, 4)[..., 3] > 0)


def encode_brush(mask: NDArray[np.bool_]) -> list[int]:
    """Inverse of :func:`decode_brush`."""
    bits = [f'{4 * mask.size:032b}{_BITS - 1:05b}', *(f'{size - 1:04b}' for size in _SIZES)]
    word = 0
    for run in row_runs(mask.reshape(-1)):
        left = 4 * run
        while left:
            length = min(left, 1 << _SIZES[-1])
            which = next(place for place, size in enumerate(_SIZES) if length <= 1 << size)
            bits.append(f'1{which:02b}{length - 1:0{_SIZES[which]}b}{word:08b}')
            left -= length
        word ^= 255
    text = ''.join(bits)
    text += '0' * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, 'big'))
