"""Losses that look at the whole batch of all ranks. Everything here is collective: every rank has to call it."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.dist import all_gather, all_gather_object, all_reduce, get_rank, get_world_size
from mmengine.structures import BaseDataElement
from torch import Tensor


def check_same_kinds(
    kinds: Mapping[str, Sequence[str]], samples: Sequence[BaseDataElement], device: torch.device
) -> None:
    """Refuse a step in which ranks have different kinds of targets: they would wait for each other for ever.

    Costs the exchange of one number per rank; with a single rank nothing.

    Args:
        kinds (Mapping[str, Sequence[str]]): By task, the kinds of targets in this rank's batch.
        samples (Sequence[BaseDataElement]): The batch, whose images errors name.
        device (torch.device): Where the ranks exchange tensors.

    Raises:
        ValueError: On all ranks, with the kind, the ranks that have it or not, and the images of both.
    """
    if get_world_size() == 1:
        return
    own = sorted(f'{kind} ({task})' for task, found in kinds.items() for kind in found)
    number = torch.tensor([zlib.crc32('\n'.join(own).encode())], device=device)
    if len(set(torch.cat(all_gather(number)).tolist())) == 1:
        return
    images = [str(sample.metainfo.get('img_path', 'unknown')) for sample in samples]
    ranks = all_gather_object((own, images))
    problems = []
    for kind in sorted({kind for found, _ in ranks for kind in found}):
        having, lacking = (
            [rank for rank, (found, _) in enumerate(ranks) if (kind in found) is has] for has in (True, False)
        )
        if lacking:
            problems.append(f'{kind}: {_named(having, ranks)} have some, {_named(lacking, ranks)} have none')
    raise ValueError(
        f'all ranks need the same kinds of targets in a step; {"; ".join(problems)}. Sources with different targets '
        'need batches of their own (JointTrainLoop), and empty values where an image has nothing to learn'
    )


def _named(numbers: Sequence[int], ranks: Sequence[tuple[list[str], list[str]]], limit: int = 3) -> str:
    """Some ranks and the first images of the first of them."""
    images = ranks[numbers[0]][1]
    shown = ', '.join(images[:limit]) + (', ...' if len(images) > limit else '')
    more = f' and {len(numbers) - 1} other ranks' if len(numbers) > 1 else ''
    return f'the images of rank {numbers[0]} ({shown}){more}'


def mean_over_ranks(number: float, like: Tensor) -> Tensor:
    """Mean over all ranks of a plain number, as a scalar of the type and on the device of ``like``."""
    mean = like.new_tensor(float(number))
    all_reduce(mean, op='mean')
    return mean


class RowGather:
    """Concatenates the rows of all ranks, which may have different numbers of them, also none.

    Gradients reach this rank's own rows only. That is enough if all ranks compute the same loss from the gathered
    rows: together they cover all rows. Since distributed training averages gradients over ranks, the own rows' gradient
    is multiplied by the number of ranks, so that the average is the gradient of the one common loss, as if a single
    process had seen the whole batch.

    Args:
        num_rows (int): This rank's number of rows, in all calls.
        device (torch.device): Where the rows are.
        official (bool): Do not multiply, as the official code: gradients through gathered rows are too small by the
            number of ranks.

    Attributes:
        sizes (list[int]): Number of rows per rank.
        start (int): Where this rank's rows begin.
    """

    def __init__(self, num_rows: int, device: torch.device, official: bool = False) -> None:
        self.sizes = [int(size) for size in all_gather(torch.tensor([num_rows], device=device))]
        self.start = sum(self.sizes[: get_rank()])
        self.official = official

    def __call__(self, rows: Tensor) -> Tensor:
        """Rows ``[n, ...]`` of this rank to ``[N, ...]`` of all ranks in their order."""
        if len(self.sizes) == 1:
            return rows
        padded = rows.new_zeros((max(self.sizes), *rows.shape[1:]))
        padded[: len(rows)] = rows.detach()
        parts = [part[:size] for part, size in zip(all_gather(padded), self.sizes, strict=True)]
        parts[get_rank()] = _ScaleGradient.apply(rows, len(self.sizes)) if self._scales(rows) else rows
        return torch.cat(parts)

    def _scales(self, rows: Tensor) -> bool:
        return rows.requires_grad and not self.official


class _ScaleGradient(torch.autograd.Function):
    """The identity, whose gradient is multiplied by a factor."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, factor: int) -> Tensor:
        ctx.factor = factor
        return rows.view_as(rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.factor, None
