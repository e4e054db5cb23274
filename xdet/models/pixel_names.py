"""Pixels that are compared with the names of classes themselves, beside the queries."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xdet.registry import MODELS
from xdet.structures import ImageFeatures

from .losses.distributed import mean_over_ranks
from .losses.targets import SegmentTargets
from .numerics.precision import at_least_single
from .similarity import cosine_logits, geometric_mixture


@MODELS.register_module()
class PixelNames(nn.Module):
    """Embeds the pixels of feature maps among the names of classes.

    In small trainings masks are learned at once and names slowly, because one query per segment learns its name. Here
    every pixel of a segment does (pixels against texts: arXiv 2201.03546). At inference the pixels under a query's mask
    may have a say in its name (geometric mixture of pooled features: arXiv 2308.02487); whether there is an object
    remains the query's own business. Not part of the paper's model.

    With ``joined`` they have it in training, too: what they say is added to the class logits of the queries before
    these are matched and their losses computed. So a query has to learn of names only what its pixels do not know.

    Two maps matter most. All that the deepest map of the backbone knows of names reaches the decoder through the
    coarsest memory map, and a pixel decoder that only masks have taught does not pass it on. And a pretrained backbone
    knows names better than any query that few images have taught.

    Args:
        embed_dims (int): Channels of text embeddings.
        maps (Mapping[str, int]): Feature maps and their channels: ``memory_0`` is the coarsest memory map of the
            decoder, ``backbone_3`` the deepest map of a backbone with four. Each has a projection of its own.
        heard (Sequence[str], optional): Maps whose pixels have a say at inference; by default all of ``maps``.
        weight (float): Weight of the loss.
        void_weight (float): Weight of pixels without a segment, which learn to be no object. 0 where such pixels are
            unlabelled rather than background. Padding has no segment either.
        share (float): Say of the pixels in the names of queries at inference, in [0, 1]; 0 changes nothing.
        joined (bool): Add what the pixels say to the class logits, in training and at inference, in place of the
            mixture by ``share``.

    Raises:
        ValueError: A share or weight is out of range, or a map has no such name.
    """

    def __init__(
        self,
        embed_dims: int,
        maps: Mapping[str, int],
        heard: Sequence[str] | None = None,
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
        for name in maps:
            if not re.fullmatch(r'(memory|backbone)_\d', name):
                raise ValueError(f"PixelNames: maps has {name!r}; accepted are names such as 'memory_0', 'backbone_3'")
        if unknown := set(heard or ()) - set(maps):
            raise ValueError(f'PixelNames: heard names {sorted(unknown)}; accepted are the maps {sorted(maps)}')
        self.projections = nn.ModuleDict(
            {
                name: nn.Sequential(nn.Conv2d(channels, 256, 1), nn.ReLU(), nn.Conv2d(256, embed_dims, 1))
                for name, channels in maps.items()
            }
        )
        self.heard = tuple(maps if heard is None else heard)
        self.weight = weight
        self.void_weight = void_weight
        self.share = share
        self.joined = joined

    def embed(self, name: str, features: ImageFeatures) -> tuple[Tensor, tuple[int, int]]:
        """Embeddings ``[B, h * w, C]`` of the pixels of a map, and its size."""
        kind, level = name.split('_')
        pixels = at_least_single(getattr(features, kind)[int(level)])
        height, width = pixels.shape[-2:]
        return self.projections[name](pixels).flatten(2).transpose(1, 2), (height, width)

    def loss(
        self, features: ImageFeatures, texts: Sequence[Tensor], targets: SegmentTargets, logit_scale: Tensor
    ) -> dict[str, Tensor]:
        """Cross entropy of pixels and names, mean over maps; every segment weighs the same, whatever its area.

        Collective: with several ranks all have to call it.

        Args:
            features (ImageFeatures): Of B images; they cover the padded input.
            texts (Sequence[Tensor]): ``[K_b + 1, C]`` normalised per image, "no object" last.
            targets (SegmentTargets): Their segments; those with boxes instead of masks are left out.
            logit_scale (Tensor): Logarithm of the factor between cosines and logits.

        Returns:
            dict[str, Tensor]: Weighted ``loss_pixel_names``.
        """
        with torch.autocast(logit_scale.device.type, enabled=False):
            total = logit_scale.new_zeros(())
            for name in self.projections:
                embeddings, size = self.embed(name, features)
                total = total + 0 * embeddings.sum()  # so that all ranks have gradients, also without segments
                for pixels, text, target, masks in zip(embeddings, texts, targets.segments, targets.masks, strict=True):
                    if 'boxes' not in target:
                        total = total + self._surprise(pixels, text, target.labels, masks, size, logit_scale)
            count = mean_over_ranks(sum(map(len, targets.masks)), logit_scale).clamp(min=1)
            return {'loss_pixel_names': self.weight * total / (len(self.projections) * count)}

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
        logits: Sequence[Tensor],
        mask_embeds: Tensor,
        features: ImageFeatures,
        texts: Sequence[Tensor],
        logit_scale: Tensor,
    ) -> list[Tensor]:
        """Class logits of queries with what the pixels under their masks say, for ``joined``.

        Names move the pixels, not the masks.

        Args:
            logits (Sequence[Tensor]): ``[..., n, K_b + 1]`` per image, "no object" last.
            mask_embeds (Tensor): ``[B, ..., n, C]``.
            features (ImageFeatures): Of the B images.
            texts (Sequence[Tensor]): ``[K_b + 1, C]`` normalised per image.
            logit_scale (Tensor): As in :meth:`loss`.

        Returns:
            list[Tensor]: Shapes of ``logits``: logarithms of probabilities among the names are added, to "no object"
            nothing.
        """
        with torch.autocast(logit_scale.device.type, enabled=False):
            said = [logit_scale.new_zeros(())] * len(texts)
            for name in self.heard:
                embeddings, size = self.embed(name, features)
                with torch.no_grad():
                    small = F.adaptive_avg_pool2d(at_least_single(features.mask_features), size).flatten(2)
                    insides = [
                        (at_least_single(own) @ pixels).sigmoid()
                        for own, pixels in zip(mask_embeds, small, strict=True)
                    ]
                for index, (inside, text) in enumerate(zip(insides, texts, strict=True)):
                    share = inside / inside.sum(-1, keepdim=True).clamp(min=1e-6)
                    pixels = cosine_logits(embeddings[index], text[:-1], logit_scale)
                    said[index] = said[index] + share @ pixels / len(self.heard)
            return [own + F.pad(more.log_softmax(-1), (0, 1)) for own, more in zip(logits, said, strict=True)]

    def mix(
        self, logits: Tensor, mask_embeds: Tensor, features: ImageFeatures, text: Tensor, logit_scale: Tensor
    ) -> Tensor:
        """Class logits of the queries of an image, in which the pixels under their masks have a say.

        Args:
            logits (Tensor): ``[n, K + 1]`` of the queries, "no object" last.
            mask_embeds (Tensor): ``[n, C]``.
            features (ImageFeatures): Of that image alone.
            text (Tensor): ``[K + 1, C]`` normalised.
            logit_scale (Tensor): As in :meth:`loss`.

        Returns:
            Tensor: ``[n, K + 1]``; the probability that there is an object is as before.
        """
        masks = _mask_logits(mask_embeds, features)
        pooled = logits.new_zeros(())
        for name in self.heard:
            embeddings, size = self.embed(name, features)
            pooled = pooled + inside_weights(masks, size) @ cosine_logits(embeddings[0], text[:-1], logit_scale) / len(
                self.heard
            )
        return geometric_mixture(logits, pooled, self.share)

    def seen(self, mask_embeds: Tensor, features: ImageFeatures) -> tuple[Tensor, Tensor]:
        """What pixels are among names: those under the masks of queries ``[n, C]``, and all of the image ``[C]``.

        Args:
            mask_embeds (Tensor): ``[n, C]``.
            features (ImageFeatures): Of the image alone.

        Returns:
            tuple[Tensor, Tensor]: Unit vectors.
        """
        masks = _mask_logits(mask_embeds, features)
        inside, everywhere = [], []
        for name in self.heard:
            embeddings, size = self.embed(name, features)
            pixels = F.normalize(embeddings[0], dim=-1)
            inside.append(inside_weights(masks, size) @ pixels)
            everywhere.append(pixels.mean(0))
        return F.normalize(torch.stack(inside).sum(0), dim=-1), F.normalize(torch.stack(everywhere).sum(0), dim=-1)


def _mask_logits(mask_embeds: Tensor, features: ImageFeatures) -> Tensor:
    """``[n, H, W]`` of queries ``[n, C]`` on the only image."""
    return torch.einsum('nc,chw->nhw', at_least_single(mask_embeds), at_least_single(features.mask_features[0]))


def inside_weights(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """How much each pixel of a map counts for a query: weights ``[n, h * w]`` that add up to 1.

    Args:
        masks (Tensor): ``[n, H, W]`` mask logits.
        size (tuple[int, int]): Height and width of the map.
    """
    inside = F.adaptive_avg_pool2d(masks.sigmoid(), size).flatten(1)
    inside = torch.where(inside > 0.5, inside, 1e-4 * inside)  # a query without a mask still has pixels
    return inside / inside.sum(1, keepdim=True).clamp(min=1e-12)
