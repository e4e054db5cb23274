"""Set prediction loss of segmentation training (docs/model.md, 7; Mask2Former, arXiv 2112.01527)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce
from mmengine.structures import InstanceData
from torch import Tensor, nn

from xdet.registry import MODELS

from . import points as point_sampling
from .matcher import HungarianMatcher


def mask_bce_loss(logits: Tensor, targets: Tensor, num_masks: Tensor) -> Tensor:
    """Binary cross entropy, mean over points and summed over masks ``[n, P]`` / ``num_masks``."""
    return F.binary_cross_entropy_with_logits(logits, targets, reduction='none').mean(1).sum() / num_masks


def dice_loss(logits: Tensor, targets: Tensor, num_masks: Tensor) -> Tensor:
    """Dice distance without squares, smoothed by one point; summed over masks ``[n, P]`` / ``num_masks``."""
    probability = logits.sigmoid()
    overlap = 2 * (probability * targets).sum(1)
    return (1 - (overlap + 1) / (probability.sum(1) + targets.sum(1) + 1)).sum() / num_masks


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
    total = weights = 0.0
    for columns, images in groups.items():
        target = torch.cat([targets[i] for i in images])
        weight = logits[images[0]].new_ones(columns)
        weight[-1] = no_object_weight
        total = total + F.cross_entropy(torch.cat([logits[i] for i in images]), target, weight, reduction='sum')
        weights = weights + weight[target].sum()
    return total / weights


@MODELS.register_module()
class SegmentationLoss(nn.Module):
    """Classification, mask and dice losses after Hungarian matching, for every prediction layer.

    Everything runs in single precision, also under autocast. Full masks are made for matched queries only.

    Args:
        class_weight (float): Weight of the classification loss, and of its matching cost.
        mask_weight (float): Weight of the mask cross entropy, and of its matching cost.
        dice_weight (float): Weight of the dice loss, and of its matching cost.
        no_object_weight (float): Weight of unmatched queries in the classification loss.
        num_points (int): Points per image when matching and per mask in the losses.
        oversample_ratio (float): Candidates per point of importance sampling.
        importance_ratio (float): Share of the points chosen by importance.
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
    ) -> None:
        super().__init__()
        if num_points < 1 or oversample_ratio < 1 or not 0 <= importance_ratio <= 1:
            raise ValueError(
                f'SegmentationLoss: num_points={num_points}, oversample_ratio={oversample_ratio}, '
                f'importance_ratio={importance_ratio}; accepted are num_points >= 1, oversample_ratio >= 1 and '
                'importance_ratio in [0, 1]'
            )
        self.class_weight = class_weight
        self.mask_weight = mask_weight
        self.dice_weight = dice_weight
        self.no_object_weight = no_object_weight
        self.num_points = num_points
        self.oversample_ratio = oversample_ratio
        self.importance_ratio = importance_ratio
        self.matcher = HungarianMatcher(class_weight, mask_weight, dice_weight, num_points)

    def forward(
        self,
        mask_embeds: Sequence[Tensor],
        class_logits: Sequence[Sequence[Tensor]],
        mask_features: Tensor,
        targets: Sequence[InstanceData],
        input_size: tuple[int, int],
        names: Sequence[str] | None = None,
    ) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            mask_embeds (Sequence[Tensor]): ``[B, No, C]`` per prediction layer, from the raw queries to the final one.
            class_logits (Sequence[Sequence[Tensor]]): ``[No, K_b + 1]`` per layer and image, last column "no object".
            mask_features (Tensor): ``[B, C, h, w]``.
            targets (Sequence[InstanceData]): Per image ``masks`` bool ``[n, H_b, W_b]`` without padding and ``labels``
                int64 ``[n]``; n may be 0.
            input_size (tuple[int, int]): Padded ``(height, width)`` of the batch, what ``mask_features`` cover.
            names (Sequence[str], optional): What to call the images in errors, such as their paths.

        Returns:
            dict[str, Tensor]: Weighted ``loss_cls``, ``loss_mask`` and ``loss_dice`` of the final layer, and
            ``d{k}.loss_*`` of prediction layer k before it (0: raw queries).

        Raises:
            ValueError: A target does not fit the vocabulary or the input, or a matching cost is not finite.
        """
        names = names or [f'image {index} of the batch' for index in range(len(targets))]
        with torch.autocast(mask_features.device.type, enabled=False):
            features = _at_least_single(mask_features)
            embeds = _at_least_single(torch.stack(list(mask_embeds), 1))  # [B, L, No, C]
            logits = [[_at_least_single(image) for image in layer] for layer in class_logits]
            for target, image, name in zip(targets, logits[-1], names, strict=True):
                _check_target(target, image.shape[1] - 1, input_size, name)
            masks = [_pad_masks(target.masks, input_size, features.dtype) for target in targets]
            matches = [
                self.matcher([layer[b] for layer in logits], embeds[b], features[b], targets[b].labels, masks[b], name)
                for b, name in enumerate(names)
            ]
            mask_losses = self._mask_losses(embeds, features, masks, matches)
            losses = {}
            for layer, (loss_mask, loss_dice) in enumerate(mask_losses):
                prefix = '' if layer == len(mask_losses) - 1 else f'd{layer}.'
                loss_cls = self._class_loss(logits[layer], targets, [match[layer] for match in matches])
                losses[f'{prefix}loss_cls'] = self.class_weight * loss_cls
                losses[f'{prefix}loss_mask'] = self.mask_weight * loss_mask
                losses[f'{prefix}loss_dice'] = self.dice_weight * loss_dice
        return losses

    def _class_loss(
        self, logits: Sequence[Tensor], targets: Sequence[InstanceData], matches: Sequence[Tensor]
    ) -> Tensor:
        """Classification loss of one layer; ``matches`` are ``[n]`` per image."""
        labels = []
        for image, target, match in zip(logits, targets, matches, strict=True):
            label = match.new_full(image.shape[:1], image.shape[1] - 1)
            found = match >= 0
            label[match[found]] = target.labels[found]
            labels.append(label)
        return classification_loss(logits, labels, self.no_object_weight)

    def _mask_losses(
        self, embeds: Tensor, features: Tensor, masks: Sequence[Tensor], matches: Sequence[Tensor]
    ) -> list[tuple[Tensor, Tensor]]:
        """Cross entropy and dice losses of every layer.

        Args:
            embeds (Tensor): ``[B, L, No, C]``.
            features (Tensor): ``[B, C, h, w]``.
            masks (Sequence[Tensor]): ``[n, H, W]`` float per image.
            matches (Sequence[Tensor]): ``[L, n]`` per image.
        """
        # One product per image makes the masks of all layers; without segments it is empty but stays in the graph, so
        # that distributed training sees every parameter.
        layers = torch.arange(embeds.shape[1], device=embeds.device)[:, None]
        logits = [
            (embed[layers, match.clamp(min=0)] @ feature.flatten(1)).unflatten(-1, feature.shape[1:])
            for embed, feature, match in zip(embeds, features, matches, strict=True)
        ]
        num_masks = features.new_tensor(float(sum(map(len, masks))))
        all_reduce(num_masks, op='mean')
        num_masks = num_masks.clamp(min=1)
        too_many = any(len(image) > embeds.shape[2] for image in masks)
        masks = torch.cat(list(masks))[:, None]
        losses = []
        for layer in range(embeds.shape[1]):
            layer_logits, layer_masks = torch.cat([image[layer] for image in logits]), masks
            if too_many:  # more segments than queries
                found = torch.cat([match[layer] for match in matches]) >= 0
                layer_logits, layer_masks = layer_logits[found], masks[found]
            losses.append(self._layer_mask_losses(layer_logits, layer_masks, num_masks))
        return losses

    def _layer_mask_losses(self, logits: Tensor, masks: Tensor, num_masks: Tensor) -> tuple[Tensor, Tensor]:
        """Losses of matched masks: logits ``[M, h, w]`` against masks ``[M, 1, H, W]``."""
        if not len(logits):
            return logits.sum(), logits.sum()
        points = point_sampling.uncertain_points(logits, self.num_points, self.oversample_ratio, self.importance_ratio)
        predicted = point_sampling.sample_points(logits[:, None], points)[:, 0]
        expected = point_sampling.sample_points(masks, points)[:, 0]
        return mask_bce_loss(predicted, expected, num_masks), dice_loss(predicted, expected, num_masks)


def _at_least_single(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _pad_masks(masks: Tensor, size: tuple[int, int], dtype: torch.dtype) -> Tensor:
    height, width = masks.shape[-2:]
    return F.pad(masks.to(dtype), (0, size[1] - width, 0, size[0] - height))


def _check_target(target: InstanceData, num_classes: int, size: tuple[int, int], name: str) -> None:
    labels, masks = target.labels, target.masks
    if len(labels) != len(masks):
        raise ValueError(f'{name}: {len(masks)} masks but {len(labels)} labels; a segment needs one of each')
    if masks.shape[-2] > size[0] or masks.shape[-1] > size[1]:
        raise ValueError(f'{name}: masks of {tuple(masks.shape[-2:])} do not fit into the padded input {tuple(size)}')
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < num_classes:
        raise ValueError(
            f'{name}: labels run from {int(labels.min())} to {int(labels.max())} but its vocabulary has '
            f'{num_classes} classes (0 to {num_classes - 1})'
        )
