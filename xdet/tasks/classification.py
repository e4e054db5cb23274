"""Classification of whole images with any list of labels."""

from __future__ import annotations

import torch
from mmengine.structures import InstanceData

from xdet.models.context import TaskContext
from xdet.models.decoder import IMAGE
from xdet.models.similarity import cosine_logits
from xdet.registry import TASKS

from .base import TaskAdapter
from .segmentation import vocabulary_of


@TASKS.register_module()
class ClassificationTask(TaskAdapter):
    """Classification from the image query (docs/model.md, 7): its class embedding against the names' embeddings.

    Args:
        top_k (int): Classes reported per image.
    """

    names = ('classification',)

    def __init__(self, top_k: int = 5) -> None:
        super().__init__()
        if top_k < 1:
            raise ValueError(f'ClassificationTask: top_k is {top_k}; accepted are numbers from 1')
        self.top_k = top_k

    @torch.no_grad()
    def predict(self, context: TaskContext) -> None:
        """Write ``pred_classes``: ``labels`` and ``scores`` (softmax over all names) of the best classes."""
        layer = context.outputs.last
        embeddings = layer.rows(layer.class_embed, IMAGE)[:, 0]
        for sample, embedding in zip(context.samples, embeddings, strict=True):
            vocabulary, limits = vocabulary_of(sample), sample.prompts.thresholds
            # Without that of no object.
            text = context.vocabulary(vocabulary.with_background(sample.prompts.background))[:-1]
            probabilities = cosine_logits(embedding, text, context.text.logit_scale).float().softmax(dim=-1)
            probabilities = probabilities[: len(vocabulary)]
            scores, labels = probabilities.topk(min(self.top_k, len(probabilities)))
            if limits.score is not None:
                enough = scores >= scores.new_tensor(limits.scores(vocabulary.names, 0.0))[labels]
                scores, labels = scores[enough], labels[enough]
            sample.pred_classes = InstanceData(labels=labels, scores=scores)
