"""Loss of referring segmentation: queries are matched with phrases (docs/model.md, 8)."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor, nn

from xdet.models.losses.distributed import mean_over_ranks
from xdet.models.losses.matching.masks import PointMaskLoss
from xdet.models.losses.matching.matcher import HungarianMatcher, assign
from xdet.models.losses.supervision import supervised_layers
from xdet.models.losses.targets import GroundingTargets, pad_masks
from xdet.models.numerics.precision import at_least_single
from xdet.models.similarity import normalize, temperature
from xdet.registry import MODELS


@MODELS.register_module()
class GroundingLoss(nn.Module):
    """Which query belongs to a phrase, and its mask, after Hungarian matching of phrases with phrase queries.

    A phrase chooses among the queries: probabilities are a softmax over queries, in the matching cost and in the cross
    entropy. If several phrases of an image are the same text, each of them belongs equally to the queries of all.

    Everything runs in single precision, also under autocast. Collective: with several ranks all have to call it, also
    those without phrases (the number of masks is averaged over ranks).

    Args:
        class_weight (float): Weight of the cross entropy.
        mask_weight (float): Weight of the mask cross entropy.
        dice_weight (float): Weight of the dice loss.
        text_weight (float): Factor of the cross entropy for images whose phrases are referring expressions.
        class_mode_weight (float): The same for images whose phrases are class names.
        match_weights (Sequence[float]): Weights of class, mask cross entropy and dice in the matching cost.
        num_points (int): Points per image when matching and per mask in the losses.
        oversample_ratio (float): Candidates per point of importance sampling.
        importance_ratio (float): Share of the points chosen by importance.
        num_layers (int): How many of the last predictions are supervised.
        official (bool): As the official code: if one image has no phrases, no image of the batch learns, and means over
            masks and images are those of this rank. By default only images without phrases learn nothing, and means run
            over all ranks, as if one process had seen the whole batch.
    """

    def __init__(
        self,
        class_weight: float = 0.4,
        mask_weight: float = 1.0,
        dice_weight: float = 1.0,
        text_weight: float = 2.0,
        class_mode_weight: float = 0.5,
        match_weights: Sequence[float] = (2.0, 5.0, 5.0),
        num_points: int = 12544,
        oversample_ratio: float = 3.0,
        importance_ratio: float = 0.75,
        num_layers: int = 6,
        official: bool = False,
    ) -> None:
        super().__init__()
        self.class_weight = class_weight
        self.mask_weight = mask_weight
        self.dice_weight = dice_weight
        self.mode_weights = dict(text=text_weight)
        self.mode_weights['class'] = class_mode_weight
        class_cost, mask_cost, dice_cost = match_weights
        self.matcher = HungarianMatcher(class_cost, mask_cost, dice_cost, num_points)
        self.mask_loss = PointMaskLoss(num_points, oversample_ratio, importance_ratio)
        self.num_layers = num_layers
        self.official = official

    def forward(
        self,
        mask_embeds: Sequence[Tensor],
        class_embeds: Sequence[Tensor],
        mask_features: Tensor,
        targets: GroundingTargets,
        logit_scale: Tensor,
    ) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            mask_embeds (Sequence[Tensor]): Phrase queries ``[B, No, C]`` per prediction layer, from the raw queries to
                the final one.
            class_embeds (Sequence[Tensor]): The same queries' class embeddings ``[B, No, C]``.
            mask_features (Tensor): ``[B, C, h, w]``, which cover the padded input.
            targets (GroundingTargets): The phrases of every image.
            logit_scale (Tensor): Logarithm of the factor between cosines and logits.

        Returns:
            dict[str, Tensor]: Weighted ``loss_grounding_cls``, ``loss_grounding_mask`` and ``loss_grounding_dice`` of
            the final layer, and ``d{k}.loss_grounding_*`` of prediction layer k before it.

        Raises:
            ValueError: An image's phrases, identities and masks differ in number, a mask is larger than the input, a
                mode is unknown, or a matching cost is not finite.
        """
        targets.check(tuple(self.mode_weights))
        if self.official and not all(map(len, targets.texts)):
            targets = targets.without_phrases()
        texts = targets.texts
        layers = supervised_layers(len(mask_embeds), self.num_layers)
        with torch.autocast(mask_features.device.type, enabled=False):
            features = at_least_single(mask_features)
            embeds = at_least_single(torch.stack([mask_embeds[layer] for layer in layers], 1))  # [B, L, No, C]
            queries = at_least_single(torch.stack([class_embeds[layer] for layer in layers], 1))
            scale = temperature(logit_scale)
            masks = [pad_masks(mask, targets.input_size, features.dtype) for mask in targets.masks]
            similarities = [
                scale * normalize(query) @ normalize(at_least_single(text)).T
                for query, text in zip(queries, texts, strict=True)
            ]  # [L, No, n] per image
            pairs = zip(similarities, embeds.detach(), features.detach(), masks, strict=True)
            costs = [self.matcher.costs(similarity.detach().softmax(1), *image) for similarity, *image in pairs]
            matches = assign(costs, targets.names)
            cross_entropies = self._cross_entropies(similarities, matches, targets)
            num_masks = self._count(sum(min(len(text), embeds.shape[2]) for text in texts), features)
            mask_losses = self.mask_loss(embeds, features, masks, matches, num_masks)
            losses = {}
            for loss_cls, (loss_mask, loss_dice), prefix in zip(
                cross_entropies, mask_losses, layers.values(), strict=True
            ):
                losses[f'{prefix}loss_grounding_cls'] = self.class_weight * loss_cls
                losses[f'{prefix}loss_grounding_mask'] = self.mask_weight * loss_mask
                losses[f'{prefix}loss_grounding_dice'] = self.dice_weight * loss_dice
        return losses

    def _cross_entropies(
        self, similarities: Sequence[Tensor], matches: Sequence[Tensor], targets: GroundingTargets
    ) -> Tensor:
        """Mean over images ``[L]`` of :func:`phrase_cross_entropy`, weighted by mode."""
        images = [
            self.mode_weights[mode] * phrase_cross_entropy(similarity, match, same)
            for similarity, match, same, mode in zip(
                similarities, matches, targets.identities, targets.modes, strict=True
            )
        ]
        with_phrases = sum(similarity.shape[2] > 0 for similarity in similarities)
        return torch.stack(images).sum(0) / self._count(with_phrases, similarities[0])

    def _count(self, number: int, like: Tensor) -> Tensor:
        """What a sum over ``number`` things of this rank is divided by; 1 if there are none."""
        count = like.new_tensor(float(number)) if self.official else mean_over_ranks(number, like)
        return torch.where(count > 0, count, 1)


def phrase_cross_entropy(similarity: Tensor, match: Tensor, identities: Sequence[Hashable]) -> Tensor:
    """Cross entropy of phrases choosing among queries, mean over the phrases of one image; 0 without phrases.

    Args:
        similarity (Tensor): Logits ``[L, No, n]``.
        match (Tensor): ``[L, n]`` the query of each phrase, -1 where it has none.
        identities (Sequence[Hashable]): Equal for phrases that are the same text.

    Returns:
        Tensor: ``[L]``.
    """
    if not len(identities):
        return similarity.sum((1, 2))
    count = similarity.shape[1]
    # Phrases without a query go to a spare place: choosing the others would wait for the device.
    owned = similarity.new_zeros((len(similarity), count + 1, similarity.shape[2]))
    owned = owned.scatter(1, torch.where(match >= 0, match, count)[:, None], 1.0)[:, :count]
    same = similarity.new_tensor([[left == right for right in identities] for left in identities])
    target = owned @ (same / same.sum(1, keepdim=True))
    return -(target * similarity.log_softmax(1)).sum(1).mean(1)
