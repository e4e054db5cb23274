"""Reference cases recorded from the official model: arrays that are too big to commit, so tests skip without them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import pytest
import torch
from parity.weights import SHARED
from torch import Tensor

_ROOT = SHARED / 'fixtures' / 'public'
MEAN = torch.tensor([123.675, 116.28, 103.53])[:, None, None]
STD = torch.tensor([58.395, 57.12, 57.375])[:, None, None]


@lru_cache(maxsize=1)
def _index() -> dict:
    return json.loads((_ROOT / 'index.json').read_text())['cases']


class Case:
    """One recorded case.

    Attributes:
        spec (dict): Inputs: vocabularies, phrases, image.
        json (dict): Recorded lists and strings.
        arrays (Mapping[str, np.ndarray]): Recorded arrays, some of them subsampled.
    """

    def __init__(self, name: str) -> None:
        if not (_ROOT / 'index.json').is_file():
            pytest.skip('recorded reference cases (../shared/fixtures) are not available')
        meta = _index()[name]
        self.name, self.spec, self.json, self.tensors = name, meta['spec'], meta['json'], meta['tensors']
        self.arrays = np.load(_ROOT / meta['file'])

    def inputs(self) -> list[np.ndarray]:
        """Exact network input images, uint8 RGB ``[3, H, W]`` each, before normalisation and padding."""
        arrays = self._inputs()
        return [arrays[key] for key in arrays.files if key.startswith('image')]

    def sizes(self) -> list[tuple[int, int]]:
        """Height and width that results were asked in, per image."""
        arrays = self._inputs()
        return [tuple(arrays[key].tolist()) for key in arrays.files if key.startswith('out_hw')]

    def _inputs(self) -> Mapping[str, np.ndarray]:
        return np.load(_ROOT / f'{self.name}.inputs.npz')

    def assert_close(self, key: str, tensor: Tensor) -> float:
        """Compare a full-size tensor with the recorded one within the case's own tolerance; the largest error."""
        about = self.tensors[key]
        assert list(tensor.shape) == about['shape_full'], key
        strides = about.get('strides', [1] * tensor.ndim)
        values = tensor.detach().numpy()[tuple(slice(None, None, stride) for stride in strides)]
        error = np.abs(values.astype(np.float64) - self.arrays[key])
        bad = float((~(error <= about['suggested']['atol'])).mean())
        assert bad <= about['suggested']['max_bad_fraction'], (
            f'{self.name}.{key}: {bad:.2%} of values are off by more than {about["suggested"]["atol"]:.2g}'
        )
        return float(error.max())

    def bits(self, key: str) -> np.ndarray:
        """A recorded binary map; False everywhere when none was recorded."""
        if key not in self.tensors:
            return np.zeros((), dtype=bool)
        shape = self.tensors[key]['shape_full']
        return np.unpackbits(self.arrays[key])[: int(np.prod(shape))].reshape(shape).astype(bool)


def normalized_batch(images: list[np.ndarray]) -> Tensor:
    """Normalise uint8 RGB images and pad them at the right and the bottom to one common multiple of 32."""
    height, width = (-(-max(image.shape[axis] for image in images) // 32) * 32 for axis in (1, 2))
    batch = torch.zeros(len(images), 3, height, width)
    for row, image in zip(batch, images, strict=True):
        row[:, : image.shape[1], : image.shape[2]] = (torch.as_tensor(image).float() - MEAN) / STD
    return batch
