"""Interactive segmentation: masks of what is clicked, boxed or roughly drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmengine.structures import InstanceData
from torch import Tensor

from xdet.models import postprocess
from xdet.models.context import TaskContext
from xdet.models.decoder import OBJECT
from xdet.models.heads import prompted
from xdet.models.heads.click import Shown
from xdet.registry import TASKS
from xdet.structures import Vocabulary, XDetDataSample

from .base import TaskAdapter, describe

ANY = Vocabulary(('thing',), (True,))  # the embedding of the background comes with those of names


class Proposal(NamedTuple):
    """Answers of one object, best first.

    Attributes:
        mask_embed (Tensor): ``[a, C]``.
        queries (Tensor): int64 ``[a]``, the object queries that they are or start from.
        scores (Tensor): ``[a]``, how well they fit what was shown; or, if they are ``scored``, their scores.
        scored (bool): Otherwise the score is the fit times the mean probability inside the mask.
    """

    mask_embed: Tensor
    queries: Tensor
    scores: Tensor
    scored: bool = False


@TASKS.register_module()
class InteractiveTask(TaskAdapter):
    """Masks of objects that are shown, not named (docs/interactive.md); it needs no training and has no weights.

    An object is shown by clicks, by a box, or by a rough mask or a scribble; clicks may be added to one of the latter.
    Of the masks of the object queries, whatever they are taken for, those that fit best are the answers; then every
    click is honoured: around one that a mask contradicts the mask changes where the image looks alike.

    Args:
        answers (int): Most masks of an object, which differ from each other, as a wheel, a bicycle, and bicycle and
            rider do.
        temperature (float): What the logits at clicks are divided by where masks are compared. The higher it is, the
            less a single click decides against a mask that fits well otherwise.
        margin, reach, softness (float): How clicks correct masks, see :func:`~xdet.models.heads.prompted.corrected`.
    """

    names = ('interactive',)

    def __init__(
        self,
        answers: int = 3,
        temperature: float = 3.0,
        margin: float = 2.0,
        reach: float = 0.2,
        softness: float = 0.3,
    ) -> None:
        super().__init__()
        for name, value in dict(answers=answers, temperature=temperature, reach=reach, softness=softness).items():
            if not value > 0:
                raise ValueError(f'InteractiveTask: {name} is {value}; accepted are numbers above 0')
        self.answers = answers
        self.temperature = temperature
        self.correction = dict(margin=margin, reach=reach, softness=softness)

    @torch.no_grad()
    def predict(self, context: TaskContext) -> None:
        """Write ``pred_objects``: the answers of each object, best first.

        Raises:
            ValueError: Nothing is shown, or clicks come with several boxes or masks.
        """
        layer = context.outputs.last
        mask_embed, class_embed = (layer.rows(tensor, OBJECT) for tensor in (layer.mask_embed, layer.class_embed))
        background = context.vocabulary(ANY)[-1]
        for index, sample in enumerate(context.samples):
            points, regions = _given(sample)
            features = context.features.mask_features[index]
            rough = torch.einsum('qc,chw->qhw', mask_embed[index].float(), features.float())
            there = prompted.objectness(class_embed[index], background, context.text.logit_scale)
            quality = prompted.mask_quality(rough) + there
            shown = _on_cells(sample, points, regions, rough.shape[-2:])
            proposed = self._propose(context.select([index]), mask_embed[index], rough, quality, shown)
            found = []
            for number, answers in enumerate(self._finish(sample, own, features, points) for own in proposed):
                answers.objects = torch.full_like(answers.queries, number)
                answers.embeddings = prompted.names_of(rough > 0, class_embed[index].float(), answers.queries)
                if context.pixel_names is not None:
                    pixels, everywhere = context.pixel_names.seen(
                        mask_embed[index][answers.queries], context.features.select([index])
                    )
                    answers.pixels, answers.everywhere = pixels, everywhere.expand_as(pixels)
                found.append(answers)
            sample.pred_objects = InstanceData.cat(found)

    def _propose(
        self, context: TaskContext, mask_embed: Tensor, rough: Tensor, quality: Tensor, shown: Sequence[Shown]
    ) -> list[Proposal]:
        """Answers of each object of the only image of a context, best first: those of the queries that fit best.

        Args:
            context (TaskContext): Of the image.
            mask_embed (Tensor): ``[q, C]`` of the object queries.
            rough (Tensor): ``[q, h, w]`` logits of their masks on the grid of the mask features.
            quality (Tensor): ``[q]``, how good these are whatever is shown.
            shown (Sequence[Shown]): What shows each object.
        """
        chosen = [self._choose(rough, quality, own) for own in shown]
        return [Proposal(mask_embed[queries], queries, right) for queries, right in chosen]

    def _choose(self, rough: Tensor, quality: Tensor, shown: Shown) -> tuple[Tensor, Tensor]:
        """Object queries ``[a]`` whose masks ``rough`` ``[q, h, w]`` fit one object best, and how well ``[a]``.

        A click behind the first that a mask contradicts by a cell is about the edge of the mask, and no reason for
        another one.
        """
        places, positive = shown.places, shown.positive
        values = prompted.values_at(rough, places)
        near = prompted.values_near(rough, places[1:], positive[1:])
        values = torch.cat([values[:, :1], near], dim=1)
        fit = prompted.point_fit(values / self.temperature, positive).sum(1)
        right = prompted.point_fit(values, positive).mean(1) if len(places) else torch.zeros_like(fit)
        if shown.region is not None:
            of_region = (prompted.box_fit if shown.boxed else prompted.rough_fit)(rough > 0, shown.region)
            fit, right = fit + of_region, right + of_region
        order = (fit + quality).argsort(descending=True, stable=True).tolist()
        queries = torch.tensor(prompted.distinct(rough > 0, order, self.answers), device=rough.device)
        return queries, right[queries].exp()

    def _finish(self, sample: XDetDataSample, proposal: Proposal, features: Tensor, points: Tensor) -> InstanceData:
        """Masks in full size, right at every click."""
        seen, size = sample.img_shape[:2], tuple(sample.ori_shape[:2])
        limit = sample.prompts.thresholds.mask_logit
        logits = postprocess.mask_logits(proposal.mask_embed, features, seen, size) - limit
        logits = prompted.corrected(logits, points[:, :2], points[:, 2] == 1, features, seen, **self.correction)
        masks, logits = logits > 0, logits + limit
        scores = proposal.scores if proposal.scored else postprocess.mask_scores(logits, masks) * proposal.scores
        return InstanceData(masks=masks, scores=scores, bboxes=postprocess.mask_boxes(masks), queries=proposal.queries)


def _given(sample: XDetDataSample) -> tuple[Tensor, list[Tensor | None]]:
    """Clicks ``[n, 3]``, and the region of each object, None for one that clicks alone show.

    Raises:
        ValueError: Nothing is shown, or clicks come with several regions.
    """
    points, regions = sample.prompts.points, sample.prompts.regions
    assert points is None or isinstance(points, Tensor)
    assert regions is None or isinstance(regions, Tensor)
    number = 0 if regions is None else len(regions)
    if number > 1 and points is not None:
        raise ValueError(f'{describe(sample)}: clicks are about one object, but there are {number} regions')
    if not number and (points is None or not (points[:, 2] == 1).any()):
        raise ValueError(f'{describe(sample)} shows no object; give a click on one, a box or a mask')
    if points is None:
        assert regions is not None
        points = torch.zeros((0, 3), dtype=torch.int64, device=regions.device)
    return points, [None] if regions is None else list(regions)


def _on_cells(
    sample: XDetDataSample, points: Tensor, regions: Sequence[Tensor | None], grid: Sequence[int]
) -> list[Shown]:
    """What shows each object, on the grid ``(h, w)`` of the mask features."""
    seen, size = sample.img_shape[:2], tuple(sample.ori_shape[:2])
    places, positive = prompted.to_cells(points[:, :2], seen, size), points[:, 2] == 1
    cells = [None if region is None else prompted.region_cells(region, seen, grid) for region in regions]
    return [Shown(places, positive, own, sample.prompts.boxed) for own in cells]
