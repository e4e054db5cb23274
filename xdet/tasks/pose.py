"""Keypoints of objects, read from the object queries that find them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.structures import InstanceData
from torch import Tensor

from xdet.models import postprocess
from xdet.models.context import TaskContext
from xdet.models.decoder import OBJECT
from xdet.models.decoder.heads import MLP
from xdet.models.heads.keypoints import KeypointHead, from_grid, peaks, to_grid
from xdet.models.losses import HungarianMatcher
from xdet.models.losses.matching.matcher import assign
from xdet.models.losses.targets import pad_masks
from xdet.models.similarity import cosine_logits
from xdet.registry import MODELS, TASKS
from xdet.structures import DecoderOutput, XDetDataSample

from .base import TaskAdapter, describe, image_names, input_size
from .segmentation import vocabulary_of


@TASKS.register_module()
class PoseTask(TaskAdapter):
    """Poses: another output of the queries that segment (docs/photos.md, Pose).

    It needs no query group of its own, and builds on the task ``instance``: an object query that found something says
    in addition whether that has keypoints and, on a grid over its mask's box, where each of them is. Whose keypoints a
    query has to learn is decided as in segmentation, by classes and masks. Any class can be asked for; what has
    keypoints is learned, so a "puppy" has a pose as well, and a sofa none.

    Args:
        keypoints (Sequence[str]): Names of the K keypoints.
        skeleton (Sequence[Sequence[str]]): Pairs of keypoints that a line connects in drawings.
        embed_dims (int): Width C of the decoder.
        head (Mapping, optional): Options of :class:`~xdet.models.heads.keypoints.KeypointHead`.
        detach (bool): Read queries and pixels without changing what makes them, so that the other tasks stay as they
            are. Otherwise the pose loss trains the whole model, as far as it is not frozen.
        matcher (Mapping, optional): Options of :class:`~xdet.models.losses.HungarianMatcher`.
        max_per_image (int): Most poses of an image.
        min_score (float): Least score: that of the instance times the probability that it has keypoints.
        loss (dict, optional): Config of the criterion; None for a model that is only used, not trained.

    Raises:
        ValueError: Names are missing or repeated, or the skeleton has others.
    """

    names = ('pose',)
    reads_predictions = True  # the instances
    targets = 'poses'

    def __init__(
        self,
        keypoints: Sequence[str],
        skeleton: Sequence[Sequence[str]] = (),
        embed_dims: int = 512,
        head: Mapping[str, Any] | None = None,
        detach: bool = True,
        matcher: Mapping[str, Any] | None = None,
        max_per_image: int = 20,
        min_score: float = 0.05,
        loss: dict | None = None,
    ) -> None:
        super().__init__()
        self.keypoints = tuple(keypoints)
        if not self.keypoints or len(set(self.keypoints)) < len(self.keypoints):
            raise ValueError(f'PoseTask: keypoints are {self.keypoints}; needed are names, each once')
        for pair in skeleton:
            if len(pair) != 2 or not set(pair) <= set(self.keypoints):
                raise ValueError(f'PoseTask: skeleton has {tuple(pair)}; accepted are pairs of {self.keypoints}')
        self.skeleton = tuple((self.keypoints.index(a), self.keypoints.index(b)) for a, b in skeleton)
        self.head = KeypointHead(len(self.keypoints), embed_dims, **(head or {}))
        self.posed = MLP(embed_dims, embed_dims, 1)
        self.detach = detach
        self.matcher = HungarianMatcher(**(matcher or {}))
        self.max_per_image = max_per_image
        self.min_score = min_score
        self.criterion = MODELS.build(loss) if loss is not None else None

    def trains(self, sample: XDetDataSample) -> bool:
        """Whether its ``gt_segments`` have ``keypoints``, and the adapter a criterion."""
        return self.criterion is not None and 'gt_segments' in sample and 'keypoints' in sample.gt_segments

    def loss(self, context: TaskContext, outputs: DecoderOutput) -> dict[str, Tensor]:
        """Losses of the queries that are matched to segments; see the criterion for their names.

        Raises:
            ValueError: The keypoints of a sample are not those of this task.
        """
        assert self.criterion is not None
        rows = [row for row, sample in enumerate(context.samples) if self.trains(sample)]
        context, outputs = context.select(rows), outputs.select(rows)
        layer = outputs.last
        state, mask_embed = (layer.rows(tensor, OBJECT) for tensor in (layer.state, layer.mask_embed))
        for sample in context.samples:
            self._check(sample)
        matches = self._match(context, outputs)
        features = context.features
        if self.detach:
            state, mask_embed, features = state.detach(), mask_embed.detach(), features.detached()
        segments = [sample.gt_segments for sample in context.samples]
        # Of which segments it is known whether they have keypoints, and of those that have some.
        known = [(match >= 0) & (own.posed >= 0) for match, own in zip(matches, segments, strict=True)]
        posed = [(match >= 0) & (own.posed == 1) for match, own in zip(matches, segments, strict=True)]
        boxes = [postprocess.mask_boxes(own.masks[rows]) for own, rows in zip(segments, posed, strict=True)]
        points = torch.cat([own.keypoints[rows] for own, rows in zip(segments, posed, strict=True)])

        def of(queries: Tensor, chosen: Sequence[Tensor]) -> Tensor:
            triples = zip(queries, matches, chosen, strict=True)
            return torch.cat([own[match[rows]] for own, match, rows in triples])

        found = self.head(features, boxes, of(state, posed), of(mask_embed, posed))
        return self.criterion(
            *found,
            self.posed(of(state, known))[:, 0],
            to_grid(points[..., :2], torch.cat(boxes), self.head.margin),
            points[..., 2] > 0,
            torch.cat([own.posed[rows] == 1 for own, rows in zip(segments, known, strict=True)]),
        )

    def _check(self, sample: XDetDataSample) -> None:
        names = tuple(sample.gt_segments.keypoint_names)
        if names != self.keypoints:
            raise ValueError(
                f'{describe(sample)} has the keypoints {names}, but the model those of {self.keypoints}; name them, in '
                'the order of the model, in LoadKeypoints(keypoints=...)'
            )

    @torch.no_grad()
    def _match(self, context: TaskContext, outputs: DecoderOutput) -> list[Tensor]:
        """The query of each segment of every image, ``[n]``, -1 where there is none; by the final layer."""
        layer = outputs.last
        class_embed, mask_embed = layer.rows(layer.class_embed, OBJECT), layer.rows(layer.mask_embed, OBJECT)
        vocabularies = [vocabulary_of(sample) for sample in context.samples]
        texts = {vocabulary: context.vocabulary.sample(vocabulary) for vocabulary in dict.fromkeys(vocabularies)}
        costs = []
        for index, sample in enumerate(context.samples):
            logits = cosine_logits(class_embed[index], texts[vocabularies[index]], context.text.logit_scale)
            masks = pad_masks(sample.gt_segments.masks, input_size(outputs), torch.float32)
            probability = logits.softmax(-1)[None, :, sample.gt_segments.labels]
            with torch.autocast(masks.device.type, enabled=False):
                image = mask_embed[index, None].float(), outputs.mask_features[index].float()
                costs.append(self.matcher.costs(probability, *image, masks))
        return [match[0] for match in assign(costs, image_names(context))]

    @torch.no_grad()
    def predict(self, context: TaskContext) -> None:
        """Write ``pred_poses``: of the instances that were found, those that have keypoints, best first.

        Raises:
            ValueError: No instances were asked for.
        """
        layer = context.outputs.last
        state, mask_embed = (layer.rows(tensor, OBJECT) for tensor in (layer.state, layer.mask_embed))
        for index, sample in enumerate(context.samples):
            if 'pred_instances' not in sample or 'queries' not in sample.pred_instances:
                raise ValueError(
                    f"{describe(sample)}: poses are those of instances; ask for the tasks 'instance' and 'pose'"
                )
            found = sample.pred_instances
            found = found[(found.queries < state.shape[1]) & found.masks.flatten(1).any(1)]
            found = found[_first(found.queries)]  # the best class of each query
            scores = found.scores * self.posed(state[index, found.queries])[:, 0].float().sigmoid()
            best = scores.argsort(descending=True, stable=True)[: self.max_per_image]
            best = best[scores[best] >= self.min_score]
            found, scores = found[best], scores[best]
            queries = state[index, found.queries], mask_embed[index, found.queries]
            (height, width), (seen_height, seen_width) = sample.ori_shape[:2], sample.img_shape[:2]
            scale = found.bboxes.new_tensor([width / seen_width, height / seen_height])
            boxes = found.bboxes / scale.repeat(2)
            heat, visible = self.head(context.features.select([index]), [boxes], *queries)
            sample.pred_poses = InstanceData(
                metainfo=dict(keypoint_names=self.keypoints, skeleton=self.skeleton),
                keypoints=from_grid(peaks(heat.float()), boxes, self.head.margin) * scale,
                keypoint_scores=visible.float().sigmoid(),
                masks=found.masks,
                bboxes=found.bboxes,
                labels=found.labels,
                scores=scores,
            )


def _first(values: Tensor) -> Tensor:
    """Positions at which a value of ``[n]`` occurs for the first time."""
    alike = values[:, None] == values
    return (~alike.tril(-1).any(1)).nonzero()[:, 0]
