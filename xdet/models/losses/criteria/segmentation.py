"""Set prediction loss of segmentation training (docs/model.md, 8; Mask2Former, arXiv 2112.01527)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.structures import InstanceData
from torch import Tensor, nn

from xdet.models.losses.distributed import mean_over_ranks
from xdet.models.losses.matching.masks import PointMaskLoss
from xdet.models.losses.matching.matcher import HungarianMatcher, assign
from xdet.models.losses.targets import SegmentTargets
from xdet.models.numerics.precision import at_least_single
from xdet.registry import MODELS


def classification_loss(logits: Sequence[Tensor], targets: Sequence[Tensor], no_object_weight: float) -> Tensor:
    """Cross entropy over the queries of all images, each with its own classes; the last column is "no object".

    The weighted mean runs over the whole batch, so with equal vocabularies it equals one call on the stacked logits.

    Args:
        logits (Sequence[Tensor]): ``[No, K_b + 1]`` per image.
        targets (Sequence[Tensor]): ``[No]`` per image, ``K_b`` where a query is unmatched.
        no_object_weight (float): Weight of unmatched queries; matched ones weigh 1.
    """
    groups = defaultdict(list)
    for index, image in enumerate(logits):
        groups[image.shape[1]].append(index)
    total = weights = logits[0].new_zeros(())
    for columns, images in groups.items():
        target = torch.cat([targets[i] for i in images])
        weight = logits[images[0]].new_ones(columns)
        weight[-1] = no_object_weight
        total = total + F.cross_entropy(torch.cat([logits[i] for i in images]), target, weight, reduction='sum')
        weights = weights + weight[target].sum()
    return total / torch.where(weights > 0, weights, 1)  # all are unmatched, and weigh nothing


@MODELS.register_module()
class SegmentationLoss(nn.Module):
    """Classification, mask and dice losses after Hungarian matching, for every prediction layer.

    Everything runs in single precision, also under autocast.

    Args:
        class_weight (float): Weight of the classification loss, and of its matching cost.
        mask_weight (float): Weight of the mask cross entropy, and of its matching cost.
        dice_weight (float): Weight of the dice loss, and of its matching cost.
        no_object_weight (float): Weight of unmatched queries in the classification loss.
        num_points (int): Points per image when matching and per mask in the losses.
        oversample_ratio (float): Candidates per point of importance sampling.
        importance_ratio (float): Share of the points chosen by importance.
        box_loss (dict, optional): Config of :class:`~xdet.models.losses.BoxMaskLoss`, for images whose targets have
            ``boxes`` instead of ``masks``; without it they are an error. Its matching cost replaces those of mask and
            dice for these images.
    """

    def __init__(
        self,
        class_weight: float = 2.0,
        mask_weight: float = 5.0,
        dice_weight: float = 5.0,
        no_object_weight: float = 0.1,
        num_points: int = 12544,
        oversample_ratio: float = 3.0,
        importance_ratio: float = 0.75,
        box_loss: dict | None = None,
    ) -> None:
        super().__init__()
        self.box_loss = MODELS.build(box_loss) if box_loss is not None else None
        self.class_weight = class_weight
        self.mask_weight = mask_weight
        self.dice_weight = dice_weight
        self.no_object_weight = no_object_weight
        self.matcher = HungarianMatcher(class_weight, mask_weight, dice_weight, num_points)
        self.mask_loss = PointMaskLoss(num_points, oversample_ratio, importance_ratio)

    @torch.no_grad()
    def match(
        self,
        mask_embeds: Sequence[Tensor],
        class_logits: Sequence[Sequence[Tensor]],
        mask_features: Tensor,
        targets: SegmentTargets,
    ) -> list[Tensor]:
        """Which query every segment belongs to; arguments and errors as in :meth:`forward`.

        Returns:
            list[Tensor]: ``[L, n]`` int64 per image, -1 where there are more segments than queries.
        """
        targets.check([logits.shape[1] - 1 for logits in class_logits[-1]])
        with torch.autocast(mask_features.device.type, enabled=False):
            features = at_least_single(mask_features)
            embeds = at_least_single(torch.stack(list(mask_embeds), 1))
            costs = []
            for index, (target, masks, name) in enumerate(
                zip(targets.segments, targets.masks, targets.names, strict=True)
            ):
                logits = [at_least_single(layer[index]) for layer in class_logits]
                probability = torch.stack(logits).softmax(-1)[..., target.labels]
                image = embeds[index], features[index]
                if 'boxes' in target:
                    costs.append(self._box_costs(probability, *image, target.boxes, name))
                else:
                    costs.append(self.matcher.costs(probability, *image, masks.to(features.dtype)))
            return assign(costs, targets.names)

    def _box_costs(
        self, probability: Tensor, embeds: Tensor, features: Tensor, boxes: Tensor, name: str
    ) -> dict[str, Tensor]:
        if self.box_loss is None:
            raise ValueError(
                f"{name}: has boxes instead of masks; set SegmentationLoss(box_loss=dict(type='BoxMaskLoss'))"
            )
        return {'class': -self.class_weight * probability, 'box': self.box_loss.cost(embeds, features, boxes)}

    def forward(
        self,
        mask_embeds: Sequence[Tensor],
        class_logits: Sequence[Sequence[Tensor]],
        mask_features: Tensor,
        targets: SegmentTargets,
        matches: Sequence[Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            mask_embeds (Sequence[Tensor]): ``[B, No, C]`` per prediction layer, from the raw queries to the final one.
            class_logits (Sequence[Sequence[Tensor]]): ``[No, K_b + 1]`` per layer and image, last column "no object".
            mask_features (Tensor): ``[B, C, h, w]``, which cover the padded input.
            targets (SegmentTargets): The segments of every image.
            matches (Sequence[Tensor], optional): Result of :meth:`match`, if something else needs it too.

        Returns:
            dict[str, Tensor]: Weighted ``loss_cls``, ``loss_mask`` and ``loss_dice`` of the final layer, and
            ``d{k}.loss_*`` of prediction layer k before it (0: raw queries). With a box loss also its losses.

        Raises:
            ValueError: A target does not fit the vocabulary or the input, or a matching cost is not finite.
        """
        if matches is None:
            matches = self.match(mask_embeds, class_logits, mask_features, targets)
        with torch.autocast(mask_features.device.type, enabled=False):
            features = at_least_single(mask_features)
            embeds = at_least_single(torch.stack(list(mask_embeds), 1))  # [B, L, No, C]
            masks = [mask.to(features.dtype) for mask in targets.masks]
            of_masks = [match[:, : len(mask)] for match, mask in zip(matches, masks, strict=True)]
            num_masks = mean_over_ranks(sum(map(len, masks)), features).clamp(min=1)
            mask_losses = self.mask_loss(embeds, features, masks, of_masks, num_masks)
            box_losses = self._box_losses(embeds, features, targets.segments, matches)
            losses = {}
            for layer, (loss_mask, loss_dice) in enumerate(mask_losses):
                prefix = '' if layer == len(mask_losses) - 1 else f'd{layer}.'
                logits = [at_least_single(image) for image in class_logits[layer]]
                loss_cls = self._class_loss(logits, targets.segments, [match[layer] for match in matches])
                losses[f'{prefix}loss_cls'] = self.class_weight * loss_cls
                losses[f'{prefix}loss_mask'] = self.mask_weight * loss_mask
                losses[f'{prefix}loss_dice'] = self.dice_weight * loss_dice
                losses.update({f'{prefix}{name}': loss for name, loss in box_losses[layer].items()})
        return losses

    def _box_losses(
        self, embeds: Tensor, features: Tensor, targets: Sequence[InstanceData], matches: Sequence[Tensor]
    ) -> list[dict[str, Tensor]]:
        """Losses per layer of the images that have boxes; all ranks compute them, or none."""
        if self.box_loss is None:
            return [{}] * embeds.shape[1]
        rows = [index for index, target in enumerate(targets) if 'boxes' in target]
        boxes = [at_least_single(targets[index].boxes) for index in rows]
        num_boxes = mean_over_ranks(sum(map(len, boxes)), features).clamp(min=1)
        alike = [targets[index].get('alike') for index in rows]
        return self.box_loss(
            embeds[rows],
            [features[index] for index in rows],
            boxes,
            alike,
            [matches[index] for index in rows],
            num_boxes,
        )

    def _class_loss(
        self, logits: Sequence[Tensor], targets: Sequence[InstanceData], matches: Sequence[Tensor]
    ) -> Tensor:
        """Classification loss of one layer; ``matches`` are ``[n]`` per image."""
        labels = []
        for image, target, match in zip(logits, targets, matches, strict=True):
            count = len(image)
            label = match.new_full((count + 1,), image.shape[1] - 1)
            # Segments without a query go to a spare place: choosing the others would wait for the device.
            label.scatter_(0, torch.where(match >= 0, match, count), target.labels)
            labels.append(label[:count])
        return classification_loss(logits, labels, self.no_object_weight)
