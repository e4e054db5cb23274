"""Pixels that are compared with the names of classes themselves, beside the queries."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xdet.registry import MODELS

from .losses.distributed import mean_over_ranks
from .losses.targets import SegmentTargets
from .precision import at_least_single
from .similarity import cosine_logits


@MODELS.register_module()
class PixelNames(nn.Module):
    """Embeds the pixels of memory maps among the names of classes.

    In small trainings masks are learned at once and names slowly, because one query per segment learns its name. Here
    every pixel of a segment does (pixels against texts: arXiv 2201.03546). At inference the names of a query's pixels
    may have a say in its name (geometric mixture of pooled features: arXiv 2308.02487); whether there is an object
    remains the query's own business. Not part of the paper's model.

    With ``joined`` they have it in training, too: what a query's pixels say is added to its class logits before it is
    matched and its loss computed, so that a query has to learn of names only what its pixels do not know.

    The coarsest map matters most: all that the deepest map of the backbone knows of names reaches the decoder through
    it, and a pixel decoder that only masks have taught does not pass it on.

    Args:
        channels (int): Channels of the memory maps.
        embed_dims (int): Channels of text embeddings.
        levels (Sequence[int]): Which memory maps, 0 being the coarsest; each has a projection of its own.
        weight (float): Weight of the loss.
        void_weight (float): Weight of pixels without a segment, which learn to be no object. 0 where such pixels are
            unlabelled rather than background. Padding has no segment either.
        share (float): Say of the pixels in the names of queries at inference, in [0, 1]; 0 changes nothing.
        joined (bool): Add what the pixels say to the class logits, in training and at inference, in place of the
            mixture by ``share``.

    Raises:
        ValueError: A share or weight is out of range.
    """

    def __init__(
        self,
        channels: int,
        embed_dims: int,
        levels: Sequence[int] = (0, 2),
        weight: float = 1.0,
        void_weight: float = 0.0,
        share: float = 0.0,
        joined: bool = False,
    ) -> None:
        super().__init__()
        if not (0 <= share <= 1 and weight >= 0 and void_weight >= 0):
            raise ValueError(
                f'PixelNames: share={share}, weight={weight}, void_weight={void_weight}; accepted are a share in '
                '[0, 1] and weights of at least 0'
            )
        self.projections = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, 2 * channels, 1), nn.ReLU(), nn.Conv2d(2 * channels, embed_dims, 1))
            for _ in levels
        )
        self.levels = tuple(levels)
        self.weight = weight
        self.void_weight = void_weight
        self.share = share
        self.joined = joined

    def forward(self, memory: Sequence[Tensor]) -> list[Tensor]:
        """Embeddings ``[B, h * w, C]`` of the pixels of every level, from all maps ``[B, channels, h, w]``."""
        maps = [at_least_single(memory[level]) for level in self.levels]
        return [
            project(level).flatten(2).transpose(1, 2) for project, level in zip(self.projections, maps, strict=True)
        ]

    def loss(
        self, memory: Sequence[Tensor], texts: Sequence[Tensor], targets: SegmentTargets, logit_scale: Tensor
    ) -> dict[str, Tensor]:
        """Cross entropy of pixels and names, mean over levels; every segment weighs the same, whatever its area.

        Collective: with several ranks all have to call it.

        Args:
            memory (Sequence[Tensor]): Maps ``[B, channels, h, w]``, which cover the padded input.
            texts (Sequence[Tensor]): ``[K_b + 1, C]`` normalised per image, "no object" last.
            targets (SegmentTargets): Their segments; those with boxes instead of masks are left out.
            logit_scale (Tensor): Logarithm of the factor between cosines and logits.

        Returns:
            dict[str, Tensor]: Weighted ``loss_pixel_names``.
        """
        with torch.autocast(logit_scale.device.type, enabled=False):
            total = logit_scale.new_zeros(())
            for level, embeddings in zip(self.levels, self(memory), strict=True):
                total = total + 0 * embeddings.sum()  # so that all ranks have gradients, also without segments
                size = _size(memory[level])
                for pixels, text, target, masks in zip(embeddings, texts, targets.segments, targets.masks, strict=True):
                    if 'boxes' not in target:
                        total = total + self._surprise(pixels, text, target.labels, masks, size, logit_scale)
            count = mean_over_ranks(sum(map(len, targets.masks)), logit_scale).clamp(min=1)
            return {'loss_pixel_names': self.weight * total / (len(self.levels) * count)}

    def _surprise(
        self, pixels: Tensor, text: Tensor, labels: Tensor, masks: Tensor, size: tuple[int, int], logit_scale: Tensor
    ) -> Tensor:
        """Sum over the segments of an image, and what void adds."""
        surprise = -cosine_logits(pixels, text, logit_scale).log_softmax(-1)  # [hw, K + 1]
        area = F.adaptive_avg_pool2d(masks, size).flatten(1)  # [n, hw]
        total = ((area * surprise.T[labels]).sum(1) / area.sum(1).clamp(min=1e-6)).sum()
        if self.void_weight:
            void = (1 - area.sum(0)).clamp(min=0)
            total = total + self.void_weight * (void * surprise[:, -1]).sum() / void.sum().clamp(min=1)
        return total

    def join(
        self,
        logits: Tensor,
        mask_embeds: Tensor,
        mask_features: Tensor,
        memory: Sequence[Tensor],
        text: Tensor,
        logit_scale: Tensor,
    ) -> Tensor:
        """Class logits of the queries of an image with what the pixels under their masks say, for ``joined``.

        Names move the pixels, not the masks.

        Args:
            logits (Tensor): ``[..., n, K + 1]``, "no object" last.
            mask_embeds (Tensor): ``[..., n, C]``.
            mask_features (Tensor): ``[C, H, W]``.
            memory (Sequence[Tensor]): Maps ``[channels, h, w]`` of the image.
            text (Tensor): ``[K + 1, C]`` normalised.
            logit_scale (Tensor): As in :meth:`loss`.

        Returns:
            Tensor: ``[..., n, K + 1]``: logarithms of probabilities among the names are added, to "no object" nothing.
        """
        with torch.autocast(logits.device.type, enabled=False):
            pooled = logits.new_zeros(())
            for level, embeddings in zip(self.levels, self([of_level[None] for of_level in memory]), strict=True):
                with torch.no_grad():
                    features = F.adaptive_avg_pool2d(at_least_single(mask_features), _size(memory[level]))
                    inside = (at_least_single(mask_embeds) @ features.flatten(1)).sigmoid()
                    inside = inside / inside.sum(-1, keepdim=True).clamp(min=1e-6)
                pooled = pooled + inside @ cosine_logits(embeddings[0], text[:-1], logit_scale) / len(self.levels)
            return logits + F.pad(pooled.log_softmax(-1), (0, 1))

    def mix(self, logits: Tensor, masks: Tensor, memory: Sequence[Tensor], text: Tensor, logit_scale: Tensor) -> Tensor:
        """Class logits of queries in which their pixels have a say.

        Args:
            logits (Tensor): ``[n, K + 1]`` of the queries, "no object" last.
            masks (Tensor): Mask logits ``[n, H, W]`` of the queries over the padded input, of any resolution.
            memory (Sequence[Tensor]): Maps ``[channels, h, w]`` of the image.
            text (Tensor): ``[K + 1, C]`` normalised.
            logit_scale (Tensor): As in :meth:`loss`.

        Returns:
            Tensor: ``[n, K + 1]``; the probability that there is an object is as before.
        """
        pooled = logits.new_zeros(())
        for level, embeddings in zip(self.levels, self([of_level[None] for of_level in memory]), strict=True):
            inside = F.adaptive_avg_pool2d(at_least_single(masks).sigmoid(), _size(memory[level])).flatten(1)
            inside = torch.where(inside > 0.5, inside, 1e-4 * inside)  # a query without a mask still has pixels
            inside = inside / inside.sum(1, keepdim=True).clamp(min=1e-12)
            pooled = pooled + inside @ cosine_logits(embeddings[0], text[:-1], logit_scale) / len(self.levels)
        own, there = logits[:, :-1].log_softmax(-1), logits[:, :-1].logsumexp(-1, keepdim=True)
        mixed = ((1 - self.share) * own + self.share * pooled.log_softmax(-1)).log_softmax(-1) + there
        return torch.cat([mixed, logits[:, -1:]], -1)


def _size(level: Tensor) -> tuple[int, int]:
    height, width = level.shape[-2:]
    return height, width
