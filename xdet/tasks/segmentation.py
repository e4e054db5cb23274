"""Semantic, instance and panoptic segmentation with a vocabulary of its own for every image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.structures import PixelData
from torch import Tensor

from xdet.models import postprocess
from xdet.models.context import TaskContext
from xdet.models.decoder import IMAGE, OBJECT
from xdet.models.similarity import cosine_logits
from xdet.registry import MODELS, TASKS
from xdet.structures import DecoderOutput, Vocabulary, XDetDataSample, segment_map

from .base import TaskAdapter


@TASKS.register_module()
class SegmentationTask(TaskAdapter):
    """Generic segmentation (docs/model.md, 6): needs no query group of its own.

    In training only object queries are supervised; at inference the image query takes part too, both as in the
    official model.

    Args:
        loss (dict, optional): Config of the criterion; None for a model that is only used, not trained.
        default_tasks (Sequence[str]): What samples get that do not say: any of ``semantic``, ``instance``,
            ``panoptic``. All three share one encoding and one decoding.
        object_mask_threshold (float): Panoptic: least class probability of a query. 0.8 in the official configuration,
            0.4 behind the published zero-shot panoptic numbers.
        overlap_threshold (float): Panoptic: least share of its own mask that a query must keep.
        max_per_image (int): Instance: number of (query, class) pairs considered.
        things_only (bool): Instance: report only classes that the vocabulary marks as things.
    """

    names = ('semantic', 'instance', 'panoptic')

    def __init__(
        self,
        loss: dict | None = None,
        default_tasks: Sequence[str] = ('panoptic',),
        object_mask_threshold: float = 0.8,
        overlap_threshold: float = 0.8,
        max_per_image: int = 100,
        things_only: bool = True,
    ) -> None:
        super().__init__()
        unknown = set(default_tasks) - set(self.names)
        if unknown:
            raise ValueError(f'default_tasks names {sorted(unknown)}; accepted are {self.names}')
        self.criterion = MODELS.build(loss) if loss is not None else None
        self.default_names = tuple(default_tasks)
        self.object_mask_threshold = object_mask_threshold
        self.overlap_threshold = overlap_threshold
        self.max_per_image = max_per_image
        self.things_only = things_only

    def trains(self, sample: XDetDataSample) -> bool:
        """Whether it has ``gt_segments``."""
        return 'gt_segments' in sample

    def loss(self, context: TaskContext, outputs: DecoderOutput) -> dict[str, Tensor]:
        """Set-prediction losses of all prediction layers; see the criterion for their names."""
        if self.criterion is None:
            raise RuntimeError('SegmentationTask was configured without `loss`, so the model cannot be trained with it')
        vocabularies = [vocabulary_of(sample) for sample in context.samples]
        text = {vocabulary: context.vocabulary.sample(vocabulary) for vocabulary in dict.fromkeys(vocabularies)}
        class_logits, mask_embeds = [], []
        for layer in outputs.layers:
            embeddings = layer.rows(layer.class_embed, OBJECT)
            class_logits.append(
                [
                    cosine_logits(embedding, text[vocabulary], context.text.logit_scale)
                    for embedding, vocabulary in zip(embeddings, vocabularies, strict=True)
                ]
            )
            mask_embeds.append(layer.rows(layer.mask_embed, OBJECT))
        size = tuple(4 * length for length in outputs.mask_features.shape[-2:])
        targets = [sample.gt_segments for sample in context.samples]
        names = [str(sample.metainfo.get('img_path', f'image {i}')) for i, sample in enumerate(context.samples)]
        return self.criterion(mask_embeds, class_logits, outputs.mask_features, targets, size, names)

    @torch.no_grad()
    def predict(self, context: TaskContext) -> None:
        """Write ``pred_sem_seg``, ``pred_instances`` and ``pred_panoptic_seg`` as each sample asks."""
        layer = context.outputs.last
        class_embed = layer.rows(layer.class_embed, OBJECT, IMAGE)
        mask_embed = layer.rows(layer.mask_embed, OBJECT, IMAGE)
        for index, sample in enumerate(context.samples):
            text = context.vocabulary(vocabulary_of(sample))
            logits = cosine_logits(class_embed[index], text, context.text.logit_scale)
            self._predict_one(sample, logits, mask_embed[index], context.features.mask_features[index])

    def _predict_one(self, sample: XDetDataSample, logits: Tensor, mask_embed: Tensor, mask_features: Tensor) -> None:
        vocabulary, size = vocabulary_of(sample), tuple(sample.ori_shape[:2])

        def masks(queries: Tensor | slice) -> Tensor:
            return postprocess.mask_logits(mask_embed[queries], mask_features, sample.img_shape[:2], size)

        requested = self.requested(sample)
        if len(requested) > 1:
            masks = _remembered(masks(slice(None)))
        if 'semantic' in requested:
            labels = postprocess.semantic_labels(logits, masks, size)
            sample.pred_sem_seg = PixelData(sem_seg=labels[None])
        if 'instance' in requested:
            sample.pred_instances = postprocess.instances(
                logits, masks, size, vocabulary.is_thing, self.max_per_image, self.things_only
            )
        if 'panoptic' in requested:
            segments, infos = postprocess.panoptic_segments(
                logits, masks, size, vocabulary.is_thing, self.object_mask_threshold, self.overlap_threshold
            )
            sample.pred_panoptic_seg = segment_map(segments, infos)


def _remembered(logits: Tensor):
    """A mask function over masks that were made once because several outputs need them."""
    return lambda queries: logits[queries]


def vocabulary_of(sample: XDetDataSample) -> Vocabulary:
    """The sample's vocabulary.

    Raises:
        ValueError: It has none.
    """
    vocabulary = sample.metainfo.get('vocabulary')
    if vocabulary is None:
        name = sample.metainfo.get('img_path', 'without img_path')
        raise ValueError(f"sample {name} has no 'vocabulary' in its meta information; segmentation needs class names")
    return vocabulary
