"""Losses at sampled points instead of every pixel (PointRend, arXiv 1912.08193; Mask2Former, arXiv 2112.01527, 3.3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def uniform_points(num_sets: int, num_points: int, device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    """Uniformly distributed points ``[num_sets, num_points, 2]`` as (x, y) in [0, 1).

    The only source of randomness of the losses: torch's global generator of ``device``, which the training loop seeds
    before every iteration.
    """
    return torch.rand(num_sets, num_points, 2, device=device, dtype=dtype)


def sample_points(maps: Tensor, points: Tensor) -> Tensor:
    """Read maps at points, bilinearly; outside of a map is zero.

    Args:
        maps (Tensor): ``[N, C, H, W]``.
        points (Tensor): ``[N, P, 2]``, (x, y) in [0, 1] from the outer edge of the first to that of the last pixel.

    Returns:
        Tensor: ``[N, C, P]``.
    """
    grid = 2.0 * points[:, None] - 1.0
    return F.grid_sample(maps, grid, mode='bilinear', padding_mode='zeros', align_corners=False)[:, :, 0]


def sample_mask_logits(embed: Tensor, features: Tensor, points: Tensor) -> Tensor:
    """Mask logits of one image at points that all its masks share.

    Bilinear sampling is linear, so ``sample(embed . features) = embed . sample(features)``. Whichever order multiplies
    less is taken: for a large image the features are sampled first, so full-size masks are never made.

    Args:
        embed (Tensor): Mask embeddings ``[Q, C]``.
        features (Tensor): Mask features ``[C, h, w]``.
        points (Tensor): ``[P, 2]``.

    Returns:
        Tensor: ``[Q, P]``.
    """
    height, width = features.shape[-2:]
    if height * width < len(points):
        masks = (embed @ features.flatten(1)).view(1, -1, height, width)
        return sample_points(masks, points[None])[0]
    return embed @ sample_points(features[None], points[None])[0]


@torch.no_grad()
def uncertain_points(logits: Tensor, num_points: int, oversample_ratio: float, importance_ratio: float) -> Tensor:
    """Points at which to supervise masks: mostly where the prediction is undecided, the rest anywhere.

    ``oversample_ratio * num_points`` candidates are drawn per mask; the ``importance_ratio * num_points`` of them with
    logits closest to zero are kept and filled up with new random points.

    Args:
        logits (Tensor): ``[N, h, w]``.
        num_points (int): Points per mask.
        oversample_ratio (float): Candidates per point, at least 1.
        importance_ratio (float): Share of the points chosen by uncertainty, in [0, 1].

    Returns:
        Tensor: ``[N, num_points, 2]``.
    """
    count = len(logits)
    num_candidates = int(num_points * oversample_ratio)
    num_uncertain = int(importance_ratio * num_points)
    candidates = uniform_points(count, num_candidates, logits.device, logits.dtype)
    distance = sample_points(logits[:, None], candidates)[:, 0].abs_()
    nearest = distance.topk(num_uncertain, dim=1, largest=False, sorted=False).indices
    chosen = candidates.gather(1, nearest[..., None].expand(-1, -1, 2))
    if num_uncertain == num_points:
        return chosen
    anywhere = uniform_points(count, num_points - num_uncertain, logits.device, logits.dtype)
    return torch.cat([chosen, anywhere], dim=1)
