"""Losses that look at the whole batch of all ranks. Everything here is collective: every rank has to call it."""

from __future__ import annotations

import torch
from mmengine.dist import all_gather, all_reduce, get_rank
from torch import Tensor


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
    def forward(ctx, rows: Tensor, factor: int) -> Tensor:
        ctx.factor = factor
        return rows.view_as(rows)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.factor, None
