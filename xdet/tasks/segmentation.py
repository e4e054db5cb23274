"""Semantic, instance and panoptic segmentation with a vocabulary of its own for every image."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from mmengine.structures import PixelData
from torch import Tensor

from xdet.models import postprocess
from xdet.models.context import TaskContext
from xdet.models.decoder import IMAGE, OBJECT
from xdet.models.losses import NounTargets, SegmentTargets, text_ids
from xdet.models.similarity import cosine_logits
from xdet.models.text import clean_name, random_prompts
from xdet.registry import MODELS, TASKS
from xdet.structures import DecoderOutput, LayerPrediction, Vocabulary, XDetDataSample, segment_map
from xdet.structures.mentions import PRESENCE

from .base import TaskAdapter, describe, image_names, input_size


@TASKS.register_module()
class SegmentationTask(TaskAdapter):
    """Generic segmentation (docs/model.md, 6): needs no query group of its own.

    In training only object queries are supervised; at inference the image query takes part too, both as in the
    official model.

    Args:
        loss (dict, optional): Config of the criterion; None for a model that is only used, not trained.
        noun_loss (dict, optional): Config of the contrast of queries with class names, nouns and captions, for samples
            with a ``caption`` (which may be empty) and perhaps ``nouns``.
        pixel_names (dict, optional): Config of :class:`~xdet.models.pixel_names.PixelNames`, which lets pixels learn
            names too, and have a say in those of the queries.
        clip_ensemble (dict, optional): Config of :class:`~xdet.models.clip_ensemble.ClipEnsemble`, which lets a frozen
            CLIP have a say in the names of queries at inference.
        default_tasks (Sequence[str]): What samples get that do not say: any of ``semantic``, ``instance``,
            ``panoptic``. All three share one encoding and one decoding. ``presence`` is what all of them write, alone.
        object_mask_threshold (float): Panoptic: least class probability of a query. 0.8 in the official configuration,
            0.4 behind the published zero-shot panoptic numbers.
        overlap_threshold (float): Panoptic: least share of its own mask that a query must keep.
        max_per_image (int): Instance: number of (query, class) pairs considered.
        things_only (bool): Instance: report only classes that the vocabulary marks as things.
        background_score (float, optional): Semantic: pixels where no query has a class and a mask of more than this
            probability (the product of both) are :data:`XDetDataSample.BACKGROUND`, unless a request brings a score of
            its own. None gives every pixel a class, as the official model does.
    """

    names = ('semantic', 'instance', 'panoptic', PRESENCE)
    targets = 'segments'

    def __init__(
        self,
        loss: dict | None = None,
        noun_loss: dict | None = None,
        pixel_names: dict | None = None,
        clip_ensemble: dict | None = None,
        default_tasks: Sequence[str] = ('panoptic',),
        object_mask_threshold: float = 0.8,
        overlap_threshold: float = 0.8,
        max_per_image: int = 100,
        things_only: bool = True,
        background_score: float | None = None,
    ) -> None:
        super().__init__()
        unknown = set(default_tasks) - set(self.names)
        if unknown:
            raise ValueError(f'default_tasks names {sorted(unknown)}; accepted are {self.names}')
        self.criterion = MODELS.build(loss) if loss is not None else None
        self.noun_criterion = MODELS.build(noun_loss) if noun_loss is not None else None
        self.pixel_names = MODELS.build(pixel_names) if pixel_names is not None else None
        self.clip_ensemble = MODELS.build(clip_ensemble) if clip_ensemble is not None else None
        self.default_names = tuple(default_tasks)
        self.object_mask_threshold = object_mask_threshold
        self.overlap_threshold = overlap_threshold
        self.max_per_image = max_per_image
        self.things_only = things_only
        self.background_score = background_score

    def trains(self, sample: XDetDataSample) -> bool:
        """Whether it has ``gt_segments`` and the adapter a criterion."""
        return self.criterion is not None and 'gt_segments' in sample

    def kinds(self, sample: XDetDataSample) -> tuple[str, ...]:
        """``segments``, and ``nouns`` where there is a noun loss and the sample has a caption."""
        kinds = super().kinds(sample)
        return (*kinds, 'nouns') if kinds and self._learns_nouns(sample) else kinds

    def loss(self, context: TaskContext, outputs: DecoderOutput) -> dict[str, Tensor]:
        """Set-prediction losses of all prediction layers, and the noun loss; see the criteria for their names.

        Queries of images without ``gt_segments`` learn nothing, not even that there is no object.
        """
        assert self.criterion is not None
        rows = [row for row, sample in enumerate(context.samples) if 'gt_segments' in sample]
        features = context.features
        if len(rows) < len(context.samples):
            features, outputs = features.select(rows), outputs.select(rows)
            context = replace(context, samples=[context.samples[row] for row in rows])
        vocabularies = [vocabulary_of(sample) for sample in context.samples]
        text = {vocabulary: context.vocabulary.sample(vocabulary) for vocabulary in dict.fromkeys(vocabularies)}
        class_embeds = [layer.rows(layer.class_embed, OBJECT) for layer in outputs.layers]
        class_logits = layer_class_logits(class_embeds, vocabularies, text, context.text.logit_scale)
        segments = [sample.gt_segments for sample in context.samples]
        targets = SegmentTargets(segments, input_size(outputs), image_names(context))
        embeddings = [text[vocabulary] for vocabulary in vocabularies]
        mask_embeds = [layer.rows(layer.mask_embed, OBJECT) for layer in outputs.layers]
        if self.pixel_names is not None and self.pixel_names.joined:
            of_images = [torch.stack(layers) for layers in zip(*class_logits, strict=True)]
            masks, scale = torch.stack(mask_embeds, 1), context.text.logit_scale
            joined = self.pixel_names.join(of_images, masks, features, embeddings, scale)
            class_logits = [list(layer) for layer in zip(*joined, strict=True)]
        predictions = mask_embeds, class_logits
        matches = self.criterion.match(*predictions, outputs.mask_features, targets)
        losses = self.criterion(*predictions, outputs.mask_features, targets, matches)
        if self.pixel_names is not None:
            losses.update(self.pixel_names.loss(features, embeddings, targets, context.text.logit_scale))
        if any(map(self._learns_nouns, context.samples)):
            losses.update(self._noun_loss(context, class_embeds, matches, embeddings, targets))
        return losses

    def _learns_nouns(self, sample: XDetDataSample) -> bool:
        return self.noun_criterion is not None and 'caption' in sample.metainfo

    def _noun_loss(
        self,
        context: TaskContext,
        class_embeds: Sequence[Tensor],
        matches: Sequence[Tensor],
        class_texts: Sequence[Tensor],
        targets: SegmentTargets,
    ) -> dict[str, Tensor]:
        """Contrast of queries with the texts of their image; nouns are put into prompts, captions are not."""
        assert self.noun_criterion is not None
        labels = [sample.gt_segments.labels for sample in context.samples]
        names = [vocabulary_of(sample).names for sample in context.samples]
        nouns = [list(sample.metainfo.get('nouns') or ()) for sample in context.samples]
        captions = [[text] if (text := sample.metainfo.get('caption')) else [] for sample in context.samples]
        prompts = [random_prompts(own) + caption for own, caption in zip(nouns, captions, strict=True)]
        every = [text for own in prompts for text in own]
        texts = class_texts[0].new_zeros((0, class_texts[0].shape[1]))
        if every:
            texts = context.encode(every).pooled
        noun_targets = NounTargets(
            [text[label] for text, label in zip(class_texts, labels, strict=True)],
            [text_ids([clean_name(own[i]) for i in of]) for own, of in zip(names, targets.labels, strict=True)],
            texts.split([len(own) for own in prompts]),
            [text_ids(own + caption) for own, caption in zip(nouns, captions, strict=True)],
            targets.names,
        )
        return self.noun_criterion(class_embeds, matches, noun_targets, context.text.logit_scale)

    @torch.no_grad()
    def predict(self, context: TaskContext) -> None:
        """Write ``pred_presence``, and ``pred_sem_seg``, ``pred_instances`` or ``pred_panoptic_seg`` as samples ask."""
        layer = context.outputs.last
        mask_embed = layer.rows(layer.mask_embed, OBJECT, IMAGE)
        for index, (sample, logits) in enumerate(zip(context.samples, self.class_logits(context), strict=True)):
            self._predict_one(sample, logits, mask_embed[index], context.features.mask_features[index])
        self._doubt(context)

    def _doubt(self, context: TaskContext) -> None:
        """Write ``pred_uncertainty`` of the samples that ask for it."""
        rows = [row for row, sample in enumerate(context.samples) if sample.prompts.uncertainty]
        if not rows:
            return
        context = context.select(rows)
        layers = context.outputs.layers
        logits = [self.class_logits(context, layer) for layer in layers]
        embeds = [layer.rows(layer.mask_embed, OBJECT, IMAGE) for layer in layers]
        for row, sample in enumerate(context.samples):
            maps = postprocess.uncertainty(
                [of_layer[row] for of_layer in logits],
                [of_layer[row] for of_layer in embeds],
                context.features.mask_features[row],
                sample.img_shape[:2],
                sample.ori_shape[:2],
                sample.prompts.class_temperature,
            )
            sample.pred_uncertainty = PixelData(**maps)

    def class_logits(self, context: TaskContext, layer: LayerPrediction | None = None) -> list[Tensor]:
        """Class logits ``[Nq, K_b + 1]`` of the object queries and the image query, per image.

        Names of the background are the last before the no-object class.

        Args:
            context (TaskContext): The images.
            layer (LayerPrediction, optional): Of which layer; None is the last one.
        """
        layer, scale = context.outputs.last if layer is None else layer, context.text.logit_scale
        class_embed = layer.rows(layer.class_embed, OBJECT, IMAGE)
        mask_embed = layer.rows(layer.mask_embed, OBJECT, IMAGE)
        found = []
        vocabularies = [vocabulary_of(sample).with_background(sample.prompts.background) for sample in context.samples]
        for index, vocabulary in enumerate(vocabularies):
            text = context.vocabulary(vocabulary)
            logits = cosine_logits(class_embed[index], text, scale)
            image = context.features.select([index])
            if self.pixel_names is not None and self.pixel_names.joined:
                logits = self.pixel_names.join([logits], mask_embed[index : index + 1], image, [text], scale)[0]
            elif self.pixel_names is not None and self.pixel_names.share:
                logits = self.pixel_names.mix(logits, mask_embed[index], image, text, scale)
            found.append(logits)
        if self.clip_ensemble is not None:
            return self.clip_ensemble.mix(found, mask_embed, context.features, vocabularies, context.colours)
        return found

    def _predict_one(self, sample: XDetDataSample, logits: Tensor, mask_embed: Tensor, mask_features: Tensor) -> None:
        vocabulary, size = vocabulary_of(sample), tuple(sample.ori_shape[:2])
        limits = sample.prompts.thresholds
        sample.pred_presence = logits.float().softmax(dim=-1)[:, : len(vocabulary)].amax(dim=0)
        shown = _reported(sample, logits.shape[1] - 1)
        # Background names keep the rule of the task; they are no more than competitors.
        everything = vocabulary.with_background(sample.prompts.background)

        def made(queries: Tensor | slice) -> Tensor:
            return postprocess.mask_logits(mask_embed[queries], mask_features, sample.img_shape[:2], size)

        requested = self.requested(sample.prompts)
        masks: postprocess.MaskFn = made
        # Several outputs need the same masks. They are kept where they are small, else made piece by piece for each.
        if len(requested) > 1 and 4 * len(mask_embed) * math.prod(size) <= postprocess.SCORE_BYTES:
            masks = made(slice(None)).__getitem__
        if 'semantic' in requested:
            # One score of the user's takes the place of the model's rule; scores by name leave it to the other names.
            background = self.background_score if limits.score is None or isinstance(limits.score, Mapping) else None
            labels = postprocess.semantic_labels(logits, masks, size, background)
            named = labels.clamp(min=0)  # beside names there may be pixels that the model gives none
            unlabelled = torch.zeros_like(labels, dtype=torch.bool) if shown is None else ~shown[named]
            if limits.score is not None:
                least = logits.new_tensor(limits.scores(everything.names, 0.0))
                unlabelled |= postprocess.label_scores(logits, masks, named) < least[named]
            labels = labels.masked_fill(unlabelled & (labels >= 0), XDetDataSample.IGNORE)
            sample.pred_sem_seg = PixelData(sem_seg=labels[None])
        if 'instance' in requested:
            found = postprocess.instances(
                logits,
                masks,
                size,
                everything.is_thing,
                self.max_per_image,
                self.things_only,
                shown,
                limits.mask_logit,
            )
            if limits.score is not None:
                found = found[found.scores >= logits.new_tensor(limits.scores(everything.names, 0.0))[found.labels]]
            sample.pred_instances = found
        if 'panoptic' in requested:
            class_limit: float | Tensor = self.object_mask_threshold
            if limits.score is not None:
                scores = limits.scores(vocabulary.names, self.object_mask_threshold)
                class_limit = logits.new_tensor(scores + [self.object_mask_threshold] * len(sample.prompts.background))
            segments, infos = postprocess.panoptic_segments(
                logits,
                masks,
                size,
                everything.is_thing,
                class_limit,
                self.overlap_threshold if limits.overlap is None else limits.overlap,
                shown,
                0.5 if limits.mask is None else limits.mask,
            )
            sample.pred_panoptic_seg = segment_map(segments, infos)


def _reported(sample: XDetDataSample, count: int) -> Tensor | None:
    """Bool ``[count]``: which of the names, those of the background last, may be reported; None means all.

    A name whose presence is not above the threshold competes like one of the background.
    """
    least = sample.prompts.thresholds.presence
    if least is None and not sample.prompts.background:
        return None
    there = sample.pred_presence > (-1.0 if least is None else least)
    return torch.cat([there, there.new_zeros(count - len(there))])


def layer_class_logits(
    class_embeds: Sequence[Tensor], vocabularies: Sequence[Vocabulary], text: Mapping[Vocabulary, Tensor], scale: Tensor
) -> list[list[Tensor]]:
    """Logits ``[No, K_b + 1]`` per layer and image; all layers of all images with equal vocabularies at once."""
    embeds = torch.stack(list(class_embeds))  # [L, B, No, C]
    logits: list[list[Tensor]] = [[embeds[0, 0]] * len(vocabularies) for _ in class_embeds]
    for vocabulary, embedding in text.items():
        rows = [row for row, own in enumerate(vocabularies) if own == vocabulary]
        chosen = embeds if len(rows) == embeds.shape[1] else embeds[:, rows]
        found = cosine_logits(chosen, embedding, scale).flatten(0, 1).unbind()
        for number, of_image in enumerate(found):
            logits[number // len(rows)][rows[number % len(rows)]] = of_image
    return logits


def vocabulary_of(sample: XDetDataSample) -> Vocabulary:
    """The sample's vocabulary.

    Raises:
        ValueError: It has none.
    """
    vocabulary = sample.metainfo.get('vocabulary')
    if vocabulary is None:
        raise ValueError(f"{describe(sample)} has no 'vocabulary' in its meta information, which names the classes")
    return vocabulary
