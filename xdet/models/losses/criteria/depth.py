"""Loss of depth maps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from xdet.models.losses.distributed import mean_over_ranks
from xdet.models.numerics.precision import at_least_single
from xdet.registry import MODELS


@MODELS.register_module()
class SILogLoss(nn.Module):
    """Scale-invariant error of logarithms (Eigen et al., arXiv 1406.2283, equation 4), averaged over images.

    With d the differences of logarithms at the n pixels of an image whose depth is known, it is mean(d^2) -
    ``invariance`` * mean(d)^2. Images without a known depth teach nothing.

    Args:
        invariance (float): 1 ignores a common factor of all depths of an image, 0 minds it as any other error.
        loss_weight (float): Weight.

    Raises:
        ValueError: ``invariance`` is not from 0 to 1.
    """

    def __init__(self, invariance: float = 0.5, loss_weight: float = 1.0) -> None:
        super().__init__()
        if not 0 <= invariance <= 1:
            raise ValueError(f'SILogLoss: invariance is {invariance}; accepted are numbers from 0 to 1')
        self.invariance = invariance
        self.loss_weight = loss_weight

    def forward(self, log_depth: Sequence[Tensor], depth: Sequence[Tensor]) -> dict[str, Tensor]:
        """Loss of some images.

        Args:
            log_depth (Sequence[Tensor]): ``[H, W]`` predicted logarithms per image.
            depth (Sequence[Tensor]): ``[H, W]`` true depths; not known where they are not positive numbers.

        Returns:
            dict[str, Tensor]: ``loss_depth``.
        """
        terms, count = [], 0
        with torch.autocast(log_depth[0].device.type, enabled=False):
            for found, true in zip(log_depth, depth, strict=True):
                found = at_least_single(found)
                known = (true > 0) & torch.isfinite(true)
                if not known.any():
                    terms.append(0 * found.sum())
                    continue
                difference = found[known] - true[known].to(found.dtype).log()
                terms.append((difference**2).mean() - self.invariance * difference.mean() ** 2)
                count += 1
            total = torch.stack(terms).sum()
            return dict(loss_depth=self.loss_weight * total / mean_over_ranks(float(count), total).clamp(min=1))
