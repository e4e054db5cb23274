"""Queries of what is shown, and the masks that are read of them: the weights of :class:`~xdet.tasks.ClickTask`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xdet.structures import ImageFeatures

from ..decoder.heads import MLP
from ..decoder.positions import sine_positions
from ..numerics.precision import at_least_single
from ..postprocess import mask_scores
from . import prompted

KINDS = ('off', 'on', 'box', 'mask', 'previous')
"""What a query stands for: a click that is not on the object or on it, a box, a rough mask, the mask found before."""


@dataclass(frozen=True)
class Shown:
    """What shows an object, on the grid of the mask features.

    Attributes:
        places (Tensor): ``[p, 2]`` clicks, see :mod:`~xdet.models.heads.prompted`.
        positive (Tensor): Bool ``[p]``.
        region (Tensor | None): Bool ``[h, w]``, a box or a rough mask.
        boxed (bool): Whether the region is a box.
        previous (Tensor | None): Bool ``[h, w]``, the best mask of all but the last click.
    """

    places: Tensor
    positive: Tensor
    region: Tensor | None = None
    boxed: bool = False
    previous: Tensor | None = None

    def first(self, clicks: int, previous: Tensor | None) -> Shown:
        """What was shown with fewer clicks."""
        return replace(self, places=self.places[:clicks], positive=self.positive[:clicks], previous=previous)

    def beginning_on_it(self) -> Shown:
        """The same with the first click that is on the object before the others."""
        first = int(self.positive.nonzero()[0])
        order = [first, *(place for place in range(len(self.positive)) if place != first)]
        return replace(self, places=self.places[order], positive=self.positive[order])


class Answers(NamedTuple):
    """Masks of n objects, A of each.

    Attributes:
        mask_embed (Tensor): ``[n, A, C]``.
        masks (Tensor): ``[n, A, h, w]`` logits on the grid of the mask features.
        scores (Tensor): ``[n, A]`` logits of the IoU that each is expected to have with the object.
    """

    mask_embed: Tensor
    masks: Tensor
    scores: Tensor


class ClickHead(nn.Module):
    """Makes queries of what is shown, and masks of their states.

    Each click, box or mask is a query: its content are the features under it and what it is (:data:`KINDS`), its
    position is theirs. A query for every answer follows. It starts from one of the object queries whose masks fit
    best, and what it adds to the embedding of that mask starts at nothing, so that training begins with the answers
    of the untrained way.

    Args:
        embed_dims (int): Width C of queries and of ``mask_features``; a multiple of 4.
        answers (int): Number A of answers.
    """

    def __init__(self, embed_dims: int, answers: int) -> None:
        super().__init__()
        self.looks = nn.Sequential(nn.LayerNorm(2 * embed_dims), nn.Linear(2 * embed_dims, embed_dims))
        self.kind = nn.Embedding(len(KINDS), embed_dims)
        self.place = nn.Linear(embed_dims, embed_dims)
        self.answer = nn.Embedding(answers, embed_dims)
        self.answer_place = nn.Embedding(answers, embed_dims)
        self.start = nn.Linear(embed_dims, embed_dims)
        self.mask = MLP(3 * embed_dims, 2 * embed_dims, embed_dims)
        self.score = MLP(2 * embed_dims + 2, embed_dims, 1)
        nn.init.eye_(self.place.weight)
        nn.init.zeros_(self.place.bias)
        for parameter in self.mask.layers[-1].parameters():
            nn.init.zeros_(parameter)

    def maps(self, features: ImageFeatures) -> Tensor:
        """What queries are made of: ``[B, 3C, h, w]``, mask features, memory of the finest level and positions."""
        fine = at_least_single(features.mask_features)
        size = (fine.shape[-2], fine.shape[-1])
        memory = F.interpolate(at_least_single(features.memory[-1]), size=size, mode='bilinear')
        position = sine_positions(fine.shape[1], *size, fine.device).mT.unflatten(-1, size)
        return torch.cat([fine, memory, position.to(fine).expand(len(fine), -1, -1, -1)], dim=1)

    def queries(self, maps: Tensor, shown: Shown, state: Tensor) -> tuple[Tensor, Tensor]:
        """Queries of one object.

        Args:
            maps (Tensor): ``[3C, h, w]`` of its image, see :meth:`maps`.
            shown (Shown): What shows it.
            state (Tensor): ``[A, C]`` of the object queries that answers start from.

        Returns:
            tuple[Tensor, Tensor]: Content and position ``[T, C]``; the last A are those of the answers.
        """
        regions = [(shown.region, 'box' if shown.boxed else 'mask'), (shown.previous, 'previous')]
        given = [(region.to(maps).flatten(), KINDS.index(kind)) for region, kind in regions if region is not None]
        weights = [region / region.sum().clamp(min=1) for region, _ in given]
        pooled = [maps.flatten(1) @ torch.stack(weights, dim=1)] if weights else []
        under = torch.cat([*pooled, prompted.values_at(maps, shown.places)], dim=1).T
        kinds = torch.cat([shown.positive.new_tensor([kind for _, kind in given], dtype=torch.long), shown.positive])
        channels = under.shape[1] // 3
        content = self.looks(under[:, : 2 * channels]) + self.kind(kinds.long())
        position = self.place(under[:, 2 * channels :])
        means = kinds != KINDS.index('off')
        answer = self.answer.weight + self.start(state) + content[means].mean(0)
        place = self.answer_place.weight + position[means].mean(0)
        return torch.cat([content, answer]), torch.cat([position, place])

    def read(self, content: Tensor, state: Tensor, mask_embed: Tensor, maps: Tensor, shown: Sequence[Shown]) -> Answers:
        """Answers of n objects.

        Args:
            content (Tensor): ``[n, T, C]`` of :meth:`queries`.
            state (Tensor): ``[n, T, C]``, what the decoder made of them.
            mask_embed (Tensor): ``[n, A, C]`` of the object queries that answers start from.
            maps (Tensor): ``[n, 3C, h, w]``, of the image of each object; see :meth:`maps`.
            shown (Sequence[Shown]): What shows each.
        """
        count, channels = mask_embed.shape[1], mask_embed.shape[2]
        both = torch.cat([state, content], dim=-1)[:, -count:]
        embed = mask_embed + self.mask(torch.cat([both, mask_embed], dim=-1))
        masks = torch.einsum('nac,nchw->nahw', embed, maps[:, :channels])
        with torch.no_grad():
            sure = mask_scores(masks.flatten(0, 1), masks.flatten(0, 1) > 0).unflatten(0, masks.shape[:2])
            right = torch.stack([_right(own, known) for own, known in zip(masks, shown, strict=True)])
        score = self.score(torch.cat([both, sure[..., None], right[..., None]], dim=-1))[..., 0]
        return Answers(embed, masks, score)


def _right(masks: Tensor, shown: Shown) -> Tensor:
    """Mean probability ``[A]`` with which masks ``[A, h, w]`` are right at clicks; 1 without clicks."""
    if not len(shown.places):
        return masks.new_ones(len(masks))
    return prompted.point_fit(prompted.values_at(masks, shown.places), shown.positive).exp().mean(1)
