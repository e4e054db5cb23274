"""Interactive segmentation, trained: what is shown becomes queries of the decoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xdet.models.context import LatentPass, TaskContext
from xdet.models.decoder import IMAGE, OBJECT
from xdet.models.heads import prompted
from xdet.models.heads.click import Answers, ClickHead, Shown
from xdet.models.heads.clicker import next_click
from xdet.models.losses.targets import pad_masks
from xdet.registry import MODELS, TASKS
from xdet.structures import DecoderOutput, QueryGroup, XDetDataSample

from .base import input_size
from .interactive import ANY, InteractiveTask, Proposal


@dataclass(frozen=True)
class _Drawn:
    """Objects of a batch and what shows them in the last round; every image has equally many, some not to be learned.

    Attributes:
        shown (list[Shown]): ``B * n``, those of an image next to each other.
        targets (Tensor): ``[B * n, h, w]`` shares of cells.
        counts (Tensor): Bool ``[B * n]``, whether it is an object at all.
        content (Tensor): ``[B * n, T, C]`` of the queries.
        mask_embed (Tensor): ``[B * n, A, C]`` that answers start from.
        maps (Tensor): ``[B, 3C, h, w]``.
    """

    shown: list[Shown]
    targets: Tensor
    counts: Tensor
    content: Tensor
    mask_embed: Tensor
    maps: Tensor


@TASKS.register_module()
class ClickTask(InteractiveTask):
    """Masks of objects that are shown, by queries that were trained for it (docs/interactive.md).

    Clicks, boxes and rough masks become a group of queries that sees the object queries, itself and all pixels; a query
    of every answer reads them. Training clicks as a person would, on the largest error of the mask found before, which
    is itself a prompt of the next round; only the last round has gradients. Nothing else of a model depends on this
    task, and in a frozen model nothing else changes.

    Args:
        embed_dims (int): Width C of the decoder.
        rounds (int): Most rounds in training; their number is drawn for each batch.
        objects (int): Most objects of an image in training, drawn from its segments.
        least_cells (int): Least area of such an object, in cells of 4 x 4 pixels.
        shares (Sequence[float]): How often training begins with a click, a box, and a rough mask.
        answers (int): Number A of answers.
        loss (dict, optional): Config of the criterion; None for a model that is only used, not trained.
        kwargs: Other arguments of :class:`InteractiveTask`.

    Raises:
        ValueError: A setting is out of range.
    """

    targets = 'segments to click on'

    def __init__(
        self,
        embed_dims: int = 512,
        rounds: int = 3,
        objects: int = 4,
        least_cells: int = 4,
        shares: Sequence[float] = (0.7, 0.15, 0.15),
        answers: int = 3,
        loss: dict | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(answers, **kwargs)
        for name, value in dict(rounds=rounds, objects=objects, least_cells=least_cells).items():
            if value < 1:
                raise ValueError(f'ClickTask: {name} is {value}; accepted are numbers from 1')
        if len(shares) != 3 or min(shares) < 0 or not sum(shares) > 0:
            raise ValueError(f'ClickTask: shares is {tuple(shares)}; accepted are three numbers from 0, not all 0')
        self.rounds = rounds
        self.objects = objects
        self.least_cells = least_cells
        self.shares = tuple(shares)
        self.head = ClickHead(embed_dims, answers)
        self.criterion = MODELS.build(loss) if loss is not None else None
        self._drawn: _Drawn | None = None

    def trains(self, sample: XDetDataSample) -> bool:
        """Whether it has ``gt_segments``, and the adapter a criterion."""
        return self.criterion is not None and 'gt_segments' in sample

    def queries(self, context: TaskContext) -> list[QueryGroup]:
        """A group for the i-th object of every image, in the last of the rounds that were drawn."""
        targets, counts = self._objects(context)
        rounds = int(torch.randint(1, self.rounds + 1, ()))
        kind = int(torch.multinomial(torch.tensor(self.shares), 1))
        maps = self.head.maps(context.features)
        with torch.no_grad():
            latents = LatentPass(context.decoder, context.features)
            shown, chosen = self._play(latents, self._objectness(context, latents), maps, targets, rounds, kind)
        rows = [index // self.objects for index in range(len(shown))]
        tokens = [
            self.head.queries(maps[row], own, state) for row, own, (state, _) in zip(rows, shown, chosen, strict=True)
        ]
        content, position = (torch.stack(part) for part in zip(*tokens, strict=True))
        mask_embed = torch.stack([embed for _, embed in chosen])
        self._drawn = _Drawn(shown, targets, counts, content, mask_embed, maps)
        groups = []
        for index in range(self.objects):
            own = slice(index, None, self.objects)
            sees = frozenset({OBJECT, IMAGE, _name(index)})
            groups.append(
                QueryGroup(_name(index), content[own], position[own], sees, causal=True, image_attention='all')
            )
        return groups

    def loss(self, context: TaskContext, outputs: DecoderOutput) -> dict[str, Tensor]:
        """Losses of the answers in the last round; see the criterion for their names."""
        assert self.criterion is not None and self._drawn is not None
        drawn, self._drawn = self._drawn, None
        layer = outputs.last
        states = torch.stack([layer.rows(layer.state, _name(index)) for index in range(self.objects)], dim=1)
        maps = drawn.maps.repeat_interleave(self.objects, dim=0)
        answers = self.head.read(drawn.content, states.flatten(0, 1), drawn.mask_embed, maps, drawn.shown)
        return self.criterion(answers.masks[drawn.counts], answers.scores[drawn.counts], drawn.targets[drawn.counts])

    def _objects(self, context: TaskContext) -> tuple[Tensor, Tensor]:
        """Shares of cells ``[B * n, h, w]`` that the drawn objects cover, and which of them are some."""
        like = context.features.mask_features
        targets = like.new_zeros((len(context.samples), self.objects, *like.shape[-2:]), dtype=torch.float32)
        counts = torch.zeros(targets.shape[:2], dtype=torch.bool, device=like.device)
        for index, sample in enumerate(context.samples):
            if 'gt_segments' not in sample:
                continue
            masks = pad_masks(sample.gt_segments.masks, input_size(context.features), torch.float32)
            cells = F.avg_pool2d(masks[:, None], 4)[:, 0]
            cells = cells[(cells > 0.5).flatten(1).sum(1) >= self.least_cells]
            cells = cells[torch.randperm(len(cells), device='cpu')[: self.objects].to(cells.device)]
            targets[index, : len(cells)] = cells
            counts[index, : len(cells)] = True
        return targets.flatten(0, 1), counts.flatten()

    def _objectness(self, context: TaskContext, latents: LatentPass) -> Tensor:
        """Of the object queries, ``[B, q]``."""
        layer, background = latents.outputs.last, context.vocabulary(ANY)[-1]
        class_embed = layer.rows(layer.class_embed, OBJECT)
        return torch.stack([prompted.objectness(own, background, context.text.logit_scale) for own in class_embed])

    def _play(
        self, latents: LatentPass, objectness: Tensor, maps: Tensor, targets: Tensor, rounds: int, kind: int
    ) -> tuple[list[Shown], list[tuple[Tensor, Tensor]]]:
        """What shows the objects in the last round; states and mask embeddings that its answers start from."""
        layer = latents.outputs.last
        state, mask_embed = (layer.rows(tensor, OBJECT) for tensor in (layer.state, layer.mask_embed))
        rough = torch.einsum('bqc,bchw->bqhw', mask_embed.float(), latents.features.mask_features.float())
        quality = torch.stack([prompted.mask_quality(own) for own in rough]) + objectness
        rows = [index // self.objects for index in range(len(targets))]
        wanted = (targets > 0.5).cpu().numpy()
        clicks: list[list[tuple[int, int, int]]] = [[] for _ in wanted]
        regions = [None if kind == 0 else _region(own, boxed=kind == 1) for own in wanted]
        found = [np.zeros_like(own) for own in wanted]
        for step in range(rounds):
            if kind == 0 or step:
                for given, mask, target in zip(clicks, found, wanted, strict=True):
                    given.append(next_click(mask, target) or (given[-1] if given else (0, 0, 1)))
            shown = [
                _shown(given, region, kind == 1, mask if step else None, targets.device)
                for given, region, mask in zip(clicks, regions, found, strict=True)
            ]
            chosen = []
            for row, own in zip(rows, shown, strict=True):
                queries = self._starts(rough[row], quality[row], own)
                chosen.append((state[row, queries], mask_embed[row, queries]))
            if step + 1 < rounds:
                answers = self._pass(latents, maps, shown, chosen, self.objects)
                found = list(_best(answers).cpu().numpy())
        return shown, chosen

    def _starts(self, rough: Tensor, quality: Tensor, shown: Shown) -> Tensor:
        """The A object queries that answers about one object start from; repeated if there are fewer."""
        queries, _ = self._choose(rough, quality, shown)
        return queries[torch.arange(self.answers, device=queries.device) % len(queries)]

    def _pass(
        self,
        latents: LatentPass,
        maps: Tensor,
        shown: Sequence[Shown],
        chosen: Sequence[tuple[Tensor, Tensor]],
        per_image: int,
    ) -> Answers:
        """Answers about objects, ``per_image`` of every image, all shown by as many clicks and regions."""
        maps = maps.repeat_interleave(per_image, dim=0)
        tokens = [self.head.queries(*given) for given in zip(maps, shown, (state for state, _ in chosen), strict=True)]
        content, position = (torch.stack(part) for part in zip(*tokens, strict=True))
        states = latents.stream(content.shape[1], per_image).step(content, position)
        return self.head.read(content, states, torch.stack([embed for _, embed in chosen]), maps, shown)

    def _propose(
        self, context: TaskContext, mask_embed: Tensor, rough: Tensor, quality: Tensor, shown: Sequence[Shown]
    ) -> list[Proposal]:
        """Clicks are played one after the other, each with the mask that those before it made."""
        layer, maps, latents = context.outputs.last, self.head.maps(context.features), context.latent_pass
        state = layer.rows(layer.state, OBJECT)[0]
        clicked = shown[0].region is None
        whole = [own.beginning_on_it() for own in shown] if clicked else shown
        previous: list[Tensor | None] = [None] * len(whole)
        for clicks in range(int(clicked), len(shown[0].places) + 1):
            so_far = [own.first(clicks, mask) for own, mask in zip(whole, previous, strict=True)]
            starts = [self._starts(rough, quality, own) for own in so_far]
            chosen = [(state[queries], mask_embed[queries].float()) for queries in starts]
            answers = self._pass(latents, maps, so_far, chosen, len(so_far))
            previous = list(_best(answers))
        proposals = []
        for embed, masks, scores, queries in zip(*answers, starts, strict=True):
            order = scores.argsort(descending=True, stable=True).tolist()
            kept = prompted.distinct(masks > 0, order, self.answers)
            proposals.append(Proposal(embed[kept], queries[kept], scores[kept].sigmoid(), scored=True))
        return proposals


def _name(index: int) -> str:
    return f'shown {index}'


def _best(answers: Answers) -> Tensor:
    """Bool ``[n, h, w]``: of every object the mask with the highest score."""
    best = answers.scores.argmax(1)
    return answers.masks[torch.arange(len(best), device=best.device), best] > 0


def _region(target: np.ndarray, boxed: bool) -> np.ndarray:
    """The box of a mask ``[h, w]``, or its core: the pixels that are at least half as far from its edge as any."""
    if not target.any():
        return target
    if boxed:
        rows, columns = np.nonzero(target)
        box = np.zeros_like(target)
        box[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True
        return box
    padded = np.pad(target.astype(np.uint8), 1)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    core: np.ndarray = depth >= 0.5 * depth.max()
    return core


def _shown(
    clicks: Sequence[tuple[int, int, int]],
    region: np.ndarray | None,
    boxed: bool,
    previous: np.ndarray | None,
    device: torch.device,
) -> Shown:
    """Clicks on cells, in their centres."""
    points = torch.tensor(clicks, device=device).reshape(-1, 3)

    def on_device(mask: np.ndarray | None) -> Tensor | None:
        return None if mask is None else torch.from_numpy(mask).to(device)

    return Shown(points[:, :2] + 0.5, points[:, 2] == 1, on_device(region), boxed, on_device(previous))
