"""Graphs that segment: probabilities of names, masks of names and of phrases."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xdet.models import XDecoder
from xdet.models.postprocess import mask_scores
from xdet.models.similarity import cosine_logits, cosines, geometric_mixture
from xdet.structures import BACKGROUND, ImageFeatures, QueryGroup, Vocabulary
from xdet.tasks import SegmentationTask

from .encoding import pixel_names


class Names(nn.Module):
    """Compares queries with class names and with "no object", whose embedding stands in the graph."""

    def __init__(self, model: XDecoder) -> None:
        super().__init__()
        self.background: Tensor
        self.logit_scale = model.text_encoder.logit_scale
        self.register_buffer('background', model.vocabulary(Vocabulary((BACKGROUND,), (True,)))[-1:].clone())
        self.pixel_names = pixel_names(model)

    def forward(self, class_embed: Tensor, text: Tensor, pixel_embed: Tensor | None = None) -> Tensor:
        """``probabilities`` ``[N, K + 1]`` of every query over the K names ``text`` and, last, no object."""
        logits = cosine_logits(class_embed, torch.cat((text, self.background)), self.logit_scale)
        if pixel_embed is not None:
            assert self.pixel_names is not None
            said = self.logit_scale.exp() * (pixel_embed @ text.T)
            if self.pixel_names.joined:
                logits = logits + F.pad(said.log_softmax(dim=-1), (0, 1))
            else:
                logits = geometric_mixture(logits, said, self.pixel_names.share)
        return logits.softmax(dim=-1)


class Semantic(nn.Module):
    """Semantic segmentation: the most probable class of every pixel."""

    def __init__(self, task: SegmentationTask) -> None:
        super().__init__()
        self.finds_background = task.background_score is not None

    def forward(
        self, probabilities: Tensor, mask_embed: Tensor, mask_features: Tensor, rows: Tensor, columns: Tensor
    ) -> tuple[Tensor, ...]:
        """``labels`` int32 and their ``scores`` ``[H, W]`` for ``rows`` ``[H, h]`` and ``columns`` ``[W, w]``. A part
        of the rows gives that part of the results, so that memory can be bounded. Of a model that finds background
        also ``surest``: the highest probability of any class in any one query, times that of its mask."""
        masks = _mask_logits(mask_embed, mask_features, rows, columns).sigmoid()
        probabilities = probabilities[:, :-1]
        scores = (probabilities.T @ masks.flatten(1)).unflatten(1, masks.shape[1:])
        found = scores.argmax(dim=0).int(), scores.amax(dim=0)
        if not self.finds_background:
            return found
        return *found, (probabilities.amax(dim=1)[:, None, None] * masks).amax(dim=0)


class Instance(nn.Module):
    """Instance segmentation: the most probable pairs of a query and a class."""

    def __init__(self, task: SegmentationTask) -> None:
        super().__init__()
        self.most, self.things_only = task.max_per_image, task.things_only

    def forward(
        self,
        probabilities: Tensor,
        mask_embed: Tensor,
        mask_features: Tensor,
        is_thing: Tensor,
        reported: Tensor,
        mask_logit: Tensor,
        rows: Tensor,
        columns: Tensor,
    ) -> tuple[Tensor, ...]:
        """Of m pairs, best first: ``labels``, ``scores`` and ``queries``, which are rows of ``masks`` bool
        ``[q, H, W]``, those of the q queries that occur. Classes that are not ``reported`` only compete."""
        probabilities = probabilities[:, :-1] * reported
        number = probabilities.shape[1]
        # Fewer pairs than wanted are filled up with ones that do not count.
        filled = F.pad(probabilities.flatten(), (0, self.most), value=-1.0)
        scores, pairs = filled.topk(self.most)
        counts = scores >= 0
        pairs = torch.where(counts, pairs, 0)
        queries = pairs // torch.full_like(pairs, number)
        labels = pairs - number * queries
        counts = counts & reported[labels]
        if self.things_only:
            counts = counts & is_thing[labels]
        kept = counts.nonzero()[:, 0]
        scores, labels, queries = scores[kept], labels[kept], queries[kept]
        one_hot = queries[:, None] == torch.arange(len(mask_embed), device=queries.device)
        needed = one_hot.any(dim=0).nonzero()[:, 0]
        which = (one_hot.any(dim=0).long().cumsum(dim=0) - 1)[queries]
        logits = _mask_logits(mask_embed[needed], mask_features, rows, columns)
        masks = logits > mask_logit
        scores = scores * mask_scores(logits, masks)[which]
        scores, order = scores.sort(descending=True)  # ONNX keeps the order of equal ones
        return labels[order], scores, which[order], masks


class Panoptic(nn.Module):
    """Panoptic segmentation: confident queries share the pixels, without a loop over them."""

    def forward(
        self,
        probabilities: Tensor,
        mask_embed: Tensor,
        mask_features: Tensor,
        is_thing: Tensor,
        reported: Tensor,
        least: Tensor,
        overlap: Tensor,
        mask: Tensor,
        rows: Tensor,
        columns: Tensor,
    ) -> tuple[Tensor, ...]:
        """``segments`` int32 ``[H, W]`` (0 = void), and of the n segments, in the order of their ids from 1:
        ``labels`` and ``scores``. ``least`` ``[K]`` is what a query's score must be above, ``overlap`` (double) the
        least share of its own mask that a query must keep, ``mask`` the least probability of a mask's pixels."""
        scores, labels = probabilities.max(dim=-1)
        found = (labels != probabilities.shape[1] - 1) & (scores > torch.cat((least, least.new_ones(1)))[labels])
        # One query always takes part, so that no tensor is empty; it counts only if it was found.
        part = found | (torch.arange(len(scores), device=scores.device) == 0)
        keep = part.nonzero()[:, 0]
        scores, labels, found = scores[keep], labels[keep], found[keep]
        weights = torch.where(found, scores, -1.0)
        masks = _mask_logits(mask_embed[keep], mask_features, rows, columns).sigmoid()
        inside = masks >= mask
        owner = (masks * weights[:, None, None]).argmax(dim=0)
        owned_inside = inside.gather(0, owner[None])[0]
        own_area, owners = inside.flatten(1).sum(dim=1), owner.flatten()
        none = torch.zeros_like(own_area)
        owned_area = none.scatter_add(0, owners, torch.ones_like(owners))
        kept_area = none.scatter_add(0, owners, owned_inside.flatten().long())
        share = owned_area.double() / own_area.double()
        thing, told = (torch.cat((flags, flags.new_ones(1)))[labels] for flags in (is_thing, reported))
        valid = found & told & (own_area > 0) & (owned_area > 0) & (kept_area > 0) & (share >= overlap)
        # Queries of one stuff class are one segment, that of the first of them.
        index = torch.arange(keep.shape[0], device=owner.device)
        same = (labels[:, None] == labels[None]) & ~thing[:, None] & valid[None]
        leader = torch.where(thing, index, same.long().argmax(dim=1))
        founds = valid & (leader == index)
        ids = torch.where(valid, founds.long().cumsum(dim=0)[leader], 0).int()
        segments = torch.where(owned_inside, ids[owner], 0)
        chosen = founds.nonzero()[:, 0]
        return segments, labels[chosen], scores[chosen]


