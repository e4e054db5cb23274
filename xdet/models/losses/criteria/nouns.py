"""Contrast of object queries with class names, nouns and captions (docs/model.md, 8)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from xdet.models.losses.distributed import RowGather
from xdet.models.losses.matching.matcher import assign
from xdet.models.losses.supervision import supervised_layers
from xdet.models.losses.targets import NounTargets
from xdet.models.numerics.precision import at_least_single
from xdet.models.similarity import normalize, temperature
from xdet.registry import MODELS

from .contrastive import soft_cross_entropy


@MODELS.register_module()
class NounContrastiveLoss(nn.Module):
    """Queries are drawn to the texts they belong to and pushed from all other texts of all ranks.

    A query that is matched to a segment belongs to the name of its class. Queries that are free are matched, by the
    Hungarian method, to the nouns and the caption of their image. Equal texts, recognised by their ids, are one text to
    which several queries belong; the first embedding of it among all ranks is used.

    Collective: with several ranks all have to call it, also those without texts. Runs in single precision.

    Args:
        weight (float): Weight of the loss.
        query_weight (float): Weight of queries choosing among texts.
        text_weight (float): Weight of texts choosing among queries.
        num_layers (int): How many of the last predictions are supervised.
        official (bool): As the official code, by mistake: nothing is learned by the queries that are matched to nouns
            and captions; these are matched with regard to the texts of this rank only; and gradients through gathered
            embeddings are too small by the number of ranks. (The official code also fails to recognise equal texts of
            different ranks: give ids that differ between ranks for that.)
    """

    def __init__(
        self,
        weight: float = 1.0,
        query_weight: float = 0.7,
        text_weight: float = 0.3,
        num_layers: int = 3,
        official: bool = False,
    ) -> None:
        super().__init__()
        self.weight = weight
        self.query_weight = query_weight
        self.text_weight = text_weight
        self.num_layers = num_layers
        self.official = official

    def forward(
        self,
        class_embeds: Sequence[Tensor],
        matches: Sequence[Tensor],
        targets: NounTargets,
        logit_scale: Tensor,
    ) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            class_embeds (Sequence[Tensor]): Class embeddings ``[B, No, C]`` of the object queries per prediction layer,
                from the raw queries to the final one.
            matches (Sequence[Tensor]): ``[L, n_b]`` per image: the query of each segment in all L predictions, -1 if
                none (:meth:`SegmentationLoss.match`).
            targets (NounTargets): What every image has to learn.
            logit_scale (Tensor): Logarithm of the factor between cosines and logits.

        Returns:
            dict[str, Tensor]: Weighted ``loss_noun`` of the final layer and ``d{k}.loss_noun`` of prediction layer k
            before it.

        Raises:
            ValueError: A similarity is not finite.
        """
        layers = supervised_layers(len(class_embeds), self.num_layers)
        with torch.autocast(logit_scale.device.type, enabled=False):
            scale = temperature(logit_scale)
            embeds = torch.stack([class_embeds[layer] for layer in layers], 1)  # [B, L, No, C]
            embeds = normalize(at_least_single(embeds))
            matches = [match[list(layers)] for match in matches]
            texts = [normalize(at_least_single(text)) for text in targets.texts]
            class_texts = [normalize(at_least_single(text)) for text in targets.class_texts]
            free_matches = self._match_free_queries(embeds, matches, texts, scale, targets.names)

            # Rows of texts and the query that belongs to each, in every layer. They begin with nothing, in case there
            # are no images.
            text_rows, id_rows = [embeds[:0, 0, 0].detach()], [torch.empty(0, dtype=torch.int64)]
            query_rows, found_rows = [embeds[:0, :, 0]], [embeds[:0, :, 0, 0] > 0]
            for image, (embed, match, free) in enumerate(zip(embeds, matches, free_matches, strict=True)):
                text_rows += [class_texts[image], texts[image]]
                id_rows += [targets.class_ids[image], targets.text_ids[image]]
                query_rows += [_pick(embed, match), _pick(embed.detach() if self.official else embed, free)]
                found_rows += [match.T >= 0, free.T >= 0]
            rows = torch.cat(text_rows)
            gather = RowGather(len(rows), rows.device, self.official)
            losses = self._contrast(
                gather(torch.cat(query_rows)),
                gather(torch.cat(found_rows)),
                gather(rows),
                gather(torch.cat([ids.to(rows.device) for ids in id_rows])),
                scale,
            )
        return {f'{prefix}loss_noun': self.weight * loss for prefix, loss in zip(layers.values(), losses, strict=True)}

    @torch.no_grad()
    def _match_free_queries(
        self,
        embeds: Tensor,
        matches: Sequence[Tensor],
        texts: Sequence[Tensor],
        scale: Tensor,
        names: Sequence[str],
    ) -> list[Tensor]:
        """The free query of each noun and caption, ``[L, m]`` per image, -1 where there are not enough."""
        pool = torch.cat([embeds.new_zeros((0, embeds.shape[-1])), *texts])
        start = 0
        if not self.official:
            gather = RowGather(len(pool), pool.device)
            pool, start = gather(pool), gather.start
        costs, taken_by_segments = [], []
        for embed, match, text in zip(embeds, matches, texts, strict=True):
            stop = start + len(text)
            cost = -(scale * embed @ pool.T).softmax(-1)[..., start:stop]
            count = embed.shape[1]
            taken = torch.zeros((len(embed), count + 1), dtype=torch.bool, device=embed.device)
            # Segments without a query go to a spare place: choosing the others would wait for the device.
            taken = taken.scatter(1, torch.where(match >= 0, match, count), True)[:, :count]
            # Costs lie between -1 and 0, so one taken query is dearer than all texts together.
            costs.append({'text': cost.masked_fill(taken[..., None], len(text) + 1.0)})
            taken_by_segments.append(taken)
            start = stop
        return [
            found.masked_fill(taken.gather(1, found.clamp(min=0)), -1) if taken.shape[1] else found
            for found, taken in zip(assign(costs, names), taken_by_segments, strict=True)
        ]

    def _contrast(self, queries: Tensor, found: Tensor, texts: Tensor, ids: Tensor, scale: Tensor) -> list[Tensor]:
        """Loss per layer.

        Args:
            queries (Tensor): ``[R, L, C]``, per text row the query that belongs to it.
            found (Tensor): ``[R, L]``, whether there is such a query.
            texts (Tensor): ``[R, C]``.
            ids (Tensor): ``[R]``.
            scale (Tensor): Factor between cosines and logits.
        """
        unique, owner = ids.unique(return_inverse=True)
        order = torch.arange(len(ids), device=ids.device)
        first = torch.full_like(unique, len(ids)).scatter_reduce(0, owner, order, 'amin')
        losses = []
        for layer in range(queries.shape[1]):
            rows = found[:, layer]
            logits = scale * queries[rows, layer] @ texts[first].T
            if not len(logits):
                losses.append(logits.sum())
                continue
            belongs = (owner[rows, None] == torch.arange(len(unique), device=ids.device)).to(logits.dtype)
            used = belongs.any(0)
            logits, belongs = logits[:, used], belongs[:, used]
            there = soft_cross_entropy(logits, belongs)
            back = soft_cross_entropy(logits.T, belongs.T / belongs.sum(0)[:, None])
            losses.append(self.query_weight * there + self.text_weight * back)
        return losses


def _pick(embed: Tensor, match: Tensor) -> Tensor:
    """Queries ``[n, L, C]`` out of ``[L, No, C]`` by their numbers ``[L, n]``; any where the number is -1."""
    index = match.clamp(min=0)[..., None].expand(-1, -1, embed.shape[-1])
    return embed.gather(1, index).transpose(0, 1)
