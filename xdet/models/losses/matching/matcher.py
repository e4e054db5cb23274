"""Hungarian matching of queries to targets (docs/model.md, 8; DETR, arXiv 2005.12872)."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from . import points as point_sampling


def bce_cost(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean binary cross entropy of every mask with every target.

    With ``softplus(x) = BCE(x, 0)`` and ``BCE(x, 1) = softplus(x) - x`` the sum over points needs one product.

    Args:
        logits (Tensor): ``[..., Q, P]``.
        targets (Tensor): ``[n, P]`` in [0, 1].

    Returns:
        Tensor: ``[..., Q, n]``.
    """
    return (F.softplus(logits).sum(-1, keepdim=True) - logits @ targets.T) / logits.shape[-1]


def dice_cost(logits: Tensor, targets: Tensor) -> Tensor:
    """Dice distance, smoothed by one point, of every mask with every target; shapes as in :func:`bce_cost`."""
    probability = logits.sigmoid()
    total = probability.sum(-1, keepdim=True) + targets.sum(-1)
    return 1 - (2 * (probability @ targets.T) + 1) / (total + 1)


def assign(costs: Sequence[Mapping[str, Tensor]], names: Sequence[str]) -> list[Tensor]:
    """Cheapest one-to-one assignment of every image, in every layer on its own.

    Costs go to the host and matches to the device together, for all images at once.

    Args:
        costs (Sequence[Mapping[str, Tensor]]): Per image the terms ``[L, Q, n]`` of the cost, by the name errors call
            them.
        names (Sequence[str]): What to call the images in errors.

    Returns:
        list[Tensor]: ``[L, n]`` int64 per image on the device of the costs: the query of each target, or -1 where there
        are more targets than queries.

    Raises:
        ValueError: A cost is not finite.
    """
    totals = [functools.reduce(torch.add, terms.values()).detach() for terms in costs]
    if not totals:
        return []
    host = torch.cat([total.flatten() for total in totals]).cpu().split([total.numel() for total in totals])
    matches = []
    for terms, total, values, name in zip(costs, totals, host, names, strict=True):
        array = values.view(total.shape).numpy()
        if not np.isfinite(array).all():
            raise ValueError(_describe_invalid(terms, name))
        matched = np.full((total.shape[0], total.shape[2]), -1)
        for layer, cost in enumerate(array if total.numel() else ()):
            query, target = linear_sum_assignment(cost)
            matched[layer, target] = query
        matches.append(torch.from_numpy(matched))
    found = torch.cat([match.flatten() for match in matches]).to(totals[0].device)
    sizes = [match.numel() for match in matches]
    return [part.view(match.shape) for part, match in zip(found.split(sizes), matches, strict=True)]


class HungarianMatcher:
    """Assigns to each target mask of an image the query that predicts it best, in every prediction layer on its own.

    The cost of a pair is ``class_weight * -probability + mask_weight * BCE + dice_weight * dice`` with the mask terms
    at uniformly random points. An image's points are drawn once and shared by its masks and layers.

    Args:
        class_weight (float): Weight of the class term.
        mask_weight (float): Weight of the binary cross entropy.
        dice_weight (float): Weight of the dice term.
        num_points (int): Points per image.
    """

    def __init__(
        self,
        class_weight: float = 2.0,
        mask_weight: float = 5.0,
        dice_weight: float = 5.0,
        num_points: int = 12544,
    ) -> None:
        self.class_weight = class_weight
        self.mask_weight = mask_weight
        self.dice_weight = dice_weight
        self.num_points = num_points

    @torch.no_grad()
    def __call__(
        self, probability: Tensor, mask_embed: Tensor, mask_features: Tensor, masks: Tensor, name: str = 'image'
    ) -> Tensor:
        """Match one image in all its prediction layers.

        Args:
            probability (Tensor): ``[L, No, n]``, of every query for what every target is.
            mask_embed (Tensor): ``[L, No, C]``.
            mask_features (Tensor): ``[C, h, w]``.
            masks (Tensor): ``[n, H, W]`` float masks in padded input size.
            name (str): What to call the image in errors.

        Returns:
            Tensor: ``[L, n]`` int64 on the device of the masks: the query of each target, or -1 where there are more
            targets than queries.

        Raises:
            ValueError: A cost is not finite.
        """
        return assign([self.costs(probability, mask_embed, mask_features, masks)], [name])[0]

    @torch.no_grad()
    def costs(self, probability: Tensor, mask_embed: Tensor, mask_features: Tensor, masks: Tensor) -> dict[str, Tensor]:
        """Weighted cost terms ``[L, No, n]`` by name; arguments as in a call. Without masks no points are drawn."""
        if not len(masks):
            return {'class': -self.class_weight * probability}
        sets = point_sampling.uniform_points(1, self.num_points, masks.device, masks.dtype)
        targets = point_sampling.sample_points(masks[None], sets)[0]
        logits = point_sampling.sample_mask_logits(mask_embed.flatten(0, 1), mask_features, sets[0])
        logits = logits.view(*mask_embed.shape[:2], -1)
        return {
            'class': -self.class_weight * probability,
            'mask': self.mask_weight * bce_cost(logits, targets),
            'dice': self.dice_weight * dice_cost(logits, targets),
        }


def _describe_invalid(costs: Mapping[str, Tensor], name: str) -> str:
    parts = []
    for term, cost in costs.items():
        layers = (~cost.isfinite()).flatten(1).any(1).nonzero().flatten().tolist()
        if layers:
            parts.append(f'{term} cost in prediction layers {layers}')
    return (
        f'{name}: matching needs finite costs but found NaN or infinity in the {", ".join(parts)}; the model has '
        'diverged (lower the learning rate, check gradient clipping and mixed precision) or its weights are damaged'
    )