class Phrases(nn.Module):
    """Referring segmentation: sets of phrases, which do not see each other; those of one set do."""

    def __init__(self, model: XDecoder) -> None:
        super().__init__()
        self.decoder = model.decoder

    def forward(
        self,
        mask_features: Tensor,
        memory_32: Tensor,
        memory_16: Tensor,
        memory_8: Tensor,
        tokens: Tensor,
        valid: Tensor,
        pooled: Tensor,
        mask_logit: Tensor,
        rows: Tensor,
        columns: Tensor,
    ) -> tuple[Tensor, ...]:
        """Tokens ``[S, L, C]`` of the phrases of S sets, which of them are none (``valid``), and the phrases' features
        ``[S, T, C]``, to ``masks`` bool ``[S, T, H, W]``, ``scores`` and ``similarities``."""
        features = ImageFeatures((), mask_features, (memory_32, memory_16, memory_8))
        sees = frozenset({'phrase', 'text'})
        queries = self.decoder.object_copies(tokens.shape[0], 'phrase', sees)
        text = QueryGroup('text', tokens, tokens, sees, image_attention='no', valid=valid)
        layer = self.decoder(features, [queries, text]).last
        class_embed, mask_embed = (layer.rows(part, 'phrase') for part in (layer.class_embed, layer.mask_embed))
        found = cosines(class_embed.flatten(0, 1), pooled.flatten(0, 1))
        # [S, N, S, T]: of every set, its own phrases only.
        found = found.unflatten(0, class_embed.shape[:2]).unflatten(2, pooled.shape[:2])
        found = found.diagonal(dim1=0, dim2=2).permute(2, 0, 1)
        similarities, best = found.max(dim=1)
        chosen = mask_embed.gather(1, best[..., None].expand(-1, -1, mask_embed.shape[2]))
        logits = _mask_logits(chosen.flatten(0, 1), mask_features, rows, columns)
        masks = logits > mask_logit
        results = masks, mask_scores(logits, masks)
        masks, scores = (result.unflatten(0, tokens.shape[:1] + pooled.shape[1:2]) for result in results)
        return masks, scores, similarities


def _mask_logits(mask_embed: Tensor, mask_features: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Mask logits ``[n, H, W]``, resized by a matrix per axis."""
    logits = (mask_embed @ mask_features[0].flatten(1)).unflatten(-1, mask_features.shape[2:])
    return rows @ (logits @ columns.T)
