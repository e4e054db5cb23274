"""Loss of the points of objects."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xdet.models.losses.distributed import mean_over_ranks
from xdet.models.numerics.precision import at_least_single
from xdet.registry import MODELS


@MODELS.register_module()
class KeypointLoss(nn.Module):
    """Where points are, whether they can be seen, and whether objects have any.

    A heat map is a distribution over the cells of its grid; the target is a Gaussian around the labelled point, and the
    loss their cross entropy. Everything runs in single precision, also under autocast.

    Args:
        sigma (float): Standard deviation of the Gaussian, in cells.
        heat_weight (float): Weight of the cross entropy, averaged over labelled points.
        visible_weight (float): Weight of the binary cross entropy of visibilities, averaged over all points of objects
            with keypoints.
        posed_weight (float): Weight of the binary cross entropy of whether an object has keypoints at all.
    """

    def __init__(
        self, sigma: float = 1.0, heat_weight: float = 1.0, visible_weight: float = 1.0, posed_weight: float = 1.0
    ) -> None:
        super().__init__()
        self.sigma = sigma
        self.heat_weight = heat_weight
        self.visible_weight = visible_weight
        self.posed_weight = posed_weight

    def forward(
        self, heat: Tensor, visible: Tensor, posed: Tensor, places: Tensor, labelled: Tensor, has_pose: Tensor
    ) -> dict[str, Tensor]:
        """Losses of n objects with keypoints, and of m objects of which it is known whether they have some.

        Args:
            heat (Tensor): ``[n, K, S, S]`` logits.
            visible (Tensor): ``[n, K]`` logits.
            posed (Tensor): ``[m]`` logits.
            places (Tensor): ``[n, K, 2]`` x and y on the grid, 0 to 1; elsewhere a heat map learns nothing.
            labelled (Tensor): Bool ``[n, K]``.
            has_pose (Tensor): Bool ``[m]``.

        Returns:
            dict[str, Tensor]: ``loss_keypoints``, ``loss_visible`` and ``loss_posed``.
        """
        with torch.autocast(heat.device.type, enabled=False):
            heat, visible, posed = (at_least_single(logits) for logits in (heat, visible, posed))
            targets = gaussians(places.to(heat.dtype), heat.shape[-1], self.sigma)
            entropy = -(targets * heat.flatten(2).log_softmax(-1)).sum(-1)
            counted = labelled & ((places >= 0) & (places <= 1)).all(-1)
            points = mean_over_ranks(float(counted.sum()), heat).clamp(min=1)
            all_points = mean_over_ranks(labelled.numel(), heat).clamp(min=1)
            objects = mean_over_ranks(has_pose.numel(), heat).clamp(min=1)
            bce = F.binary_cross_entropy_with_logits
            return dict(
                loss_keypoints=self.heat_weight * torch.where(counted, entropy, 0).sum() / points,
                loss_visible=self.visible_weight * bce(visible, labelled.to(heat.dtype), reduction='sum') / all_points,
                loss_posed=self.posed_weight * bce(posed, has_pose.to(heat.dtype), reduction='sum') / objects,
            )


def gaussians(places: Tensor, size: int, sigma: float) -> Tensor:
    """Distributions ``[n, K, S * S]`` over the cells of a grid, around points ``[n, K, 2]`` (x, y, 0 to 1)."""
    centres = torch.arange(size, device=places.device, dtype=places.dtype) + 0.5
    distances = (centres - size * places[..., None]) / sigma  # [n, K, 2, S]
    columns, rows = (-(distances**2) / 2).softmax(-1).unbind(-2)
    return (rows[..., :, None] * columns[..., None, :]).flatten(-2)
