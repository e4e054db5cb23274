"""Masks that are parts of one map: a byte or two per pixel instead of one per pixel and mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from xdet.structures.data_sample import XDetDataSample


@dataclass(frozen=True)
class MapMasks:
    """``masks`` of training samples on their way from the pipeline to the device of the model.

    Workers send and pin this instead of bool ``[n, H, W]``, which :func:`expand_masks` makes where they are needed.

    Attributes:
        index_map (Tensor): integer ``[H, W]``.
        chosen (Tensor): bool ``[n, V]``: which of the values of the map, all below V, each mask covers.
    """

    index_map: Tensor
    chosen: Tensor

    @classmethod
    def of(cls, index_map: NDArray[Any], values: Sequence[Sequence[int]], num_values: int) -> MapMasks:
        """A mask for each of ``values``, which lists the values of the map that it covers."""
        chosen = torch.zeros((len(values), num_values), dtype=torch.bool)
        for row, covered in zip(chosen, values, strict=True):
            row[list(covered)] = True
        return cls(torch.from_numpy(np.ascontiguousarray(index_map)), chosen)

    @property
    def shape(self) -> tuple[int, int, int]:
        """n, H and W."""
        height, width = self.index_map.shape
        return len(self.chosen), height, width

    def filled(self) -> Tensor:
        """Whether each mask has a pixel, bool ``[n]``."""
        counts = torch.bincount(self.index_map.flatten().long(), minlength=self.chosen.shape[1])
        return (self.chosen & (counts > 0)).any(1)

    def expand(self) -> Tensor:
        """The masks, bool ``[n, H, W]``."""
        return self.chosen[:, self.index_map.long()]

    def to(self, *args: Any, **kwargs: Any) -> MapMasks:
        """The same on another device. Arguments are those of :meth:`torch.Tensor.to`, which may give no type."""
        return MapMasks(self.index_map.to(*args, **kwargs), self.chosen.to(*args, **kwargs))

    def pin_memory(self) -> MapMasks:
        """The same in pinned memory."""
        return MapMasks(self.index_map.pin_memory(), self.chosen.pin_memory())

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, rows: Any) -> MapMasks:
        return MapMasks(self.index_map, self.chosen[rows])


def expand_masks(sample: XDetDataSample) -> None:
    """Give the targets of a training sample bool ``[n, H, W]`` in place of :class:`MapMasks`."""
    for field in ('gt_segments', 'gt_phrases', 'gt_regions'):
        if field in sample and isinstance(masks := sample.get(field).get('masks'), MapMasks):
            sample.get(field).masks = masks.expand()
